"""One contestant of the training benchmark in a process of its own: JSON lines in, JSON lines out.

``python -m benchmarks.training_child CASE CONTESTANT THREADS LAYOUT`` answers ``check``, ``memory`` and ``time`` on its standard input, and ends
with it, or with an answer that holds an ``error``.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from benchmarks.training_networks import CASES, CONTESTANTS, Case, Contestant, batch_of, reference

CHECK_SAMPLES = 4
WARM_SAMPLES = 2
WARM_STEPS = 2


class Child:
    """A contestant's network and its full batch, in float32 and the memory layout ``layout``."""

    def __init__(self, case: Case, contestant: Contestant, layout: str) -> None:
        self.case, self.contestant = case, contestant
        self.network = contestant.build(case, False).to(torch.float32)
        x, labels = batch_of(case, case.batch)
        if layout == "channels-last":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x = x.flatten(0, 1).to(memory_format=torch.channels_last).reshape(x.shape)
        self.batch = x, labels
        step(self.network, *batch_of(case, WARM_SAMPLES))
        self.warm = False

    def check(self) -> dict[str, dict[str, float]]:
        """Return how far the contestant is from the equations written out, and from them with the other reset: a share or a relative norm."""
        found = {}
        for dtype in (torch.float64, torch.float32):
            for name, decrement in (("own", self.contestant.decrement), ("ours", CONTESTANTS["spikefold"].decrement)):
                if decrement is not None:
                    found[f"{name} {dtype}".replace("torch.", "")] = self.difference(dtype, decrement)
        return found

    def difference(self, dtype: torch.dtype, decrement: float) -> dict[str, float]:
        """Compare the first hidden layer's spike counts, the scores, and the gradient of the first weights with the reference's."""
        x, labels = batch_of(self.case, CHECK_SAMPLES, dtype)
        with torch.no_grad():
            spikes, expected = (build(self.case, True).to(dtype)(x) for build in self.builders(decrement))
        scores, gradients = [], []
        for build in self.builders(decrement):
            network = build(self.case, False).to(dtype)
            scores.append(step(network, x, labels))
            gradients.append(first_gradient(self.case, network))
        return {
            "rate": float(spikes.mean()) / self.case.timesteps,
            "spikes": float((spikes - expected).abs().sum() / expected.sum()),
            "scores": relative(*scores),
            "gradient": relative(*gradients),
        }

    def builders(self, decrement: float) -> tuple[Callable[[Case, bool], nn.Module], ...]:
        """Return the contestant's builder and the reference's."""
        return self.contestant.build, lambda case, first: reference(case, first, decrement)

    def memory(self) -> dict[str, int]:
        """Return by how many bytes the first full forward and backward pass raises the process's peak of resident memory."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = resident("VmRSS")
        step(self.network, *self.batch)
        return {"bytes": resident("VmHWM") - before}

    def time(self) -> dict[str, float]:
        """Return the seconds of one forward and backward pass, on the wall and of all the process's threads."""
        if not self.warm:
            for _ in range(WARM_STEPS):
                step(self.network, *self.batch)
            self.warm = True
        wall, cpu = time.perf_counter(), time.process_time()
        step(self.network, *self.batch)
        return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def step(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Run the network forward and backward; return its scores."""
    network.zero_grad(set_to_none=True)
    scores: torch.Tensor = network(x)
    functional.cross_entropy(scores, labels).backward()  # type: ignore[no-untyped-call]
    return scores.detach()


def first_gradient(case: Case, network: nn.Module) -> torch.Tensor:
    """Return the gradient of the first hidden layer's weights, the one parameter of their shape."""
    shape = case.weights()[0].shape
    (gradient,) = (parameter.grad for parameter in network.parameters() if parameter.shape == shape)
    if gradient is None:
        raise SystemExit("error: the first weights have no gradient")
    return gradient


def relative(values: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what is expected."""
    return float((values - expected).norm() / expected.norm())


def resident(field: str) -> int:
    """Return a field of the process's status in bytes; the kernel gives kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Answer each line of standard input."""
    case, contestant, threads, layout = sys.argv[1:]
    torch.set_num_threads(int(threads))
    answers = sys.stdout
    # What a framework prints must not come between the answers.
    sys.stdout = sys.stderr
    try:
        child = Child(CASES[case], CONTESTANTS[contestant], layout)
        commands: dict[str, Callable[[], object]] = {"check": child.check, "memory": child.memory, "time": child.time}
        for line in sys.stdin:
            print(json.dumps(commands[json.loads(line)]()), file=answers, flush=True)
    except Exception as error:  # Whatever a framework raises is the other process's to report.
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
