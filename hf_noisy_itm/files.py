"""Writing files that are either whole or absent."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`, and renames it to `path` when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp is private; a result is not
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Gives a temporary folder beside `path`, and renames it to `path` when the block ends without an error.

    With `replace` an old folder of that name is moved away first and removed when the new one has its name. A process
    that is killed leaves the temporary folder, whose name begins with a dot, and nothing else.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    old = Path(f"{temporary}.old")
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp is private; a result is not
        if replace and path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        for rest in (temporary, old):
            shutil.rmtree(rest, ignore_errors=True)


def write_json(path: str | Path, content: Any) -> None:
    """Writes readable JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped(name: str) -> Path:
    """Finds a folder that stands at the top of a clone and inside an installed package: hub_cards, for one."""
    package = Path(__file__).parent
    return next(folder for folder in (package / name, package.parent / name) if folder.is_dir())


def shown(name: str) -> str:
    """A model's name as it may be published; of a folder the last part alone, for the rest is nobody's business."""
    return Path(name).resolve().name if Path(name).exists() else name
