"""Input coding on the host: images to signed event payloads, the same for every execution.

Randomness is counter-based: the stream of a sample is Philox keyed by (seed, sample), and element ``e`` of timestep
``t`` takes the stream's word ``t * elements + e``. So float network, reference, simulator and hardware see the same
events in whatever order the samples are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError

__all__ = ["PAYLOAD_BITS_MAX", "InputCoding", "encode"]

Coding = Literal["ternary", "poisson", "direct"]
PAYLOAD_BITS_MAX = 8
SIDE_MAX = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCoding:
    """How an image becomes events.

    ``shape`` is (channels, height, width). A pixel ``p`` (as stored in the data set) is normalised to
    ``x = (p - mean) / std``, and its payload in timestep t is, with r uniform in [0, 1):

    - ``ternary``: ``sign(x) * [2 r <= |x|]``, the code of BNTT (Kim and Panda 2021);
    - ``poisson``: ``[r < x]``, unsigned rate coding of x in [0, 1];
    - ``direct``: ``round(x * scale)``, the same graded payload in every timestep.

    The network's float input is ``payload / scale``. Payloads are signed, ``payload_bits`` wide and symmetric:
    at most ``2**(payload_bits - 1) - 1`` in magnitude (direct coding clips there).
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
        if self.coding not in ("ternary", "poisson", "direct"):
            raise DataError(f"input coding {self.coding!r}: it must be ternary, poisson or direct")
        if not 2 <= self.payload_bits <= PAYLOAD_BITS_MAX:
            raise DataError(f"input payload_bits {self.payload_bits}: it must be in 2..{PAYLOAD_BITS_MAX}")
        for name in ("mean", "std", "scale"):
            if not np.isfinite(getattr(self, name)):
                raise DataError(f"input {name} {getattr(self, name)!r}: it must be finite")
        if self.std <= 0 or self.scale <= 0:
            raise DataError(f"input std {self.std} and scale {self.scale}: both must be above 0")
        if self.coding != "direct" and self.scale != 1.0:
            raise DataError(f"input scale {self.scale}: {self.coding} coding has unit payloads, so it must be 1")
        if not 0 <= self.seed < 2**63:
            raise DataError(f"input seed {self.seed}: it must be in 0..2**63-1")

    @property
    def payload_max(self) -> int:
        """The largest payload magnitude."""
        return 1 if self.coding != "direct" else int(2 ** (self.payload_bits - 1) - 1)

    @property
    def payload_min(self) -> int:
        """The smallest payload: 0 for unsigned rate coding."""
        return 0 if self.coding == "poisson" else -self.payload_max


def uniform(seed: int, sample: int, timesteps: int, elements: int) -> npt.NDArray[np.float64]:
    """Return the counter-based uniforms in [0, 1) of one sample, [timesteps, elements]."""
    words = np.random.Philox(key=np.array([seed, sample], dtype=np.uint64)).random_raw(timesteps * elements)
    return (np.asarray(words, dtype=np.uint64) >> np.uint64(11)).astype(np.float64).reshape(timesteps, elements) * 2.0**-53


def encode(
    images: npt.NDArray[np.generic], coding: InputCoding, timesteps: int, samples: Sequence[int] | npt.NDArray[np.int64]
) -> npt.NDArray[np.int8]:
    """Return the payloads of every element in every timestep, int8 [N, T, C, H, W].

    ``images`` is [N, C, H, W] in the data set's own units; ``samples`` are the N indices that key the randomness.
    """
    if images.ndim != 4 or images.shape[1:] != coding.shape:
        raise DataError(f"images of shape {images.shape}: the network's input is [N, {', '.join(map(str, coding.shape))}]")
    if len(samples) != len(images):
        raise DataError(f"{len(samples)} sample numbers for {len(images)} images: there must be one each")
    x = ((images.astype(np.float64) - coding.mean) / coding.std).reshape(len(images), 1, -1)
    if not np.isfinite(x).all():
        raise DataError("images: a pixel is not finite")
    if coding.coding == "direct":
        limit = coding.payload_max
        flat = np.broadcast_to(np.clip(np.rint(x * coding.scale), -limit, limit), (len(images), timesteps, x.shape[2]))
    else:
        flat = np.empty((len(images), timesteps, x.shape[2]), dtype=np.int8)
        for n, sample in enumerate(samples):
            r = uniform(coding.seed, int(sample), timesteps, x.shape[2])
            flat[n] = np.sign(x[n]) * (2 * r <= np.abs(x[n])) if coding.coding == "ternary" else r < x[n]
    return flat.astype(np.int8).reshape(len(images), timesteps, *coding.shape)
