"""Reads NumPy's .npy files without believing them: the header is checked before anything is allocated."""

import hashlib
import io
from pathlib import Path

import numpy as np

from ..errors import InputError, last_line

_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: str | Path, max_bytes: int = 2**30) -> tuple[np.dtype, tuple[int, ...], bytes]:
    """Reads a .npy file as it lies.

    Args:
        path: the file.
        max_bytes: refuse longer files.

    Returns:
        Data type and shape by the header, and the bytes that follow it.

    Raises:
        InputError: there is no such file, it is no .npy file, it is too long, or it is in Fortran order.
    """
    try:
        size = Path(path).stat().st_size
        if size > max_bytes:
            raise InputError(f"{path} has {size:,} bytes, more than the {max_bytes:,} that are read.")
        content = io.BytesIO(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        version = np.lib.format.read_magic(content)
        if version not in _READ_HEADER:
            raise ValueError(f"version {version[0]}.{version[1]} is not read; save it with numpy.save.")
        shape, fortran, dtype = _READ_HEADER[version](content)
    except Exception as error:  # NumPy parses the header as Python text, which raises almost anything
        raise InputError(f"{path} is no .npy file, or its header is damaged: {last_line(error)}") from error
    if fortran and len(shape) > 1:
        raise InputError(f"{path} is stored column by column; save numpy.ascontiguousarray of it.")
    return dtype, shape, content.read()


def read_int_array(path: str | Path) -> np.ndarray:
    """Reads a vector of integers from a .npy file, int64 (N,).

    Raises:
        InputError: it is none: objects, another type, several dimensions, nothing, cut short, or too long.
    """
    dtype, shape, content = read_npy(path)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are not unpickled; save the indices as an int64 array.")
    if dtype.kind not in "iu":
        raise InputError(f"{path} holds {dtype}, but indices are integers; save it as int64.")
    if len(shape) != 1 or not shape[0]:
        raise InputError(f"{path} has shape {shape}, but indices are one vector with at least one entry.")
    expected = shape[0] * dtype.itemsize
    if len(content) != expected:
        raise InputError(
            f"{path} should have {expected:,} bytes after its header but has {len(content):,}; "
            f"it was cut short or appended to, so fetch it again."
        )
    return np.frombuffer(content, dtype).astype(np.int64)


def sha256_of(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an integer array as little-endian int64, in hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<i8").tobytes()).hexdigest()
