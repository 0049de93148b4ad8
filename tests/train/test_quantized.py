"""Training through the fold: the forward pass is the integer network's, the gradients are the float network's."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spikefold.train.runs.run as runs
from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.data.errors import FoldError
from spikefold.network import reference
from spikefold.network.network import Network
from spikefold.quantize.fold import fold
from spikefold.train.errors import DivergenceError, RecipeError, TrainError
from spikefold.train.methods.methods import Start, check_start
from spikefold.train.methods.quantized import QuantizedNetwork
from spikefold.train.methods.training import split
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount, Synapses
from spikefold.train.modules.network import SpikingNetwork, build_network, events_to_input
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT, BatchNorm, CurrentNorm
from spikefold.train.modules.psp_norm import PSPNorm
from spikefold.train.modules.srm import PSP
from spikefold.train.recipes.recipe import list_recipes, load_recipe, parse_recipe
from spikefold.train.recipes.sections import QuantizeSettings
from spikefold.train.runs.run import train
from spikefold.train.runs.store import load_run
from tests.train.chains import randomise
from tests.train.recipes import recipe_text

T = 4
CLASSES = ("a", "b", "c")


def coding(kind: str) -> InputCoding:
    scale, bits = (4.0, 4) if kind == "direct" else (1.0, 2)
    return InputCoding(shape=(2, 6, 6), coding=kind, mean=0.0, std=1.0, scale=scale, payload_bits=bits, seed=3)


def chain(seed: int, *, norm: str, readout: str, leak: float, reset: str, shared: bool = False) -> SpikingNetwork:
    torch.manual_seed(seed)

    def normed(channels: int) -> list[nn.Module]:
        if norm == "none":
            return []
        return [BNTT(channels, T, beta=seed % 2 == 0)] if norm == "bntt" else [BatchNorm(channels, beta=seed % 2 == 0)]

    def lif() -> LIF:
        return LIF(leak, 0.4, reset)

    middle = Conv2d(5, 5, 3, padding=1, bias=norm == "none")
    end: list[nn.Module] = [Integrate()] if readout == "potential" else [*normed(3), lif(), SpikeCount()]
    parts = [
        Conv2d(2, 5, 3, padding=1, bias=norm == "none"), *normed(5), lif(), middle, *normed(5), lif(),
        *([middle, *normed(5), lif()] if shared else []), AveragePool(2), Dense(45, 3), *end,
    ]  # fmt: skip
    network = SpikingNetwork(*parts, timesteps=T)
    randomise(network, seed)
    return network


def events(kind: str, seed: int, samples: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1, (samples, 2, 6, 6)) if kind != "poisson" else rng.random((samples, 2, 6, 6))
    return encode(images, coding(kind), T, range(samples))


def integers(module: QuantizedNetwork) -> Network:
    """Return what a user would fold: the exported network."""
    widths: dict[str, Any] = module.settings.widths
    return fold(to_float_network(module.network.eval(), coding=module.coding, class_names=CLASSES), **widths).network


CHAINS = [
    {"norm": norm, "readout": readout, "leak": leak, "reset": reset}
    for norm in ("none", "bn", "bntt")
    for readout in ("potential", "spike_count")
    for leak, reset in ((0.9, "soft"), (1.0, "hard"))
]


EXACT_CHAINS = [fields | {"leak": leak} for fields in CHAINS for leak in (1.0, 0.5) if fields["leak"] != 1.0 or fields["reset"] == "hard"]


@pytest.mark.parametrize("kind", ["direct", "ternary", "poisson"])
@pytest.mark.parametrize("fields", CHAINS)
def test_the_forward_pass_is_the_integer_network(fields: dict[str, Any], kind: str):
    alive = 0
    for seed, settings in enumerate(
        [
            QuantizeSettings(weight_bits=2, form="B"),
            QuantizeSettings(weight_bits=4, gain_terms=1, layer_bits={"conv1": 3}),
            QuantizeSettings(weight_bits=8, gain_terms=2, form="C"),
        ]
    ):
        module = QuantizedNetwork(chain(seed, **fields, shared=seed == 1), coding(kind), settings)
        module.train(seed % 2 == 0)
        x = events(kind, seed)
        held = kind == "direct" and seed == 0
        scores = module(events_to_input(x[:, :1] if held else x, coding(kind).scale))
        network = integers(module)
        trace = reference.run(network, x)
        alive += sum(bool(s.any()) for s in trace.spikes)
        unit = network.populations[-1].unit / T if fields["readout"] == "potential" else 1.0
        wanted = trace.scores * unit
        assert np.allclose(scores.detach().numpy(), wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
        assert (np.rint(scores.detach().numpy() / unit) == trace.scores).all()
    assert alive >= 6  # of 7 layers that fire, or 10 with the last


def exact(network: SpikingNetwork, seed: int) -> SpikingNetwork:
    """Give a network values that integers hold as they are: weights on a grid of 8 bits, powers of two, and multiples of 1/64."""
    network.double()
    generator = torch.Generator().manual_seed(seed)

    def counts(tensor: torch.Tensor, most: int) -> torch.Tensor:
        return torch.randint(-most, most + 1, tensor.shape, generator=generator).to(tensor) / 64

    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, Synapses):
                part.weight.copy_(counts(part.weight, 64))
                part.weight.flatten(1)[:, 0] = 127 / 64
                if part.bias is not None:
                    part.bias.copy_(counts(part.bias, 32))
            elif isinstance(part, CurrentNorm):
                signs = torch.randint(0, 4, part.gamma.shape, generator=generator).clamp(max=1) * 2 - 1
                part.gamma.copy_(signs * torch.exp2(torch.randint(-2, 1, part.gamma.shape, generator=generator)))
                part.running_mean.copy_(counts(part.running_mean, 32))
                part.running_var.fill_(1 - part.eps)
                if part.beta is not None:
                    part.beta.copy_(counts(part.beta, 32))
            elif isinstance(part, LIF):
                part.threshold = 0.5
    return network


@pytest.mark.parametrize("fields", EXACT_CHAINS)
def test_where_nothing_is_rounded_scores_and_gradients_are_those_of_the_float_network(fields: dict[str, Any]):
    alive: dict[str, bool] = {}
    for seed in range(4):
        settings = QuantizeSettings(gain_bits=16, form="C" if fields["leak"] < 1 else "B")
        module, twin = (QuantizedNetwork(exact(chain(seed, **fields), seed), coding("ternary"), settings) for _ in range(2))
        x = events_to_input(events("ternary", seed), 1.0, torch.float64)
        # In evaluation mode, and one module after the other: no statistics of a batch, and gradients of the means.
        ours, theirs = module(x), twin.network.eval().chain(x)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
        assert len(theirs.unique()) > 1
        target = torch.randn(ours.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        (ours * target).sum().backward()
        (theirs * target).sum().backward()
        for (name, one), other in zip(module.network.named_parameters(), twin.network.parameters(), strict=True):
            assert one.grad is not None, name
            assert other.grad is not None, name
            alive.setdefault(name, False)
            alive[name] |= bool(other.grad.any())
            assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-9 * float(other.grad.abs().max())), (seed, name)
    assert all(alive.values())


def test_half_precision_rounds_gradients_and_no_score():
    network = chain(3, norm="bntt", readout="potential", leak=0.9, reset="soft")
    x = events_to_input(events("direct", 3), 4.0)
    found = []
    for half in (False, True):
        module = QuantizedNetwork(network, coding("direct"), QuantizeSettings(weight_bits=4))
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = module(x)
        scores.sum().backward()
        found.append((scores.detach(), [parameter.grad.clone() for parameter in network.parameters()]))
    (scores, ours), (same, rounded) = found
    assert torch.equal(scores, same)
    assert any(not torch.equal(one, other) for one, other in zip(ours, rounded, strict=True))
    for one, other in zip(ours, rounded, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=0.05 * float(one.abs().max()))


@pytest.mark.parametrize("norm", ["bn", "bntt"])
def test_calibration_takes_the_statistics_of_the_integers(norm: str):
    network = chain(1, norm=norm, readout="spike_count", leak=0.9, reset="soft")
    module = QuantizedNetwork(network, coding("ternary"), QuantizeSettings(weight_bits=3))
    x = events("ternary", 1, 16)
    module.calibrate(events_to_input(x, 1.0))
    folded = module.fold()
    payload = x.astype(np.int64)
    norms = [part for part in network.modules() if isinstance(part, CurrentNorm)]
    for i, (connection, population, part) in enumerate(zip(folded.network.connections, folded.network.populations, norms, strict=True)):
        current, _ = reference.currents(connection, folded.network.weights[i], payload)
        summed = current * folded.units[population.name].current[:, None, None]
        axes = (0, 3, 4) if norm == "bntt" else (0, 1, 3, 4)
        assert np.allclose(part.running_mean.detach().numpy(), summed.mean(axes), atol=1e-5)
        assert np.allclose(part.running_var.numpy(), summed.var(axes), rtol=1e-4, atol=1e-5)
        payload = reference.run_population([(connection, current)], population)[0].astype(np.int64)


class TestRefused:
    def test_layers_that_are_added(self):
        network = SpikingNetwork(Dense(4, 4), LIF(), Dense(4, 4), LIF(), Integrate(), timesteps=2, adds={2: 0})
        with pytest.raises(TrainError, match=r"^network: a layer is added to another one; training through the fold takes layers in a row$"):
            QuantizedNetwork(network, coding("direct"), QuantizeSettings())

    @pytest.mark.parametrize("part", [PSP(2.0), PSPNorm(4, "bn", "raw"), nn.Dropout(0.5), nn.ReLU()])
    def test_other_parts(self, part: nn.Module):
        network = SpikingNetwork(Dense(4, 4), LIF(), part, Dense(4, 4), Integrate(), timesteps=2)
        with pytest.raises(TrainError, match=rf"^network chain\.2 \({type(part).__name__}\): training through the fold takes pooling, weights"):
            QuantizedNetwork(network, coding("direct"), QuantizeSettings())

    def test_leaks_that_are_learned(self):
        network = SpikingNetwork(Dense(4, 4), LIF(learn_leak=True), Dense(4, 4), Integrate(), timesteps=2)
        with pytest.raises(TrainError, match=r"^network chain\.1 \(LIF\): it learns its leak"):
            QuantizedNetwork(network, coding("direct"), QuantizeSettings())

    def test_currents_that_float32_would_round(self):
        wide = InputCoding(shape=(1, 40, 40), coding="direct", mean=0.0, std=1.0, scale=127.0, payload_bits=8, seed=0)
        module = QuantizedNetwork(SpikingNetwork(Dense(1600, 3), LIF(), SpikeCount(), timesteps=2), wide, QuantizeSettings())
        with torch.no_grad():
            module.layers[0].synapses.weight.fill_(1.0)
        with pytest.raises(
            TrainError, match=r"^layer 'dense1' current: it takes 26 bits, and float32 holds 25; fewer weight_bits or inputs are needed"
        ):
            module(torch.zeros(1, 1, 1, 40, 40))


QUANTIZE = "[quantize]\nweight_bits = 3\ngain_terms = 1\n[quantize.layer_bits]\ndense3 = 8\n"


def quantized_text(start: str, *, epochs: int = 2) -> str:
    text = recipe_text(epochs=epochs).replace("[train]\n", f'[train]\nmethod = "quantize"\nstart = "{start}"\n')
    return text.replace("learning_rate = 0.1", "learning_rate = 0.01") + QUANTIZE


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the float network, in a folder of its own."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "recipe.toml").write_text(recipe_text())
    train(folder / "recipe.toml", folder / "base")
    return folder


def test_a_run_leaves_the_network_that_it_validated(started: Path, tmp_path: Path):
    recipe = started / "quantized.toml"
    recipe.write_text(quantized_text("base"))
    result = train(recipe, tmp_path / "run")
    plan = parse_recipe(recipe.read_text(), "recipe")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["validated"] == "its integer network"
    assert summary["start_sha256"] == json.loads((started / "base" / "summary.json").read_text())["model_sha256"]
    from spikefold.quantize.float_file import load_float

    assert plan.quantize is not None
    network = fold(load_float(result.model), **plan.quantize.widths).network
    assert [weights.bits for weights in network.weights] == [3, 3, 8]
    data = load_dataset("digits", "train")
    _, held = split(len(data), plan.train.validation, plan.seed)
    trace = reference.run(network, encode(data.images[held], plan.input, plan.timesteps, held))
    assert float((trace.predictions == data.labels[held]).mean()) == result.best.validation_accuracy


def test_an_interrupted_run_ends_the_same(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = started / "resumed.toml"
    recipe.write_text(quantized_text("base", epochs=3))

    def stop(epoch: Any) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", progress=stop)
    assert train(recipe, tmp_path / "parts", resume=True).model_sha256 == whole.model_sha256


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("out = 6", "out = 7", "layer 2 ('dense2') out: 6; here 7"),
        ("leak = 0.9", "leak = 0.8", "neuron leak: 0.9; here 0.8"),
        ("timesteps = 3", "timesteps = 4", "timesteps: 3; here 4"),
        ('start = "base"', 'start = "none"', "{folder}/none: it is not the folder of a training run (it has no recipe.toml)"),
    ],
)
def test_a_refused_start_is_told_before_a_folder_is_made_or_replaced(started: Path, tmp_path: Path, old: str, new: str, text: str):
    recipe, run = started / "other.toml", tmp_path / "run"
    recipe.write_text(quantized_text("base").replace(old, new))
    start = "none" if "none" in new else "base"
    for force in (False, True):
        with pytest.raises(TrainError) as error:
            train(recipe, run, force=force)
        assert str(error.value) == f"{recipe}: train start {start!r}: {text.format(folder=started)}"
        if not force:
            assert not run.exists()
            shutil.copytree(started / "base", run)
    before = {path.name: path.read_bytes() for path in (started / "base").iterdir()}
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def start_of(text: str) -> Start:
    recipe = parse_recipe(text, "start")
    return Start(recipe=recipe, network=build_network(recipe), sha256="")


def changed(*changes: tuple[str, str], norm: str = "bn") -> str:
    """Return a recipe of convolutions, some of which can be told apart by nothing that they learn."""
    layers = """
