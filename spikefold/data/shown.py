"""Values quoted in errors: on one line, without what a terminal would obey, and not without end."""

__all__ = ["LENGTH_MAX", "shortened", "shown"]

LENGTH_MAX = 400


def shown(value: object) -> str:
    """Return ``value`` for an error message: on one line, and not without end."""
    text = repr(value)
    # An array's has line ends of its own; a text's are escaped.
    return shortened(text if "\n" not in text else " ".join(text.split()))


def shortened(text: str, length_max: int = LENGTH_MAX) -> str:
    """Return ``text``, or its beginning where it is longer than ``length_max`` characters."""
    return text if len(text) <= length_max else f"{text[:length_max]}…"
