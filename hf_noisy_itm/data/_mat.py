"""Reads matrices of numbers out of MATLAB's .mat files (version 5: `save -v6`, `-v7`) without believing them.

SciPy's reader is made for whole files: on some damaged ones it ends the process. The format is MathWorks' "MAT-File
Format", as far as full matrices of numbers need it; cells, structures, texts and sparse matrices are passed over.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError, last_line

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_IS_COMPLEX = 0x0800
_SAVE_PLAIN = "save -v6 packs nothing"
_HEADER, _VERSION_5, _HDF5 = 128, 0x0100, 0x0200
_MOST = 2**28  # bytes that an element may unpack to, as it is stored and as an array
_MOST_OF_ALL = 2**30  # bytes that all elements of a file may


def read_mat(path: str | Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Reads some matrices of a file.

    Args:
        path: the file.
        names: of the matrices; those that are not there, or are none of numbers, are left out.

    Raises:
        InputError: the file is not there, of another version, damaged, or packed and larger than 256 MB a matrix or
            1 GB in all.
    """
    try:
        content = memoryview(Path(path).read_bytes())
        order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER]), "")
        (version,) = struct.unpack(f"{order}H", content[124:126]) if order else (None,)
        if version == _HDF5:
            raise NotImplementedError
        if version != _VERSION_5:
            raise ValueError("it does not begin as one of version 5 does")
        found, left = {}, _MOST_OF_ALL
        for kind, part in _elements(content[_HEADER:], order):
            most = math.inf  # what is not packed is as large as its file
            if kind == _COMPRESSED:
                unpacked, most = _unpacked(part, min(left, _MOST)), _MOST
                left -= len(unpacked)
                [(kind, part)] = _elements(memoryview(unpacked), order)
            if kind == _MATRIX:
                found |= _matrix(part, order, names, most)
    except NotImplementedError:
        raise InputError(f"{path} is of MATLAB 7.3, which is not read: save it there with the option -v7.") from None
    except (OSError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is not a whole MATLAB file: {last_line(error)}.") from error
    return found


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of one element after the other."""
    while len(content):
        kind, size = struct.unpack(f"{order}II", content[:8])
        first = 8
        if kind >> 16:  # four bytes at most, in the same word as their size
            kind, size, first = kind & 0xFFFF, kind >> 16, 4
            if size > 4:
                raise ValueError("a small element is larger than four bytes")
        if size > len(content) - first:
            raise ValueError("it is cut short")
        yield kind, content[first : first + size]
        end = first + size
        content = content[end if kind == _COMPRESSED else -(-end // 8) * 8 :]


def _unpacked(content: memoryview, most: int) -> bytes:
    unpacking = zlib.decompressobj()
    whole = unpacking.decompress(content, max(most, 1))
    if not unpacking.eof:
        raise ValueError(f"a part of it is cut short, or would unpack to more than {_MOST:,} bytes ({_SAVE_PLAIN})")
    return whole


def _matrix(content: memoryview, order: str, names: Collection[str], most: float) -> dict[str, np.ndarray]:
    """The matrix by its name, if it is one of numbers and asked for."""
    parts = _elements(content, order)
    try:
        flags, shape, name = next(parts), next(parts), next(parts)
        flags, shape = int(_numbers(*flags, order)[0]), tuple(_numbers(*shape, order).tolist())
        name = bytes(name[1]).decode("latin-1")
        if name not in names or flags & 0xFF not in _CLASSES:
            return {}
        numbers = [_numbers(*next(parts), order) for _ in range(2 if flags & _IS_COMPLEX else 1)]
    except (StopIteration, IndexError):
        raise ValueError("a matrix lacks a part") from None
    if min(shape, default=-1) < 0 or any(math.prod(shape) != len(each) for each in numbers):
        raise ValueError(f"the matrix {name} has another number of entries than its shape {shape} says")
    entry = np.dtype(_CLASSES[flags & 0xFF])
    if len(numbers) * len(numbers[0]) * entry.itemsize > most:
        raise ValueError(f"the matrix {name} would unpack to more than {_MOST:,} bytes ({_SAVE_PLAIN})")
    numbers = [each.astype(entry) for each in numbers]
    whole = numbers[0] if len(numbers) == 1 else numbers[0] + 1j * numbers[1]
    return {name: whole.reshape(shape, order="F")}


def _numbers(kind: int, content: memoryview, order: str) -> np.ndarray:
    if kind not in _STORED:
        raise ValueError(f"numbers are stored as type {kind}, which is none of numbers")
    return np.frombuffer(content, f"{order}{_STORED[kind]}")
