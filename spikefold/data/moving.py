"""A synthetic event camera in front of Fashion-MNIST, moved as N-MNIST's was: events without an event camera's files.

**These are not recordings.** The camera has no noise, no refractory time and no differences between its pixels, and the images
are flat. What it shows is how a network takes events; its accuracies say nothing about N-MNIST.
"""

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.data.lazy import Bytes, LazyImages

__all__ = ["CORNERS", "SIDE", "moving_camera", "watch"]

SIDE = 34
"""N-MNIST's: 28 pixels of image and 3 around."""
FINE = 16
"""Positions are in sixteenths of a pixel, so that everything after the logarithm's table is exact."""
CORNERS = ((-2, -2), (0, 2), (2, -2))
"""(x, y) of the image's shift in pixels at the beginning of each saccade; the third one ends where the first began."""
STEPS_MIN = 60
"""How often the camera looks, at least: each saccade in 20 steps, which are 3.6 sixteenths of a pixel long at most."""
DARK = 32
"""Added to a pixel before the logarithm: the photocurrent without light, so that black is not minus infinity."""
UNIT = 1024
THRESHOLD = round(0.4 * UNIT)
"""The change of log intensity for one event. From black to white it is ln(287 / 32) = 2.19, so five events."""
LEVELS = np.rint(UNIT * np.log(np.arange(255 * FINE**2 + 1) / FINE**2 + DARK)).astype(np.int32)
"""Log intensity, in 1 / UNIT, of an interpolated pixel in 1 / FINE**2."""


def moving_camera(images: Bytes, timesteps: int) -> LazyImages:
    """Return what the camera sees of images, uint8 [N, 1, S, S]: frames [N, T, 2, 34, 34], made for those samples that are asked for."""
    return LazyImages(shape=(len(images), timesteps, 2, SIDE, SIDE), read=lambda wanted: watch(images[wanted, 0], timesteps))


def watch(images: Bytes, timesteps: int) -> Bytes:
    """Return the events of images, uint8 [N, S, S], as counts: uint8 [N, T, 2, 34, 34], OFF events in channel 0 and ON events in 1.

    The image stands in the middle of black and moves, at a constant speed in each, through three saccades of equal duration: its shift
    goes in straight lines from the first of ``CORNERS`` to the second, the third and back (an isosceles triangle, after the three saccades of
    Orchard et al. 2015). It is interpolated bilinearly. At each of K steps a timestep, K T >= ``STEPS_MIN``, a pixel whose log intensity
    ln(p + ``DARK``) is n >= 1 times ``THRESHOLD`` / ``UNIT`` above (below) its reference sends n ON (OFF) events, and its reference moves by
    as much; at the beginning it is what the pixel sees.
    An image larger than 30 pixels would leave the picture and is a DataError.
    """
    border = (SIDE - images.shape[-1]) // 2
    if images.ndim != 3 or images.shape[1] != images.shape[2] or border < 2 or images.shape[-1] % 2:
        raise DataError(f"moving camera: images of {list(images.shape)}; they must be [N, S, S] with an even S up to {SIDE - 4}")
    steps_per_timestep = -(-STEPS_MIN // timesteps)
    steps = timesteps * steps_per_timestep
    # One pixel more than the camera's on every side, for the interpolation; the shift itself fits in the border.
    scene = np.pad(images, [(0, 0)] + [(border + 3, border + 3)] * 2).astype(np.int32)
    reference = LEVELS[_shifted(scene, *_place(0, steps))]
    frames = np.empty((len(images), timesteps, 2, SIDE, SIDE), dtype=np.uint8)
    for t in range(timesteps):
        counts = np.zeros((2, len(images), SIDE, SIDE), dtype=np.int32)
        for step in range(t * steps_per_timestep + 1, (t + 1) * steps_per_timestep + 1):
            change = LEVELS[_shifted(scene, *_place(step, steps))] - reference
            # Towards zero, on either side: a change below the threshold waits.
            events = np.abs(change) // THRESHOLD * np.sign(change)
            reference += events * THRESHOLD
            counts[0] -= np.minimum(events, 0)
            counts[1] += np.maximum(events, 0)
        # 8 bits are enough: a saccade crosses at most 7 squares between pixel centres, and rises at most once in each, by 6 events.
        frames[:, t] = counts.swapaxes(0, 1)
    return frames


def _place(step: int, steps: int) -> tuple[int, int]:
    """Return the shift (x, y) at a step, in sixteenths of a pixel, rounded down."""
    saccade, done = divmod(3 * step, steps)
    start, end = CORNERS[saccade % 3], CORNERS[(saccade + 1) % 3]
    x, y = (FINE * (a * (steps - done) + b * done) // steps for a, b in zip(start, end, strict=True))
    return x, y


def _shifted(scene: npt.NDArray[np.int32], x: int, y: int) -> npt.NDArray[np.int32]:
    """Return what the camera's pixels see, [N, 34, 34] in 1 / FINE**2, when the image is shifted by (x, y) sixteenths of a pixel."""
    (left, right_part), (top, low_part) = divmod(-x, FINE), divmod(-y, FINE)
    top, left = top + 3, left + 3
    view = scene[:, top : top + SIDE + 1, left : left + SIDE + 1]
    rows = view[:, :-1] * (FINE - low_part) + view[:, 1:] * low_part
    seen: npt.NDArray[np.int32] = rows[:, :, :-1] * (FINE - right_part) + rows[:, :, 1:] * right_part
    return seen
