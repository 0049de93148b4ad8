"""Training through the fold: the forward pass is the integer network's, the gradients are the float network's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.quantize import reference
from spikefold.quantize.fold import fold
from spikefold.quantize.network import Network
from spikefold.train.errors import RecipeError, TrainError
from spikefold.train.export import to_float_network
from spikefold.train.layers import AveragePool, Conv2d, Dense, Integrate, SpikeCount, Synapses
from spikefold.train.network import SpikingNetwork, events_to_input
from spikefold.train.neurons import LIF
from spikefold.train.norm import BNTT, BatchNorm, CurrentNorm
from spikefold.train.psp_norm import PSPNorm
from spikefold.train.quantized import QuantizedNetwork
from spikefold.train.recipe import parse_recipe
from spikefold.train.run import train
from spikefold.train.sections import QuantizeSettings
from spikefold.train.srm import PSP
from spikefold.train.training import split
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


def test_another_network_is_no_start(started: Path, tmp_path: Path):
    for old, new, text in (
        ("out = 6", "out = 7", r"^train start: 'base'; its layers are not those of the recipe 'small': Error\(s\) in loading state_dict"),
        ("leak = 0.9", "leak = 0.8", r"^train start: 'base'; its neurons are leak=0\.9, .*; those of the recipe 'small' are leak=0\.8,"),
        ('start = "base"', 'start = "none"', r"none: it is not the folder of a training run"),
    ):
        recipe = started / "other.toml"
        recipe.write_text(quantized_text("base").replace(old, new))
        with pytest.raises(TrainError, match=text):
            train(recipe, tmp_path / "run", force=True)


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
