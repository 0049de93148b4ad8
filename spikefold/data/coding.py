"""Input coding on the host: images or event frames to signed event payloads, the same for every execution.

Randomness is counter-based: the stream of a sample is Philox keyed by (seed, sample), and element ``e`` of timestep
``t`` takes the stream's word ``t * elements + e``. So float network, reference, simulator and hardware see the same
events in whatever order the samples are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError
from spikefold.data.info import PAYLOAD_BITS_MAX, Coding

__all__ = ["PAYLOAD_BITS_MAX", "InputCoding", "encode"]

SIDE_MAX = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCoding:
    """How an image becomes events.

    ``shape`` is (channels, height, width). A pixel ``p`` (as stored in the data set) is normalised to
    ``x = (p - mean) / std``, and its payload in timestep t is, with r uniform in [0, 1):

    - ``ternary``: ``sign(x) * [2 r <= |x|]``, the code of BNTT (Kim and Panda 2021);
    - ``poisson``: ``[r < x]``, unsigned rate coding of x in [0, 1];
    - ``direct``: ``round(x * scale)``, the same graded payload in every timestep;
    - ``frames``: the count of frame t of a recording of events, which is not normalised: ``mean`` is 0, ``std`` and ``scale`` are 1;
    - ``sequence``: ``round(x * scale)`` of the next pixels of the image, read row by row: with ``shape`` (channels, 1, p), the p pixels
      from number ``p t`` on of every channel. All timesteps together read the image once.

    The network's float input is ``payload / scale``. Payloads are signed, ``payload_bits`` wide and symmetric:
    at most ``2**(payload_bits - 1) - 1`` in magnitude (``direct``, ``frames`` and ``sequence`` clip there).
    """

    shape: tuple[int, int, int]
    coding: Coding
    mean: float
    std: float
    scale: float
    payload_bits: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1 or max(self.shape) > SIDE_MAX:
            raise DataError(f"input shape {self.shape!r}: it must be three numbers (channels, height, width) in 1..{SIDE_MAX}")
        if self.coding not in get_args(Coding):
            raise DataError(f"input coding {self.coding!r}: it must be one of {', '.join(get_args(Coding))}")
        if not 2 <= self.payload_bits <= PAYLOAD_BITS_MAX:
            raise DataError(f"input payload_bits {self.payload_bits}: it must be in 2..{PAYLOAD_BITS_MAX}")
        for name in ("mean", "std", "scale"):
            if not np.isfinite(getattr(self, name)):
                raise DataError(f"input {name} {getattr(self, name)!r}: it must be finite")
        if self.std <= 0 or self.scale <= 0:
            raise DataError(f"input std {self.std} and scale {self.scale}: both must be above 0")
        if self.coding not in ("direct", "sequence") and self.scale != 1.0:
            raise DataError(f"input scale {self.scale}: {self.coding} coding has whole payloads of unit 1, so it must be 1")
        if self.coding == "frames" and (self.mean, self.std) != (0.0, 1.0):
            raise DataError(f"input mean {self.mean} and std {self.std}: frames coding takes counts as they are, so they must be 0 and 1")
        if self.coding == "sequence" and self.shape[1] != 1:
            raise DataError(f"input shape {self.shape!r}: with sequence coding it must be (channels, 1, pixels in a timestep)")
        if not 0 <= self.seed < 2**63:
            raise DataError(f"input seed {self.seed}: it must be in 0..2**63-1")

    @property
    def payload_max(self) -> int:
        """The largest payload magnitude."""
        return 1 if self.coding in ("ternary", "poisson") else int(2 ** (self.payload_bits - 1) - 1)

    @property
    def payload_min(self) -> int:
        """The smallest payload: 0 for unsigned rate coding and for counts."""
        return 0 if self.coding in ("poisson", "frames") else -self.payload_max

    def fits(self, shape: tuple[int, int, int], timesteps: int) -> bool:
        """Return whether images of ``shape`` (that of a :class:`Dataset`) become this input in so many timesteps."""
        if self.coding != "sequence":
            return shape == self.shape
        return (shape[0], shape[1] * shape[2]) == (self.shape[0], timesteps * self.shape[2])

    def expected(self, timesteps: int) -> str:
        """Return in words which images ``fits`` is true of."""
        if self.coding != "sequence":
            return str(list(self.shape))
        channels, pixels = self.shape[0], timesteps * self.shape[2]
        return f"[{channels}, H, W] with H x W = {pixels} pixels, {self.shape[2]} in each of {timesteps} timesteps"


def uniform(seed: int, sample: int, timesteps: int, elements: int) -> npt.NDArray[np.float64]:
    """Return the counter-based uniforms in [0, 1) of one sample, [timesteps, elements]."""
    words = np.random.Philox(key=np.array([seed, sample], dtype=np.uint64)).random_raw(timesteps * elements)
    return (np.asarray(words, dtype=np.uint64) >> np.uint64(11)).astype(np.float64).reshape(timesteps, elements) * 2.0**-53


def encode(
    images: npt.NDArray[np.generic], coding: InputCoding, timesteps: int, samples: Sequence[int] | npt.NDArray[np.int64]
) -> npt.NDArray[np.int8]:
    """Return the payloads of every element in every timestep, int8 [N, T, C, H, W] with the C, H, W of ``coding``.

    ``images`` are [N, C, H, W] in the data set's own units, or [N, T, C, H, W] counts of events for ``frames`` coding;
    ``samples`` are the N indices that key the randomness. Images that do not fit are a DataError.
    """
    if len(samples) != len(images):
        raise DataError(f"{len(samples)} sample numbers for {len(images)} images: there must be one each")
    if coding.coding == "frames":
        return _frames(images, coding, timesteps)
    if images.ndim != 4 or not coding.fits(images.shape[1:], timesteps):
        raise DataError(f"images of shape {images.shape}: the network's input takes N images of {coding.expected(timesteps)}")
    x = (images.astype(np.float64) - coding.mean) / coding.std
    if not np.isfinite(x).all():
        raise DataError("images: a pixel is not finite")
    limit = coding.payload_max
    if coding.coding == "sequence":
        payloads = np.clip(np.rint(x * coding.scale), -limit, limit).astype(np.int8)
        channels, _, pixels = coding.shape
        # [N, C, T, 1, p] to [N, T, C, 1, p].
        return np.ascontiguousarray(payloads.reshape(len(images), channels, timesteps, 1, pixels).swapaxes(1, 2))
    x = x.reshape(len(images), 1, -1)
    if coding.coding == "direct":
        held = np.clip(np.rint(x * coding.scale), -limit, limit).astype(np.int8)
        flat = np.repeat(held, timesteps, axis=1)
    else:
        flat = np.empty((len(images), timesteps, x.shape[2]), dtype=np.int8)
        for n, sample in enumerate(samples):
            r = uniform(coding.seed, int(sample), timesteps, x.shape[2])
            flat[n] = np.sign(x[n]) * (2 * r <= np.abs(x[n])) if coding.coding == "ternary" else r < x[n]
    return flat.reshape(len(images), timesteps, *coding.shape)


def _frames(images: npt.NDArray[Any], coding: InputCoding, timesteps: int) -> npt.NDArray[np.int8]:
    if images.dtype.kind not in "ui" or images.shape[1:] != (timesteps, *coding.shape):
        raise DataError(
            f"images of shape {images.shape}, {images.dtype}: with frames coding the network takes "
            f"whole numbers [N, {', '.join(map(str, (timesteps, *coding.shape)))}]"
        )
    if images.size and images.min() < 0:
        raise DataError(f"images: a count of {images.min()}; with frames coding there must be none below 0")
    payloads: npt.NDArray[np.int8] = np.minimum(images, coding.payload_max).astype(np.int8)
    return payloads
