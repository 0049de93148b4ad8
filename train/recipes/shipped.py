"""Files that come with Spikefold and may be given by their name. No torch here."""

from collections.abc import Iterable
from difflib import get_close_matches
from os.path import commonpath
from pathlib import Path

from spikefold.train.errors import RecipeError

__all__ = ["find_shipped"]


def find_shipped(given: str | Path, shipped: Iterable[Path], kind: str) -> Path:
    """Return the path of a file that is given by its path, or by its name if it is one of ``shipped``; ``kind`` names it in errors.

    What is no file, has no folder and does not end in .toml is a name. An unknown one is a RecipeError that lists near ones, and so is a folder.
    """
    path = Path(given)
    names = {known.stem: known for known in shipped}
    named = path.suffix != ".toml" and len(path.parts) == 1
    if path.is_dir() and not (named and path.name in names):
        raise RecipeError(f"{path}: it is a folder; a {kind}'s file is needed")
    if path.is_file() or not named:
        return path
    if path.name in names:
        return names[path.name]
    near = get_close_matches(path.name, names, n=5, cutoff=0.4)
    hint = (
        f"the nearest are {', '.join(near)}"
        if near
        else f"the {len(names)} that come with Spikefold are in {commonpath(known.parent for known in names.values())}"
    )
    raise RecipeError(f"{path}: there is no such file, and no {kind} of that name; {hint}")
