"""The word map: the neurons of each word of a core."""

from dataclasses import dataclass

__all__ = ["WordMap"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WordMap:
    """Neurons of ``shape`` (channels, height, width) in words of ``lanes``.

    Word ``(y * width + x) * groups + g`` holds the channels ``g * lanes .. (g + 1) * lanes`` of pixel (y, x). Lanes past
    the last channel hold no neuron.
    """

    shape: tuple[int, int, int]
    lanes: int

    @property
    def groups(self) -> int:
        """The words of a pixel."""
        return -(-self.shape[0] // self.lanes)

    @property
    def words(self) -> int:
        """The words of all neurons."""
        return self.shape[1] * self.shape[2] * self.groups

    def neurons(self, word: int) -> tuple[slice, int, int]:
        """Return the neurons of a word, the first lane's first: a slice of channels, y and x, which index an array [C, H, W]."""
        pixel, group = divmod(word, self.groups)
        y, x = divmod(pixel, self.shape[2])
        return slice(group * self.lanes, min((group + 1) * self.lanes, self.shape[0])), y, x
