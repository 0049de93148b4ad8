"""Networks of the papers' recipes, made small: exported, folded, and the same in reference and simulator; or refused by name."""

import numpy as np
import pytest
import torch

from spikefold.network import reference
from spikefold.network.trace import compare
from spikefold.quantize.fold import fold
from spikefold.train.errors import ExportError
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.network import build_network
from spikefold.train.recipes.recipe import find_recipe, load_recipe
from tests.chips import chip_of
from tests.train.scaled import scaled, trained_by_gradient
from tests.virtual import virtual

FOLDED = {
    "agd_cifar10_vgg3x2_v2": 5, "bntt_sequential_mnist_fc": 3, "conversion_cifar10_vgg3x2_v1": 7, "hybrid_imagenet_vgg13": 13,
    "tdbn_n_mnist_scnn12": 13, "psp_bn_eq15_fashion_mnist_scnn12": 13, "psp_ln_fashion_mnist_scnn12": 13, "psp_ln_eq15_fashion_mnist_scnn12": 13,
    "psp_bn_fashion_mnist_pre_resnet106": 158,
}  # fmt: skip
"""Recipes and the populations that their networks become: a residual drive takes one more."""
REFUSED = {
    "agd_stochmax_cifar10_vgg3": "Stochmax.: its scores take an exponential of every class; train with the classifier 'softmax'",
    "psp_bn_eq12_fashion_mnist_scnn12": "over bn, form centred, it shifts silent inputs, so that no weights can hold it; use another psp norm",
    "psp_ln_eq12_fashion_mnist_scnn12": "over ln, form centred, it shifts silent inputs, so that no weights can hold it; use another psp norm",
    "psp_bn_n_mnist_post_resnet106": "what is added to it is neither what earlier neurons receive nor the spikes that they send",
}


def network_of(name: str) -> torch.nn.Module:
    recipe = load_recipe(find_recipe(name))
    torch.manual_seed(0)
    return build_network(scaled(recipe if recipe.train.method == "conversion" else trained_by_gradient(recipe))).double().eval()


def coding_and_names(name: str) -> tuple:
    recipe = scaled(load_recipe(find_recipe(name)))
    return recipe.input, tuple(str(c) for c in range(recipe.layers[-1].out))


@pytest.mark.parametrize("name", FOLDED)
def test_a_network_of_a_paper_is_exported_folded_and_the_same_in_reference_and_simulator(name: str) -> None:
    coding, names = coding_and_names(name)
    network = fold(to_float_network(network_of(name), coding=coding, class_names=names)).network
    assert len(network.populations) == FOLDED[name]
    shape = (2, network.timesteps, *coding.shape)
    events = np.random.default_rng(1).integers(coding.payload_min, coding.payload_max, shape, dtype=np.int8, endpoint=True)
    expected = reference.run(network, events, potentials=True)
    assert compare(expected, virtual(network, ROOMY).run(events, potentials=True, timing=False)).equal
    assert expected.spikes[0].any()


ROOMY = chip_of(name="roomy", cores=64, neurons_per_core=1 << 20, axons_per_core=1 << 20)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_by_name(name: str) -> None:
    coding, names = coding_and_names(name)
    with pytest.raises(ExportError, match=f"^network chain.*{REFUSED[name]}$"):
        to_float_network(network_of(name), coding=coding, class_names=names)
