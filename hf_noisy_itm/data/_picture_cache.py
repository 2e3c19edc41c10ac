"""Resized pictures in a folder, so that later epochs, workers and runs need not decode."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import atomic_path
from ._npy import read_npy


class PictureCache:
    """One file per picture, named by the hash of the encoded picture and lying in a folder named by the settings.

    So it does not matter which data set, row or process a picture comes from, nor whether the data change; several
    processes may fill the cache at once. Nothing is ever deleted: remove the folder when it is too large.

    A file that does not hold an array that fits is made again. A folder in its place is left, and the picture made
    each time.

    Args:
        folder: of all settings; made when the first picture is written.
        settings: name for everything that a resized picture depends on beside its content (`Pixels.settings`).
        fits: whether an array may be a resized picture (`Pixels.fits`).

    Raises:
        InputError: the folder is a file.
    """

    def __init__(self, folder: str | Path, settings: str, fits: Callable[[np.ndarray], bool]):
        if Path(folder).is_file():
            raise InputError(f"The picture_cache {folder} is a file; give a folder.")
        self.folder, self.fits = Path(folder) / settings, fits

    def fetch(self, content: bytes, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Reads the resized form of a picture, or makes and writes it.

        Args:
            content: the encoded picture.
            make: what to do if it is not there, or not whole.

        Raises:
            InputError: it cannot be written.
        """
        name = hashlib.sha256(content).hexdigest()[:40]
        path = self.folder / name[:2] / f"{name}.npy"  # 256 folders: file systems slow down with millions in one
        pixels = _read(path)
        if pixels is not None and self.fits(pixels):
            return pixels
        pixels = make()
        if path.is_dir():
            return pixels
        try:
            with atomic_path(path) as temporary:
                np.save(temporary, pixels, allow_pickle=False)
        except OSError as error:
            raise InputError(
                f"The picture cache cannot write {path} ({error.strerror}); make room, or change its rights, or "
                f"leave picture_cache out."
            ) from error
        return pixels


def _read(path: Path) -> np.ndarray | None:
    """The array in a .npy file; None if there is none. What lies in the folder may come from anyone."""
    try:
        dtype, shape, content = read_npy(path)
        return None if dtype.hasobject else np.frombuffer(content, dtype).reshape(shape)
    except (InputError, ValueError):
        return None
