"""Scikit-learn's handwritten digits, with a fixed split."""

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError

__all__ = ["TEST_PER_CLASS", "load_digits_split"]

TEST_PER_CLASS = 36
SPLIT_KEY = 20260101


def load_digits_split(*, test: bool) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the images, uint8 [N, 1, 8, 8] with pixels 0..16, and labels, int64 [N], of one split.

    36 samples of each class are for testing (360), the others (1,437) for training, each in the package's order. Raw words of
    Philox rank them: unlike NumPy's shuffles, these never change between versions.
    """
    try:
        # Here, not above: scikit-learn takes a second to import, and only this data set needs it.
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("data set 'digits': it comes with scikit-learn, which is not installed") from error
    bunch = load_digits()
    labels = np.asarray(bunch.target, dtype=np.int64)
    rank = np.random.Philox(key=SPLIT_KEY).random_raw(len(labels))
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(rank[members])[:TEST_PER_CLASS]]] = True
    wanted = chosen if test else ~chosen
    return np.asarray(bunch.images[wanted, None], dtype=np.uint8), labels[wanted]
