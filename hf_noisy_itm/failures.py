"""How a command ends: one sentence for wrong input, and for what the machine did to it, such as a full disk.

Nothing that was whole is lost by any of it: files are written under another name first, and a checkpoint that is not
whole is passed over (`resuming.py`).
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator

import torch
from safetensors import SafetensorError

from .errors import InputError, Interrupted, last_line
from .exchange import leave
from .files import write_json

_GO_ON = "A training goes on from its last whole checkpoint with --resume_from_checkpoint auto."
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS}
_WRITING = ("I/O error", "file write failed", "PytorchStreamWriter failed", "iostream error", "basic_ios")


@contextlib.contextmanager
def clean_exit() -> Iterator[None]:
    """Leaves other processes in good order; turns an `InputError` into its sentence on the error stream and status 2.

    What the machine did to a run, a full disk for one, gets its sentence too, and status 1; an `Interrupted` too.
    A launcher of several processes reports at its end what it finds in the file that it named: the sentence.
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
        elif not (sentence := sentence_of(error)):
            raise
        print(f"error: {sentence}", file=sys.stderr)
        if place := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            told = {"message": f"error: {sentence}", "extraInfo": {"timestamp": str(int(time.time()))}}
            with contextlib.suppress(OSError):
                write_json(place, {"message": told})
        raise SystemExit(2 if isinstance(error, InputError) else 1) from None


def sentence_of(error: BaseException) -> str | None:
    """Cause and way on of an error that the machine made; None of any other, which deserves its traceback.

    Args:
        error: as it came out of a run; what it was raised from counts too.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        if told := _of_one(error):
            return told
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _of_one(error: BaseException) -> str | None:
    text = last_line(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM | _NOT_OURS:
        place = f"{error.filename} cannot be written" if error.filename else "A file cannot be written"
        if error.errno in _NO_ROOM:
            return f"{place} ({error.strerror}): free space there, or write elsewhere. {_GO_ON}"
        place = place.replace("written", "read or written")
        return f"{place} ({error.strerror}): name a folder that you may write to. {_GO_ON}"
    if isinstance(error, RuntimeError | SafetensorError) and any(sign in str(error) for sign in _WRITING):
        return f"A model cannot be written, most likely since the disk is full ({text}): free space there. {_GO_ON}"
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return (
            f"A worker that loads data was ended from outside, most likely since memory ran short ({text}): give "
            f"fewer --dataloader_num_workers, or a smaller batch. {_GO_ON}"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return (
            f"Memory ran short ({text}): give a smaller --per_device_train_batch_size, or the same batch with "
            f"--grad_cache_chunk, --gradient_checkpointing true or --bf16 true. {_GO_ON}"
        )
    return None
