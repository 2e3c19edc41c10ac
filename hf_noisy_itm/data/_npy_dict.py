"""Reads a dictionary out of a .npy file with Python objects, without unpickling it.

NPC's memory bank comes as `{ratio}_mbank_img_idx.npy`: a dictionary from an id to an index, inside an array of
objects, which NumPy stores as a pickle. A pickle is a program, and loading it runs whatever it says. Here its opcodes
are read one by one (`pickletools.genops` only reads) and interpreted on a list of our own: nothing is imported and
nothing called by a name out of the file. What plain containers, numbers, strings and NumPy's own arrays and scalars
need is understood; anything else is refused by its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickletools import genops
from struct import error as StructError
from typing import Any

from ..errors import InputError, last_line
from ._npy import read_npy
from ._npy_rebuild import NAMES, NOT_READ, ArrayBeingBuilt, Buffer, Name, NotSupported, TypeBeingBuilt, call


def read_npy_dict(path: str | Path, max_bytes: int = 2**30) -> dict[str | int | float | bytes, Any]:
    """Reads a .npy file that holds one dictionary, as `numpy.save(path, dictionary)` writes it.

    Args:
        path: the file; pickle protocols 0 to 5.
        max_bytes: refuse longer files.

    Returns:
        The dictionary. Keys are strings, numbers or bytes; values also None, lists, tuples, dictionaries and arrays of
        numbers. NumPy's scalars have become Python's.

    Raises:
        InputError: the file is none such, is damaged, or contains anything that would have to be executed; that is
            named.
    """
    dtype, shape, content = read_npy(path, max_bytes)
    if not dtype.hasobject or shape != ():
        raise InputError(f"{path} holds an array of {dtype} with shape {shape}, not a dictionary.")
    try:
        result = _interpret(content)
    except _Refused as error:
        raise InputError(f"{path} is not read, because {error}; make it again from a source you trust.") from error
    except NotSupported as error:
        raise InputError(
            f"{path} holds {error}, which is not supported: save numbers, texts, bytes, lists, tuples, dictionaries "
            f"and arrays of numbers or texts."
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, StructError) as error:
        raise InputError(f"{path} is damaged: its objects cannot be read ({last_line(error)}).") from error
    if not isinstance(result, ArrayBeingBuilt) or result.shape != () or not isinstance(result.objects, list):
        raise InputError(f"{path} holds no array of one object, as numpy.save makes of a dictionary.")
    if len(result.objects) != 1 or not isinstance(result.objects[0], dict):
        raise InputError(f"{path} holds something else than a dictionary.")
    return result.objects[0]


class _Refused(Exception):
    """The file asks for something that is not done."""


_MARK = object()
_PLACEHOLDERS = (Name, TypeBeingBuilt, ArrayBeingBuilt)
_KEYS = (str, int, float, bytes)

_PUSH_ARGUMENT = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_PUSH = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: _MARK}
_PUSH |= {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLE_OF = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class _Machine:
    """The list of values that opcodes work on, and what they asked to remember."""

    budget: int
    stack: list = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pay(self, arguments: tuple) -> None:
        """Counts the bytes that are about to be copied: a short file must not ask for endless copies of one string."""
        self.budget -= sum(len(each) for each in arguments if isinstance(each, str | bytes))
        if self.budget < 0:
            raise _Refused("it makes far more data than it has")

    def since_mark(self) -> list:
        """Takes everything above the last mark, and the mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise ValueError("there is no mark")

    def take(self, count: int) -> list:
        """Takes the last values, the lowest first."""
        if len(self.stack) < count or any(value is _MARK for value in self.stack[-count:]):
            raise ValueError("a value is missing")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values


def _interpret(content: bytes) -> Any:
    """Runs the opcodes that are understood; returns the last value."""
    machine = _Machine(budget=16 * len(content))
    end = 0
    for opcode, argument, position in genops(content):
        end = position + 1
        _step(machine, opcode.name, argument)
    (result,) = machine.stack
    if end != len(content):
        raise ValueError("there are bytes after the end")
    return result


def _step(machine: _Machine, name: str, argument: Any) -> None:
    stack, memo = machine.stack, machine.memo
    if name in _PUSH_ARGUMENT:
        stack.append(Buffer(argument) if name == "BYTEARRAY8" else argument)
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in _PUSH:
        stack.append(_PUSH[name]())
    elif name in ("SETITEM", "SETITEMS", "DICT"):
        values = machine.take(2) if name == "SETITEM" else machine.since_mark()
        if name == "DICT":
            stack.append({})
        _update(stack[-1], values)
    elif name in ("APPEND", "APPENDS", "LIST"):
        values = machine.take(1) if name == "APPEND" else machine.since_mark()
        if name == "LIST":
            stack.append([])
        _instance(stack[-1], list).extend(map(_finished, values))
    elif name == "TUPLE":
        stack.append(_tuple(machine.since_mark()))
    elif name in _TUPLE_OF:
        stack.append(_tuple(machine.take(_TUPLE_OF[name])))
    elif name == "GLOBAL":
        stack.append(_name(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        stack.append(_name(*machine.take(2)))
    elif name == "REDUCE":
        function, arguments = machine.take(2)
        machine.pay(_instance(arguments, tuple))
        stack.append(call(_instance(function, Name), arguments))
    elif name == "BUILD":
        (state,) = machine.take(1)
        machine.pay(_instance(state, tuple))
        _instance(stack[-1], (TypeBeingBuilt, ArrayBeingBuilt)).build(state)
    elif name == "POP":
        stack.pop()
    elif name == "POP_MARK":
        machine.since_mark()
    elif name in ("EMPTY_SET", "FROZENSET"):
        raise NotSupported("a set")
    elif name not in ("PROTO", "FRAME", "STOP"):
        raise _Refused(f"it uses the pickle opcode {name}, which plain dictionaries do not need")


def _name(module: str, name: str) -> Name:
    if (module, name) in NOT_READ:
        raise NotSupported(NOT_READ[module, name])
    if (module, name) not in NAMES:
        raise _Refused(f"it asks to run {module}.{name}")
    return Name(module, name)


def _instance(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} stands where something else belongs")
    return value


def _update(target: Any, values: list) -> None:
    """Puts keys and values into a dictionary. Keys are plain: hashing nested tuples can take forever."""
    keys, values = values[::2], values[1::2]
    if len(keys) != len(values) or not all(isinstance(key, _KEYS) for key in keys):
        raise ValueError("a key is missing, or is neither string, number nor bytes")
    _instance(target, dict).update(zip(keys, map(_finished, values)))


def _finished(value: Any) -> Any:
    """A value that may stand in a result: an array once it has its content, never a name or a data type."""
    if isinstance(value, ArrayBeingBuilt):
        return value.finished()
    if isinstance(value, Buffer):
        raise NotSupported(NOT_READ["builtins", "bytearray"])
    if value is _MARK or isinstance(value, _PLACEHOLDERS) or (isinstance(value, tuple) and _of_arguments(value)):
        raise ValueError("a name or a data type stands where a value belongs")
    return value


def _tuple(values: list) -> tuple:
    """A tuple of values, finished, or one of arguments, in which names and data types stand.

    Which of the two it is can be seen: all that NumPy calls takes one of these, or nothing but plain values.
    """
    return tuple(values) if _of_arguments(values) else tuple(map(_finished, values))


def _of_arguments(values: Sequence) -> bool:
    return any(value is _MARK or isinstance(value, Name | TypeBeingBuilt) for value in values)
