"""`--field value` for dataclasses, and the same for fields of a file."""

import argparse
import copy
import dataclasses
import json
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from transformers import HfArgumentParser

from .errors import InputError, did_you_mean


class Parser(HfArgumentParser):
    """Says in an `InputError` what argparse would print before it leaves.

    A number that may be none is so by the words "none" and "null"; a text too, if `or_none` is in its metadata.
    """

    def values_of(self, words: Sequence[str]) -> dict:
        """Parses `--field value …`.

        Raises:
            InputError: an unknown field (the nearest known one is named), or a value of the wrong kind.
        """
        namespace, rest = self.parse_known_args(list(words), namespace=Namespace())
        known = [f.name for cls in self.dataclass_types for f in dataclasses.fields(cls) if f.init]
        refuse_unknown([word[2:].split("=")[0] for word in rest if word.startswith("--")], known, "the command line")
        if rest:
            raise InputError(f"Unexpected word on the command line: {rest[0]!r}; write --field value.")
        return vars(namespace)

    @staticmethod
    def _parse_dataclass_field(parser: argparse.ArgumentParser, field: dataclasses.Field) -> None:
        field, told = copy.copy(field), dict(field.metadata)
        may_be_none = told.pop("or_none", False)  # the rest goes to argparse
        field.metadata = told
        if kind := optional_number(field.type) or (str if may_be_none else None):
            field.type = _or_none(kind)
        HfArgumentParser._parse_dataclass_field(parser, field)

    def error(self, message: str):
        """Called by argparse."""
        raise InputError(f"{message[:1].upper()}{message[1:]}.")


def first_word(words: Sequence[str], lacking: str) -> tuple[str, list[str]]:
    """What a command is about, and its `--field value …`; a call for help is left to the parser of these.

    Args:
        words: of the command line.
        lacking: what to say where it begins with a field.

    Raises:
        InputError: it does.
    """
    if words and words[0] in ("-h", "--help"):
        return "", list(words)
    if not words or words[0].startswith("-"):
        raise InputError(lacking)
    return words[0], list(words[1:])


def in_one_process(what: str) -> None:
    """Refuses several processes, which would all do the same.

    Raises:
        InputError: a launcher has started more than one.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"{what} in one process: start it with python, not with accelerate launch.")


def as_words(fields: dict, may_be_none: set[str]) -> list[str]:
    """Fields of a file as they would stand on the command line, so that both are checked alike."""
    return [
        f"--{name}={'none' if value is None else as_word(name, value)}"
        for name, value in fields.items()
        if value is not None or name in may_be_none
    ]


def as_word(name: str, value: object) -> str:
    """One value, as text.

    Raises:
        InputError: it is several.
    """
    if isinstance(value, dict):
        return json.dumps(value)
    if not isinstance(value, str | int | float):
        raise InputError(f"The field {name!r} takes one value, got {value!r}.")
    return str(value)


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Does nothing if all names are known.

    Raises:
        InputError: one is not; the nearest known one is named.
    """
    for name in names:
        if name not in known:
            raise InputError(f"Unknown field {name!r} in {where}{did_you_mean(name, known)}.")


def optional_number(kind: Any) -> type | None:
    """Of a field that is a number or None, the kind of number; None of any other."""
    return next((number for number in (int, float) if kind == number | None), None)


def _or_none(kind: type) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        return None if word.lower() in ("none", "null") else kind(word)

    parse.__name__ = kind.__name__  # argparse says what a value is not
    return parse
