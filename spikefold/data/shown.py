"""How values are printed: quoted in errors (one line, nothing that a terminal would obey, not without end), and shares."""

__all__ = ["LENGTH_MAX", "percent", "shortened", "shown"]

LENGTH_MAX = 400


def shown(value: object) -> str:
    """Return ``value`` for an error message: on one line, and not without end."""
    text = repr(value)
    # An array's has line ends of its own; a text's are escaped.
    return shortened(text if "\n" not in text else " ".join(text.split()))


def shortened(text: str, length_max: int = LENGTH_MAX) -> str:
    """Return ``text``, or its beginning where it is longer than ``length_max`` characters."""
    return text if len(text) <= length_max else f"{text[:length_max]}…"


def percent(share: float, digits: int = 2) -> str:
    """Return a share as every table has it: ``96.94 %``. JSON keeps the fraction."""
    return f"{100 * share:.{digits}f} %"
