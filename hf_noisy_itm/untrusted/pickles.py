"""The pickle in an archive of `torch.save`, read without unpickling it.

`torch.load(weights_only=True)` runs no foreign code, but what it allows may still cost gigabytes: `bytearray(6 << 30)`
is a few bytes long. Here the opcodes are read one by one (`pickletools.genops` only reads) and followed on a stack of
our own, as torch's unpickler follows them, with a description in place of each tensor. What state dicts and
checkpoints of a training need is understood; anything else is refused by its name, before torch is asked to load the
file.
"""

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pickletools import genops
from typing import Any

import torch

from ..errors import InputError, last_line
from .archives import refuse_bomb

_MOST_BYTES, _MOST_OPCODES = 2**26, 2_000_000  # a CLIP ViT-L with AdamW's state needs 2 MB and 80,000
_KEYS = (str, int, float, type(None))  # never tuples: hashing nested ones can take forever
_DICTIONARY, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_BYTES_OF = {
    "torch DoubleStorage": 8, "torch FloatStorage": 4, "torch HalfStorage": 2, "torch BFloat16Storage": 2,
    "torch LongStorage": 8, "torch IntStorage": 4, "torch ShortStorage": 2, "torch CharStorage": 1,
    "torch ByteStorage": 1, "torch BoolStorage": 1,
}  # fmt: skip
_NOT_READ = {
    "torch._utils _rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils _rebuild_qtensor": "a quantised tensor",
    "torch._utils _rebuild_nested_tensor": "a nested tensor",
    "torch._utils _rebuild_meta_tensor_no_storage": "a tensor without content",
    "torch._utils _rebuild_tensor_v3": "a tensor of a rare kind of numbers",
    "torch._tensor _rebuild_from_type_v2": "a tensor with attributes",
    "torch ComplexFloatStorage": "a tensor of complex numbers",
    "torch ComplexDoubleStorage": "a tensor of complex numbers",
}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
_FRESH = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
_FRESH |= {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLE_OF = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Stored:
    """A tensor that stands in a file: its shape, and the bytes that it has when all its numbers are written out."""

    shape: tuple[int, ...]
    nbytes: int


def content_of(path: str | Path) -> Any:
    """What `torch.load` would make of an archive: dictionaries, lists, numbers and texts, and `Stored` for tensors.

    Raises:
        InputError: it is no archive of `torch.save`, would grow where it is read, is damaged, or its pickle asks for
            more than tensors in containers.
        OSError: it cannot be read.
    """
    try:
        refuse_bomb(path)
        file = torch._C.PyTorchFileReader(str(path))  # the one that torch.load reads by: no two views of an archive
        size = file.get_record_size("data.pkl")
        if size > _MOST_BYTES:
            raise _Refused(f"its pickle has {size} bytes, those of a model at most {_MOST_BYTES}")
        machine = _Machine(file, size)
        for steps, (opcode, argument, _) in enumerate(genops(file.get_record("data.pkl"))):
            if steps >= _MOST_OPCODES:
                raise _Refused(f"its pickle has more than {_MOST_OPCODES} opcodes")
            machine.step(opcode.name, argument)
        (content,) = machine.stack
        return content
    except _NotRead as error:
        raise InputError(f"{path} holds {error}: save dense tensors of floating point.") from error
    except InputError:
        raise
    except OSError:
        raise
    except (_Refused, zipfile.BadZipFile) as error:
        raise _no_state_dict(path, str(error)) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RuntimeError, RecursionError) as error:
        raise _no_state_dict(path, f"it is damaged, {last_line(error)}") from error


def _no_state_dict(path: str | Path, reason: str) -> InputError:
    return InputError(
        f"{path} holds no plain state dict ({reason.rstrip('.')}). Nothing else is opened, since it may be a program: "
        f"no whole models, no TorchScript archives (as OpenAI publishes them), no files of before torch 1.6, no "
        f"settings or numpy arrays beside the weights. Save the model's state_dict() as .safetensors, and give that."
    )


class _Refused(Exception):
    """The pickle asks for something that is not done."""


class _NotRead(Exception):
    """A kind of tensor that no CLIP has."""


