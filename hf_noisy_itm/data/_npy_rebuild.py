"""How NumPy's pickles describe arrays, scalars and data types, and how to make them again without running anything."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_TYPE = re.compile(r"[a-zA-Z][0-9]{0,6}")
_PLAIN_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[US][0-9]{1,6}|O[48]")


class NotSupported(Exception):  # noqa: N818
    """A harmless value that is not read; the text names it."""


class Buffer(bytes):
    """The bytes of a bytearray, which stand for the content of an array, or for a value that is not read."""


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names. It is never looked up; `call` knows what each of `NAMES` means."""

    module: str
    name: str


def _both(name: str, *modules: str) -> set[tuple[str, str]]:
    return {(module, name) for module in modules}


# NumPy 2 renamed numpy.core to numpy._core; files of both are around.
_SCALAR = _both("scalar", "numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT = _both("_reconstruct", "numpy.core.multiarray", "numpy._core.multiarray")
_FROM_BUFFER = _both("_frombuffer", "numpy.core.numeric", "numpy._core.numeric")
_NDARRAY, _DTYPE = {("numpy", "ndarray")}, {("numpy", "dtype")}
_ENCODE, _BYTES = {("_codecs", "encode")}, _both("bytes", "builtins", "__builtin__")  # bytes in protocols 0 to 2
_PYTHON = ("builtins", "__builtin__")
NOT_READ = dict.fromkeys(_both("complex", *_PYTHON), "a complex number")
NOT_READ |= dict.fromkeys(_both("bytearray", *_PYTHON), "a bytearray")
NOT_READ |= dict.fromkeys(_both("set", *_PYTHON) | _both("frozenset", *_PYTHON), "a set")
NAMES = _SCALAR | _RECONSTRUCT | _FROM_BUFFER | _NDARRAY | _DTYPE | _ENCODE | _BYTES


@dataclass
class TypeBeingBuilt:
    """A data type: first its code, then its byte order."""

    code: str
    order: str = "="

    def build(self, state: tuple) -> None:
        """Takes the byte order out of the state that NumPy pickles."""
        if len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("a data type has no byte order")
        self.order = state[1]

    def dtype(self) -> np.dtype:
        """The data type; objects are refused."""
        if self.code.startswith("O"):
            raise ValueError("objects stand where numbers belong")
        return np.dtype(self.code if self.order == "|" else self.order + self.code)


@dataclass
class ArrayBeingBuilt:
    """An array: first empty, then with its content: numbers, or a list of objects."""

    shape: tuple | None = None
    objects: list | None = None
    numbers: np.ndarray | None = None

    def build(self, state: tuple) -> None:
        """Takes shape and content out of the state that NumPy pickles: version, shape, type, column order, content."""
        _, self.shape, kind, by_column, content = state
        _check_shape(self.shape)
        if isinstance(content, list):
            if not kind.code.startswith("O") or len(content) != math.prod(self.shape):
                raise ValueError("an array of objects has another number of them than its shape says")
            self.objects = content
        else:
            self.numbers = _array(content, kind, self.shape, "F" if by_column else "C")

    def finished(self) -> np.ndarray:
        """The array, if it is one of numbers or strings."""
        if self.numbers is None:
            raise ValueError("an array inside the dictionary has no content, or holds objects")
        return self.numbers


def call(function: Name, arguments: tuple) -> Any:
    """What NumPy's reconstruction functions return, for arguments as NumPy writes them; anything else: ValueError."""
    name = (function.module, function.name)
    if name in _SCALAR:
        kind, content = arguments
        return _array(content, kind, (), "C").item()
    if name in _RECONSTRUCT:
        kind, shape, _ = arguments
        if not isinstance(kind, Name) or (kind.module, kind.name) not in _NDARRAY or shape != (0,):
            raise ValueError("something else than an array is rebuilt")
        return ArrayBeingBuilt()
    if name in _FROM_BUFFER:
        content, kind, shape, order = arguments
        _check_shape(shape)
        return ArrayBeingBuilt(shape, None, _array(content, kind, shape, order))
    if name in _DTYPE:
        code = arguments[0]
        if not isinstance(code, str) or not _TYPE.fullmatch(code):
            raise ValueError(f"the data type {code!r} is none of NumPy's")
        if not _PLAIN_TYPE.fullmatch(code):
            kind = "a complex number" if code[0] == "c" else "a value"
            raise NotSupported(f"{kind} of the data type {code!r}")
        return TypeBeingBuilt(code)
    if name in _ENCODE:
        text, coding = arguments
        if coding != "latin1":
            raise ValueError(f"bytes are written as {coding!r}, not as latin1")
        return text.encode("latin-1")
    if name in _BYTES and not arguments:
        return b""
    raise ValueError(f"{function.module}.{function.name} is used as NumPy does not use it")


def _check_shape(shape: Any) -> None:
    if not isinstance(shape, tuple) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("an array has no shape")


def _array(content: Any, kind: Any, shape: tuple, order: str) -> np.ndarray:
    """An array of numbers or strings from its bytes, which must be as many as its shape says."""
    if not isinstance(content, bytes | str) or not isinstance(kind, TypeBeingBuilt):
        raise ValueError("an array has no content or no type")
    content = content.encode("latin-1") if isinstance(content, str) else content  # a str in Python 2's pickles
    dtype = kind.dtype()
    if len(content) != math.prod(shape) * dtype.itemsize or not dtype.itemsize:
        raise ValueError("an array has another size than its shape says")
    return np.frombuffer(content, dtype).reshape(shape, order=order).copy()
