"""Picture paths that others wrote, as cells of an undecoded image column; none leads out of its folder."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

# Stands in place of a picture's bytes, before the path: `datasets` would open a path that it finds in its own place.
REFUSED = b"refused, it leaves its folder: "


class PictureFolder:
    """A folder beyond which no picture path may lead.

    A relative path is taken from the folder. One that leaves it, by `..`, by being absolute, or by a symbolic link,
    is refused: its cell holds no path, and for bytes `REFUSED` and the path as it was written. The folder itself may
    be a link; an absolute path into it is fine. Whether a file is there is not asked here.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).expanduser().resolve()
        self._parents: dict[str, str | None] = {}

    def cell(self, written: str | None) -> dict | None:
        """The cell of one picture: `{"bytes": None, "path": …}`; None where nothing is written."""
        if not written:
            return None
        path = self._inside(written)
        refused = REFUSED + written.encode("utf-8", "surrogateescape")
        return {"bytes": refused, "path": None} if path is None else {"bytes": None, "path": path}

    def _inside(self, written: str) -> str | None:
        """The absolute path, or None if it leads outside; folders are resolved once."""
        parent, name = os.path.split(written)
        if "\0" in written:
            return None
        try:
            if parent not in self._parents:
                self._parents[parent] = self._resolve(self.root / parent)
            folder = self._parents[parent]
            if folder is None:
                return None
            path = os.path.join(folder, name)
            return self._resolve(Path(path)) if name in ("", ".", "..") or os.path.islink(path) else path
        except (OSError, RuntimeError):  # links that go round in circles (which of the two, Python's version says)
            return None

    def _resolve(self, path: Path) -> str | None:
        resolved = path.resolve()
        return str(resolved) if resolved.is_relative_to(self.root) else None


def refused_path(content: memoryview | bytes) -> str | None:
    """The path that a cell's bytes tell of, if they stand for a refused one."""
    head = bytes(content[: len(REFUSED)])
    return bytes(content[len(REFUSED) :]).decode("utf-8", "replace") if head == REFUSED else None


def hash_files(files: Iterable[Path], more: str = "") -> str:
    """SHA-256 over the names and contents of files, and over `more`."""
    digest = hashlib.sha256(more.encode("utf-8", "surrogateescape"))
    for file in files:
        with open(file, "rb") as stream:
            digest.update(f"\0{file.name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def list_names(folder: Path, folders_only: bool = False) -> list[str]:
    """The names in a folder, in no order; none where there is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if not folders_only or entry.is_dir()]
