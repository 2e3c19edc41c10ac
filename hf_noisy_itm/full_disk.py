"""How a full disk is known: the system, safetensors, torch, tokenizers and NumPy tell of it in words of their own."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import InputError, chain

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRITERS = ("I/O error", "file write failed", "PytorchStreamWriter failed", "iostream error", "basic_ios")
_OF_RUST = re.compile(rf"\(os error ({'|'.join(map(str, sorted(_NO_ROOM)))})\)")  # tokenizers' are plain `Exception`
_OF_NUMPY = re.compile(r"\d+ requested and \d+ written")  # without a number


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that there was no room to write, as the system does, or a library that writes."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM or bool(_OF_NUMPY.search(str(error)))
    if isinstance(error, RuntimeError | SafetensorError) and any(sign in str(error) for sign in _WRITERS):
        return True
    return isinstance(error, Exception) and bool(_OF_RUST.search(str(error)))


@contextmanager
def named_if_full(path: str | Path) -> Iterator[None]:
    """Lets an error that says that the disk is full, but not what was to be written, name `path`.

    Raises:
        OSError: as the system makes one for `path`.
    """
    try:
        yield
    except Exception as error:
        # Closing torch's archive fails too, in words that say nothing of a disk: what came before tells.
        full = next((each for each in chain(error) if is_full_disk(each)), None)
        if full is None or getattr(full, "filename", None) or isinstance(error, InputError):
            raise
        raise full_disk(full, path) from error


def full_disk(error: BaseException, path: str | Path) -> OSError:
    """What the system says where there is no room for `path`, in place of an error that does not name it."""
    number = getattr(error, "errno", None) or errno.ENOSPC
    return OSError(number, os.strerror(number), str(path))