@dataclass(frozen=True)
class _Name:
    """A name that the pickle asks for; never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    numbers: int
    width: int  # bytes of each


@dataclass
class _Machine:
    """What opcodes work on: a stack within each mark, as torch's unpickler has it, and what is remembered."""

    file: Any
    budget: int  # of entries copied: each costs the file a byte at least, unless it is meant to harm
    stack: list = field(default_factory=list)
    marked: list[list] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        """Follows one opcode."""
        if name in _NUMBERS:
            self.stack.append(argument)
        elif name in _FRESH:
            self.stack.append(_FRESH[name]())
        elif name == "MARK":
            self.marked.append(self.stack)
            self.stack = []
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in _TUPLE_OF:
            self.stack.append(tuple(self.take(_TUPLE_OF[name])))
        elif name == "TUPLE":
            values = self.since_mark()
            self.stack.append(tuple(values))
        elif name in ("SETITEM", "SETITEMS"):
            values = self.take(2) if name == "SETITEM" else self.since_mark()
            _update(self.stack[-1], values)
        elif name in ("APPEND", "APPENDS"):
            values = self.take(1) if name == "APPEND" else self.since_mark()
            _as(list, self.stack[-1]).extend(values)
        elif name == "GLOBAL":
            self.stack.append(_named(argument))
        elif name == "BINPERSID":
            self.stack.append(self.storage(self.stack.pop()))
        elif name == "REDUCE":
            function, arguments = self.take(2)
            self.stack.append(_CALLS[_as(_Name, function).name](*_as(tuple, arguments)))
        elif name == "BUILD":
            (state,) = self.take(1)
            _as(dict, self.stack[-1])
            self.budget -= len(_as(dict, state))
            if self.budget < 0:
                raise _Refused("it copies more than it holds")
        elif name not in ("PROTO", "STOP"):
            raise _Refused(f"its pickle uses the opcode {name}, which state dicts do not need")

    def take(self, count: int) -> list:
        """The last values, off the stack."""
        if len(self.stack) < count:
            raise IndexError("the pickle takes more than it has")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def since_mark(self) -> list:
        """The values since the last mark, off the stack, and the mark with them."""
        values, self.stack = self.stack, self.marked.pop()
        return values

    def storage(self, of: Any) -> _Storage:
        """What a persistent id stands for: a record of the archive, which must be as long as it is said to be."""
        word, kind, key, _, numbers = _as(tuple, of)
        width = _BYTES_OF.get(_as(_Name, kind).name)
        if word != "storage" or width is None:
            raise ValueError("a storage has no kind")
        if _whole(numbers) * width > self.file.get_record_size(f"data/{_as(str, key)}"):
            raise ValueError(f"its record data/{key} is shorter than the {numbers} numbers that it is to hold")
        return _Storage(numbers, width)


def _named(argument: str) -> _Name:
    if argument in _NOT_READ:
        raise _NotRead(_NOT_READ[argument])
    if argument not in _CALLS and argument not in _BYTES_OF:
        raise _Refused(f"its pickle asks for {argument.replace(' ', '.')}, which is not run")
    return _Name(argument)


def _dictionary() -> dict:
    """An OrderedDict is only made empty: from a list it would be a copy at the price of a few bytes."""
    return {}


def _tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Stored:
    size, stride = (tuple(map(_whole, _as(tuple, each))) for each in (size, stride))
    if len(_) != 2 or len(size) != len(stride) or len(size) > 64:
        raise ValueError("a tensor is not described as torch.save does")
    last = _whole(offset) + sum((each - 1) * step for each, step in zip(size, stride))
    if all(size) and last >= _as(_Storage, storage).numbers:
        raise ValueError(f"a tensor of shape {size} is longer than its storage of {storage.numbers} numbers")
    return Stored(size, math.prod(size) * _as(_Storage, storage).width)


def _parameter(tensor: Stored, requires_grad: bool, hooks: dict) -> Stored:
    return _as(Stored, tensor)


_CALLS: dict[str, Callable] = {_DICTIONARY: _dictionary, _TENSOR: _tensor, _PARAMETER: _parameter}


def _update(target: Any, values: list) -> None:
    keys, values = values[::2], values[1::2]
    if len(keys) != len(values) or not all(isinstance(key, _KEYS) for key in keys):
        raise ValueError("a key is missing, or is neither text nor number")
    _as(dict, target).update(zip(keys, values))


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} stands where a {kind.__name__.lstrip('_')} belongs")
    return value


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**62:
        raise ValueError(f"{type(number).__name__} instead of a size")
    return number