[[layers]]
kind = "conv2d"
out = 4
kernel = 2
pool = 2
[[layers]]
name = "middle"
kind = "conv2d"
out = 4
kernel = 1
[[layers]]
kind = "conv2d"
out = 4
kernel = 1
"""
    text = recipe_text(norm=norm)
    text = text[: text.index("[[layers]]")] + layers + text[text.index('[[layers]]\nkind = "dense"\nout = 10') :]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


MIDDLE = 'name = "middle"\n'


@pytest.mark.parametrize(
    ("theirs", "ours", "text"),
    [
        ((), [("timesteps = 3", "timesteps = 4")], "timesteps: 3; here 4"),
        ((), [('readout = "potential"', 'readout = "spike_count"')], "readout: 'potential'; here 'spike_count'"),
        ((), [("shape = [1, 8, 8]", "shape = [1, 9, 9]")], "input shape: [1, 8, 8]; here [1, 9, 9]"),
        ((), [("epochs = 3", 'epochs = 3\nclassifier = "stochmax"')], "classifier: 'softmax'; here 'stochmax'"),
        ((), [(MIDDLE, MIDDLE + 'kind = "conv2d"\nout = 4\n[[layers]]\n')], "layers: 4; here 5"),
        ((), [('"bn"', '"tdbn"')], "norm kind: 'bn'; here 'tdbn'"),
        ([('"bn"', '"none"')], (), "norm kind: 'none'; here 'bn'"),
        ((), [('"bn"', '"bn"\nbeta = true')], "norm beta: false; here true"),
        ((), [('"bn"', '"bn"\neps = 0.01')], "norm eps: 0.0001; here 0.01"),
        ((), [("leak = 0.9", 'kind = "if"')], "neuron leak: 0.9; here 1.0"),
        ((), [("leak = 0.9", 'kind = "srm"')], "neuron kind: 'lif'; here 'srm'"),
        ([("leak = 0.9", 'kind = "srm"')], [("leak = 0.9", 'kind = "srm"\ntau_s = 5.0')], "neuron tau_s: 10.0; here 5.0"),
        ((), [("leak = 0.9", "leak = 0.9\nlearn_leak = true")], "neuron learn_leak: false; here true"),
        ((), [("leak = 0.9", 'leak = 0.9\nreset = "hard"')], "neuron reset: 'soft'; here 'hard'"),
        ((), [("leak = 0.9", "leak = 0.9\nthreshold = 0.5")], "layer 1 ('conv1') threshold: 1.0; here 0.5"),
        ((), [(MIDDLE, MIDDLE + "threshold = 0.5\n")], "layer 2 ('middle') threshold: 1.0; here 0.5"),
        ((), [(MIDDLE, MIDDLE + "stride = 2\n")], "layer 2 ('middle') stride: 1; here 2"),
        ([(MIDDLE, MIDDLE + "padding = 1\n")], (), "layer 2 ('middle') padding: 1; here 0"),
        # What follows has the same tensors.
        ((), [("pool = 2\n", ""), (MIDDLE, MIDDLE + "pool = 2\n")], "layer 1 ('conv1') pool: 2; here 1"),
        ((), [(MIDDLE, MIDDLE + 'neuron = "relu"\n')], "layer 2 ('middle') neuron: 'spiking'; here 'relu'"),
        ((), [(MIDDLE, MIDDLE + "bias = true\n")], "layer 2 ('middle') bias: false; here true"),
        ((), [(MIDDLE, MIDDLE + "norm = false\n")], "layer 2 ('middle') norm: true; here false"),
        ([(MIDDLE, MIDDLE + 'add = "conv1"\n')], (), "layer 2 ('middle') add: 'layer 1'; here none"),
        (
            [(MIDDLE, MIDDLE + 'add = "conv1"\n')],
            [(MIDDLE, MIDDLE + 'add = "conv1"\nadd_from = "output"\n')],
            "layer 2 ('middle') add_from: 'drive'; here 'output'",
        ),
        ((), [('[[layers]]\nkind = "dense"', 'weights = "middle"\n[[layers]]\nkind = "dense"')], "layer 3 ('conv3') weights: none; here 'layer 2'"),
    ],
)
def test_another_network_is_no_start(theirs: Sequence[tuple[str, str]], ours: Sequence[tuple[str, str]], text: str):
    start, plan = start_of(changed(*theirs)), parse_recipe(changed(*ours), "r")
    with pytest.raises(TrainError) as error:
        check_start("r: train start 's'", plan, start)
    assert str(error.value) == f"r: train start 's': {text}"
    check_start("", start.recipe, start)


def test_what_is_taken_over_or_only_trains_may_differ():
    renamed = [('name = "small"', 'name = "other"'), (MIDDLE, 'name = "centre"\n'), ('"ternary"', '"direct"'), ("seed = 5", "seed = 6")]
    trained = [("epochs = 3", "epochs = 9\namp = true\naugment_flip = true"), ("leak = 0.9", 'leak = 0.9\nsurrogate = "arctan"')]
    check_start("", parse_recipe(changed(*renamed, *trained), "r"), start_of(changed()))
    # A leak that is learned, and the first gamma of tdBN.
    learned = [("leak = 0.9", "leak = 0.9\nlearn_leak = true")]
    check_start("", parse_recipe(changed(("leak = 0.9", "leak = 0.5\nlearn_leak = true")), "r"), start_of(changed(*learned)))
    check_start("", parse_recipe(changed(('"bn"', '"tdbn"\nalpha = 2.0')), "r"), start_of(changed(('"bn"', '"tdbn"'))))
    # What the last layer, which integrates, has no use for.
    end = ('kind = "dense"', 'kind = "dense"\nthreshold = 9.0\nnorm = false')
    check_start("", parse_recipe(changed(end), "r"), start_of(changed()))
    assert parse_recipe(changed(end), "r").layers[-1].threshold == 9.0


def test_a_converted_network_is_a_start_for_neurons_with_the_thresholds_that_were_found():
    text = changed(("leak = 0.9", 'kind = "if"'), norm="none")
    start = start_of(text.replace("[train]", '[train]\nmethod = "conversion"') + "[conversion]\n")
    neurons = [part for part in start.network.chain if isinstance(part, LIF)]
    for i, part in enumerate(neurons):
        part.threshold = 2.0 + i
    with pytest.raises(TrainError, match=r"^x: layer 1 \('conv1'\) threshold: 2\.0; here 1\.0$"):
        check_start("x", parse_recipe(text, "r"), start)
    parts = text.split('kind = "conv2d"\n')
    given = parts[0] + "".join(f'kind = "conv2d"\nthreshold = {2.0 + i}\n{part}' for i, part in enumerate(parts[1:]))
    check_start("x", parse_recipe(given, "r"), start)


SHIPPED_STARTS = [path for path in list_recipes() if load_recipe(path).train.start]


@pytest.mark.parametrize("path", SHIPPED_STARTS, ids=lambda path: path.stem)
def test_shipped_recipes_accept_their_starts(path: Path):
    plan = load_recipe(path)
    theirs, network = load_run(path.parent / plan.train.start)
    check_start(str(path), plan, Start(recipe=theirs, network=network, sha256=""))


def test_there_are_shipped_recipes_with_a_start():
    assert len(SHIPPED_STARTS) >= 7


def test_the_copy_in_a_run_says_that_its_start_is_elsewhere(started: Path, tmp_path: Path):
    recipe = started / "copied.toml"
    recipe.write_text(quantized_text("base", epochs=1))
    train(recipe, tmp_path / "run")
    copy = tmp_path / "run" / "recipe.toml"
    with pytest.raises(TrainError) as error:
        train(copy, tmp_path / "again")
    assert str(error.value).startswith(f"{copy}: train start 'base': {tmp_path / 'run' / 'base'}: it is not the folder of a training run")


def test_a_run_is_not_resumed_with_another_start(started: Path, tmp_path: Path):
    for name in ("base", "other"):
        (tmp_path / f"{name}.toml").write_text(recipe_text(seed=5 if name == "base" else 6, epochs=1))
        train(tmp_path / f"{name}.toml", tmp_path / name)
    recipe, run = tmp_path / "quantized.toml", tmp_path / "run"
    recipe.write_text(quantized_text("base"))

    def stop(epoch: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, progress=stop)
    (tmp_path / "base").rename(tmp_path / "old")
    (tmp_path / "other").rename(tmp_path / "base")
    old, new = (json.loads((tmp_path / name / "summary.json").read_text())["model_sha256"] for name in ("old", "base"))
    assert old != new
    with pytest.raises(TrainError) as error:
        train(recipe, run, resume=True)
    told = f"(sha256 {old[:12]}…; here sha256 {new[:12]}…)"
    assert str(error.value) == f"{run / 'checkpoint.pt'}: it began with another train start than there is now {told}; it cannot be resumed"
    assert not (run / "summary.json").exists()
    shutil.rmtree(tmp_path / "base")
    (tmp_path / "old").rename(tmp_path / "base")
    train(recipe, run, resume=True)
    assert json.loads((run / "summary.json").read_text())["start_sha256"] == old


def test_the_summary_names_the_device_that_is_used(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def on_a_gpu() -> Iterator[torch.device]:
        yield torch.device("cuda", 0)

    recipe = started / "placed.toml"
    recipe.write_text(quantized_text("base", epochs=1))
    monkeypatch.setattr(runs, "process_group", on_a_gpu)
    train(recipe, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["device"] == "cpu"


@pytest.mark.parametrize("rate", [1000.0, 30.0])
def test_a_network_that_drifts_apart_needs_a_lower_learning_rate(started: Path, tmp_path: Path, rate: float):
    recipe = started / "fast.toml"
    recipe.write_text(quantized_text("base").replace("learning_rate = 0.01", f"learning_rate = {rate}"))
    with pytest.raises(
        DivergenceError,
        match=rf"^train method 'quantize', epoch 1: the network has drifted so far that it cannot be folded; a lower learning_rate than {rate} "
        r"may help \(layer '\w+' threshold: 1, and a step of the potential is .*\)$",
    ):
        train(recipe, tmp_path / "run")


def test_what_does_not_fold_before_the_first_step_keeps_the_advice_of_the_fold(started: Path, tmp_path: Path):
    for name, text in (("low", recipe_text(epochs=1)), ("lower", quantized_text("low"))):
        (tmp_path / f"{name}.toml").write_text(text.replace("leak = 0.9", "leak = 0.9\nthreshold = 0.001"))
    train(tmp_path / "low.toml", tmp_path / "low")
    with pytest.raises(FoldError, match=r"^layer '\w+' threshold: 0\.001, and a step of the potential is .*; a larger threshold"):
        train(tmp_path / "lower.toml", tmp_path / "run")


def test_a_float_network_goes_on_from_another_ones_end(started: Path, tmp_path: Path):
    recipe = started / "further.toml"
    recipe.write_text(recipe_text(epochs=1).replace("[train]\n", '[train]\nstart = "base"\n').replace("learning_rate = 0.1", "learning_rate = 1e-9"))
    result = train(recipe, tmp_path / "run")
    before = json.loads((started / "base" / "summary.json").read_text())["validation_accuracy"]
    assert result.best.validation_accuracy == pytest.approx(before, abs=0.03)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("dense3 = 8", "dense9 = 8", r"quantize layer_bits: 'dense9'; there is no such layer; the layers are 'first', 'dense2', 'dense3'$"),
        ("out = 10", 'out = 10\nname = "a\\nb"', r"layer_bits: 'dense3'; there is no such layer; the layers are 'first', 'dense2', 'a\\nb'$"),
        ("dense3 = 8", "dense3 = 9", r"quantize layer_bits 'dense3': 9; it must be in 2\.\.8$"),
        ("dense3 = 8", '"\\u001b[2J" = 9', r"quantize layer_bits '\\x1b\[2J': 9; it must be in 2\.\.8$"),
        ("dense3 = 8", f'{"x" * 9000} = "a"', r"^r: quantize\.layer_bits\['x{379}…: 'a'; it must be an integer$"),
        ("[quantize.layer_bits]\ndense3 = 8", "layer_bits = [['dense3', 8]]", r"quantize\.layer_bits: it must be a table$"),
        ('start = "base"', 'start = "ba\\u0000se"', r"train start: 'ba\\x00se'; it must have no control characters$"),
        ("gain_terms = 1", "gain_terms = 3", r"quantize gain_terms: 3; it must be in 0\.\.2$"),
        ("leak = 0.9", "leak = 0.9\nlearn_leak = true", r"quantize: neurons that are srm, or learn their leak; training through the fold takes"),
        (
            'method = "quantize"',
            'method = "bptt"',
            r"train method: 'bptt'; the table \[quantize\] belongs to the method 'quantize', and to no other$",
        ),
        ("out = 6", 'out = 6\nneuron = "relu"', r"layers\[1\]\.neuron: 'relu'; training through the fold takes spiking layers in a row$"),
        ("out = 10", 'out = 10\nadd = "dense2"', r"layers\[2\]\.add: 'dense2'; training through the fold takes spiking layers in a row$"),
        ("epochs = 2", 'epochs = 2\nclassifier = "stochmax"', r"quantize: the classifier 'stochmax'; training through the fold takes 'softmax'$"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(old: str, new: str, text: str):
    good = quantized_text("base")
    parse_recipe(good, "r")
    assert old in good
    with pytest.raises(RecipeError, match=text):
        parse_recipe(good.replace(old, new), "r")


def test_what_cannot_start_anywhere_is_refused():
    text = recipe_text().replace("[train]\n", '[train]\nmethod = "conversion"\nstart = "x"\n') + "[conversion]\n"
    with pytest.raises(RecipeError, match=r"train start: 'x'; the method 'conversion' starts from nothing$"):
        parse_recipe(text.replace('kind = "bntt"', 'kind = "none"').replace("leak = 0.9", 'kind = "if"'), "r")
