"""How a command ends: one sentence for wrong input, and for what the machine did to it, such as a full disk.

Nothing that was whole is lost by any of it: files are written under another name first, and a checkpoint that is not
whole is passed over (`resuming.py`).
"""

import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Iterator

import torch

from .errors import InputError, Interrupted, chain, last_line
from .exchange import leave
from .files import write_json
from .full_disk import is_full_disk

RESUME = "A training goes on from its last whole checkpoint, where it has one, with --resume_from_checkpoint auto."
_SHARED = ("unable to write to file </torch_", "unable to open shared memory object")
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)")
_NO_MEMORY = re.compile("MemoryError|(?i:out of memory|can(no|')t allocate memory)")
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_PLACE = {errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NO_RIGHT = ("Permission denied", "Read-only file system")  # as torch says it, without a number


@contextlib.contextmanager
def clean_exit(way_on: str = "") -> Iterator[None]:
    """Leaves other processes in good order; turns an `InputError` into its sentence on the error stream and status 2.

    What the machine did to a run, a full disk for one, gets its sentence too, and status 1; an `Interrupted` too.
    A launcher of several processes reports at its end what it finds in the file that it named: the sentence.

    Args:
        way_on: what a command can do after a fault of the machine, see `RESUME`.
    """
    try:
        yield
        leave()
    except Interrupted as error:
        print(f"\nerror: {last_line(error)}", file=sys.stderr)  # a bar of progress may stand in its line
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.status)  # without waiting for threads, whose requests last as long as the line is slow
    except Exception as error:
        if isinstance(error, InputError):
            sentence = last_line(error).split("InputError: ")[-1]  # data loader workers put their traceback before it
        elif sentence := sentence_of(error):
            sentence = f"{sentence} {way_on}".strip()
        else:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        if place := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            told = {"message": f"error: {sentence}", "extraInfo": {"timestamp": str(int(time.time()))}}
            with contextlib.suppress(OSError):
                write_json(place, {"message": told})
        raise SystemExit(1 if _is_of_the_machine(error) else 2) from None


def _is_of_the_machine(error: BaseException) -> bool:
    """Also a full disk, or a folder of others, of which a sentence of our own tells."""
    if any(is_full_disk(each) or _is_not_ours(each) for each in chain(error)):
        return True
    return not (isinstance(error, InputError) or any(map(_is_no_place, chain(error))))


def _is_not_ours(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in _NO_RIGHT)
    return isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno in _NOT_OURS)


def _is_no_place(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _NO_PLACE


def sentence_of(error: BaseException) -> str | None:
    """Cause and way on of an error that the machine made; None of any other, which deserves its traceback.

    Args:
        error: as it came out of a run; what it was raised from counts too.
    """
    return next((told for each in chain(error) if (told := _of_one(each))), None)


def _of_one(error: BaseException) -> str | None:
    text = last_line(error)
    place, why = getattr(error, "filename", None) or "A file", getattr(error, "strerror", None) or text
    if isinstance(error, RuntimeError) and any(sign in text for sign in _SHARED):
        return (
            f"Memory that processes share is full ({text}): give fewer --dataloader_num_workers, or more of it "
            f"(docker run --shm-size)."
        )
    if is_full_disk(error):
        full = f"{place} cannot be written, most likely since the disk is full ({why})"
        return f"{full}: free space there, or write elsewhere."
    if _is_not_ours(error):
        return f"{place} cannot be read or written ({why}): name another place, or change its rights."
    if _is_no_place(error):
        return f"{place} cannot be used ({why}): name another place, or move what stands in the way."
    if isinstance(error, RuntimeError) and _DEAD_WORKER.search(str(error)):
        return (
            f"A worker that loads data was ended from outside, most likely since memory ran short ({text}): give "
            f"fewer --dataloader_num_workers, or a smaller batch."
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError | RuntimeError | OSError) and _NO_MEMORY.search(
        f"{type(error).__name__}: {text}"
    ):
        return (
            f"Memory ran short ({text}): give a smaller --per_device_train_batch_size, or the same batch with "
            f"--grad_cache_chunk, --gradient_checkpointing true or --bf16 true."
        )
    return None
