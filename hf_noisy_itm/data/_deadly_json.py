"""JSON on which Arrow's reader ends the process: nested very deeply, or with a null where a row should begin."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError

_DEEPEST = 64  # Arrow makes no table of a hundred levels
_CHUNK = 2**24  # bytes
_OTHERS = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[^"\[\]{}]++)++', re.DOTALL)
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
                text = b"".join(lines)
                depths = depth + _steps(text)
                if len(depths) and depths.max() > _DEEPEST:
                    raise InputError(f"{path} is nested more than {_DEEPEST} levels deep: no rows of data are.")
                if any(depth + _steps(text[: null.start()])[-1:].sum() == 0 for null in _NULL.finditer(text)):
                    raise InputError(f"{path} has a null in place of a row: take that line out.")
                depth = int(depths[-1]) if len(depths) else depth


def _steps(text: bytes) -> np.ndarray:
    """How deep each bracket leads or comes back, from where the text begins."""
    return _STEP[np.frombuffer(_OTHERS.sub(b"", text), np.uint8)].cumsum(dtype=np.int64)
