"""Writing files that are either whole or absent; reading JSON and YAML, whatever stands in them."""

import ctypes
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError
from .full_disk import full_disk, is_full_disk

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`, and renames it to `path` when the block ends without an error.

    Raises:
        OSError: the disk is full, with the name `path`, whatever library wrote and however it says so.
    """
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
    except Exception as error:
        if is_full_disk(error):
            raise full_disk(error, path) from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Gives a temporary folder beside `path`, and renames it to `path` when the block ends without an error.

    With `replace` an old folder of that name goes when the new one is whole: on Linux the two change names in one
    step, elsewhere the old one is moved away first, and back if the new one cannot take its name. A link is followed.
    A process that is killed leaves the temporary folder, `.{name}.….unfinished`; the next one of that name removes it.

    Raises:
        OSError: the folder cannot be made, or something else stands there; what was there is left.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary, lock = _locked_folder(path)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp is private; a result is not
        if not (replace and path.exists()):
            os.replace(temporary, path)
        elif not _exchange(temporary, path):
            _replace_in_two_steps(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def write_error(folder: str | Path) -> OSError | None:
    """Why no file can be made in a folder, or in the one that it would be made in; None if one can."""
    folder = Path(os.path.realpath(folder))
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error


def check_writable(folder: str | Path) -> None:
    """Looks whether files can be made in a folder, before work begins whose results are to lie there.

    Raises:
        InputError: its file system has no files of users.
        OSError: they cannot be made for another reason; it names the folder.
    """
    if error := write_error(folder):
        if isinstance(error, FileNotFoundError):  # as /proc says it of each new name
            raise InputError(
                f"{folder} cannot be made, since no file can be made there: name another folder."
            ) from error
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from error


_UNFINISHED = ".unfinished"


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """A new folder beside `path`, locked as long as this process lives and does not close the descriptor."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED))
        if fcntl is None:
            return folder, None
        if (lock := _lock(folder)) is not None:
            return folder, lock
        if folder.is_dir():  # a file system without locks
            return folder, None


def _lock(folder: Path) -> int | None:
    """Locks a folder, which works only for one; None if another has it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return descriptor
    os.close(descriptor)
    return None


def _remove_abandoned(path: Path) -> None:
    """Removes temporary folders for `path` that no living process has locked."""
    names = (entry for entry in os.listdir(path.parent) if entry.endswith(_UNFINISHED)) if fcntl else ()
    for name in names:
        if name.startswith(f".{path.name}.") and (lock := _lock(path.parent / name)) is not None:
            shutil.rmtree(path.parent / name, ignore_errors=True)
            os.close(lock)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two names change places in one step; False where the platform or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2 is not None and renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _replace_in_two_steps(temporary: Path, path: Path) -> None:
    old = Path(f"{temporary}.old")
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: str | Path, content: Any) -> None:
    """Writes readable JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Reads JSON, with or without a byte order mark.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, is not UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


_LONGEST = 2**14  # characters of YAML, for which PyYAML takes half a second
_MOST_BRACKETS = 1000  # opening ones, wherever they stand: its time grows with the square of those that are open
_MOST_VALUES = 100_000  # of a YAML file, its aliases written out: a few lines of these can stand for billions


def read_yaml(path: str | Path) -> Any:
    """Reads YAML with nothing but plain values in it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, is not UTF-8, is longer than 16,384 characters, opens more than 1,000 brackets, is
            nested too deeply, says a name twice, or would be endless with its aliases written out.
    """
    return parse_yaml(Path(path).read_text(encoding="utf-8-sig"))


def parse_yaml(text: str, longest: int = _LONGEST) -> Any:
    """What a text of YAML says, as `read_yaml` reads it.

    Args:
        text: of a file, or of a part of it.
        longest: the most characters that it may have.

    Raises:
        ValueError: see `read_yaml`.
    """
    if len(text) > longest:
        raise ValueError(f"it has {len(text):,} characters, and {longest:,} are the most")
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise ValueError(f"it opens more than {_MOST_BRACKETS:,} brackets")
    try:
        _refuse_endless(yaml.compose(text, yaml.SafeLoader), {})
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply, or within itself") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # of values that are not what their tags say PyYAML does not make an error of its own
        raise ValueError(" ".join(str(error).split())) from error


def _refuse_endless(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node stands for; those of an alias are counted once, and count at every place."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode) and name.value != "<<"]
        if len(set(names)) < len(names):
            again = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"line {node.start_mark.line + 1} and those below it say {again} twice")
    if id(node) not in known:
        parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_refuse_endless(part, known) for part in parts)
    if known[id(node)] > _MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {_MOST_VALUES:,} values")
    return known[id(node)]


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
