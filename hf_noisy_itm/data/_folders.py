"""Folders as `datasets` finds them, and those that it cannot open."""

import glob
from pathlib import Path

from ..errors import InputError
from ..files import read_json


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote it."""
    return (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()


def refuse_pattern(folder: str | Path, what: str) -> None:
    """Refuses a folder that `datasets.load_dataset` cannot open: it takes the whole path for a pattern of names.

    Args:
        folder: its path; that of the folder above it counts too.
        what: it is, in the message.

    Raises:
        InputError: a sign of patterns is in the path.
    """
    path = str(Path(folder).absolute())
    if glob.has_magic(path):
        raise InputError(
            f"{what} {path} has brackets, * or ? in its path, which datasets.load_dataset takes for a pattern, "
            f"and then it finds nothing: take another name."
        )


def refuse_empty(folder: Path) -> None:
    """Refuses a folder of `save_to_disk` with a split of no rows, at which `datasets` stumbles.

    Raises:
        InputError: the split is named.
    """
    for state in sorted(folder.glob("**/state.json")):
        content = read_json(state)
        if isinstance(content, dict) and content.get("_data_files") == []:
            raise InputError(f"The split {state.parent.name!r} of {folder} has no rows: save it without this split.")
