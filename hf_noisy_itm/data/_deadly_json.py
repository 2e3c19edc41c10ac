"""JSON on which Arrow's reader ends the process: nested very deeply, or with a null where a row should begin."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError

_DEEPEST = 64  # Arrow makes no table of a hundred levels
_CHUNK = 2**24  # bytes
_OTHERS = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[^"\[\]{}\0]++)++', re.DOTALL)
_NULL = re.compile(rb"^\s*+null", re.MULTILINE)
_STEP = np.zeros(256, dtype=np.int8)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1


def refuse_deadly_json(files: Iterable[Path]) -> None:
    """Does nothing if Arrow can be given files of JSON, or of lines of it.

    Raises:
        InputError: one is nested more than 64 levels deep, or has a line of null in place of a row.
        OSError: one cannot be read.
    """
    for path in files:
        depth = 0
        with open(path, "rb") as file:
            while lines := file.readlines(_CHUNK):  # no text of JSON has a line break in it
                signs = np.frombuffer(_OTHERS.sub(b"", _NULL.sub(b"\0", b"".join(lines))), np.uint8)
                depths = depth + _STEP[signs].cumsum(dtype=np.int64)
                if len(depths) and depths.max() > _DEEPEST:
                    raise InputError(f"{path} is nested more than {_DEEPEST} levels deep: no rows of data are.")
                if ((signs == 0) & (depths == 0)).any():
                    raise InputError(f"{path} has a null in place of a row: take that line out.")
                depth = int(depths[-1]) if len(depths) else depth
