"""Training in several processes, as ``torchrun`` starts them: who takes what, and what is added up.

``torchrun`` says by environment variables which process of how many this is. Gradients go through PyTorch's
``DistributedDataParallel``; statistics of normalisations are added up where they are computed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.distributed.nn import functional as differentiable
from torch.nn.parallel import DistributedDataParallel

from spikefold.train.errors import TrainError

__all__ = ["ALONE", "Processes", "added", "all_reduce", "process_group", "several"]

Int = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Where a process stands: its number ``rank``, from 0, among ``count``."""

    rank: int
    count: int

    @classmethod
    def here(cls) -> "Processes":
        """Return where this process stands."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(rank=distributed.get_rank(), count=distributed.get_world_size())
        return ALONE

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def wait(self) -> None:
        """Let no process go on before all are here."""
        if self.count > 1:
            distributed.barrier()

    def share(self, samples: Int) -> Int:
        """Return the samples that this process takes: every ``count``-th."""
        return samples[self.rank :: self.count]

    def gather(self, rows: torch.Tensor, count: int) -> torch.Tensor:
        """Return [count, ...] in the order in which :meth:`share` dealt it out, from every process's rows."""
        if self.count == 1:
            return rows
        whole = rows.new_zeros(count, *rows.shape[1:])
        whole[self.rank :: self.count] = rows
        return _added(whole)

    def totals(self, loss: float, right: int, seen: int) -> tuple[float, int, int]:
        """Return the sums over all processes."""
        if self.count == 1:
            return loss, right, seen
        sums = _added(torch.tensor([loss, right, seen], dtype=torch.float64)).tolist()
        return sums[0], int(sums[1]), int(sums[2])

    def replica(self, module: nn.Module) -> nn.Module:
        """Return the module that averages its gradients over the processes."""
        # Statistics are the same everywhere already, so they need not be sent.
        return module if self.count == 1 else DistributedDataParallel(module, broadcast_buffers=False)

    @staticmethod
    def inside(replica: nn.Module) -> nn.Module:
        """Return the module that :meth:`replica` was given."""
        return replica.module if isinstance(replica, DistributedDataParallel) else replica


ALONE = Processes(rank=0, count=1)


def _added(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum over all processes, on the CPU."""
    # NCCL adds up only what is on a GPU.
    there = tensor.to("cuda") if distributed.get_backend() == "nccl" else tensor
    distributed.all_reduce(there)
    return there.cpu()


def several() -> bool:
    """Return whether this is one of several processes."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def all_reduce(*sums: torch.Tensor) -> None:
    """Add up tensors over all processes, in place."""
    if several():
        for tensor in sums:
            distributed.all_reduce(tensor)


def added(count: int, total: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Return a count and sums, added up over all processes; gradients pass through."""
    if not several():
        return count, total
    whole = differentiable.all_reduce(torch.cat([total.flatten(), total.new_tensor([count])]))  # type: ignore[no-untyped-call]
    return round(float(whole[-1])), whole[:-1].reshape(total.shape)


@contextmanager
def process_group() -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, if it did, and yield the device of this one: its GPU, or the CPU."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    if on_gpu and local >= torch.cuda.device_count():
        raise TrainError(f"torchrun: process {local} of this machine has no GPU of its own; there are {torch.cuda.device_count()}")
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if not distributed.is_torchelastic_launched():
        yield device
        return
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()
