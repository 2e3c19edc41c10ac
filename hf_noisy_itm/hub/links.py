"""Nothing is published that lies elsewhere than in the folder that was named."""

from pathlib import Path

from ..errors import InputError


def inside(folder: Path, path: Path) -> Path:
    """A path, if its file lies in the folder, too.

    Raises:
        InputError: it is a link to a file elsewhere, of which nobody said that it may be published.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} is a link out of its folder: put the file itself there, or remove the link.")
    return path
