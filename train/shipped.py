"""Files that come with Spikefold and may be given by their name. No torch here."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from spikefold.train.errors import RecipeError

__all__ = ["find_shipped"]


def find_shipped(given: str | Path, shipped: Iterable[Path], kind: str) -> Path:
    """Return the path of a file that is given by its path, or by its name if it is one of ``shipped``; ``kind`` names it in errors.

    What is no file, has no folder and does not end in .toml is a name; an unknown one is a RecipeError that lists near ones.
    """
    path = Path(given)
    if path.is_file() or path.suffix == ".toml" or len(path.parts) != 1:
        return path
    names = {known.stem: known for known in shipped}
    if path.name in names:
        return names[path.name]
    near = get_close_matches(path.name, names, n=5, cutoff=0.4) or sorted(names)
    raise RecipeError(f"{path}: there is no such file, and no {kind} of that name; the nearest are {', '.join(near)}")
