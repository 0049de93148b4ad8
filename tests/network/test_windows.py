"""Pooling, convolution windows and layer shapes, against loops; and where the fold's float layers meet them."""

import numpy as np
import pytest

from spikefold.data.errors import NetworkError
from spikefold.network.windows import layer_shape, patches, pool, pooled_shape


@pytest.mark.parametrize("side", [1, 2, 3])
def test_pooling_sums_windows_and_leaves_the_rest_out(side: int):
    x = np.random.default_rng(side).integers(-9, 9, (2, 3, 4, 7, 8))
    got = pool(x, side)
    assert got.shape[2:] == pooled_shape((4, 7, 8), side)
    for y in range(7 // side):
        for column in range(8 // side):
            window = x[..., y * side : (y + 1) * side, column * side : (column + 1) * side]
            assert np.array_equal(got[..., y, column], window.sum((-2, -1)))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 5)])
def test_patches_are_what_each_output_sees(kernel: tuple[int, int], stride: int, padding: int):
    x = np.random.default_rng(0).integers(-9, 9, (1, 2, 3, 6, 7))
    shape = layer_shape("l", "conv2d", (3, 6, 7), 1, (5, 3, *kernel), stride, padding)
    seen = patches(x, kernel, stride, padding)
    assert seen.shape == (1, 2, *shape[1:], 3, *kernel)
    for oy, ox, ky, kx in np.ndindex(*shape[1:], *kernel):
        y, column = oy * stride + ky - padding, ox * stride + kx - padding
        inside = 0 <= y < 6 and 0 <= column < 7
        assert np.array_equal(seen[:, :, oy, ox, :, ky, kx], x[:, :, :, y, column] if inside else np.zeros((1, 2, 3)))


def test_a_dense_layer_is_a_pixel_of_channels():
    assert layer_shape("l", "dense", (2, 5, 4), 2, (7, 2 * 2 * 2), 1, 0) == (7, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("dense", (2, 3, 3), 4, (5, 0), 1, 0), "l: pooling (2, 3, 3) by 4 leaves nothing"),
        (("dense", (2, 3, 3), 1, (5, 17), 1, 0), "l weights: shape [5, 17]; [out, 18] is expected for a source of (2, 3, 3)"),
        (
            ("conv2d", (2, 3, 3), 1, (5, 3, 3, 3), 1, 0),
            "l weights: shape [5, 3, 3, 3]; [out, 2, kernel_y, kernel_x] is expected for a source of (2, 3, 3)",
        ),
        (("conv2d", (2, 3, 3), 1, (5, 2), 1, 0), "l weights: shape [5, 2]; [out, 2, kernel_y, kernel_x] is expected for a source of (2, 3, 3)"),
        (("conv2d", (2, 30, 30), 1, (5, 2, 3, 17), 1, 0), "l weights: kernel [3, 17]; a side must be in 1..16"),
        (("conv2d", (2, 3, 3), 1, (5, 2, 6, 1), 1, 1), "l weights: kernel [6, 1] is larger than its padded source (2, 3, 3)"),
    ],
)
def test_weights_that_do_not_fit(arguments: tuple, text: str):
    with pytest.raises(NetworkError) as error:
        layer_shape("l", *arguments)
    assert str(error.value) == text
