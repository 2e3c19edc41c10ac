"""Suites as YAML files say them."""

import dataclasses
import math
import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..data._noise import TRAINING_KINDS
from ..errors import InputError, did_you_mean
from ..files import read_yaml
from .plan import CONTROL, LearningRates, Method, Noise, Suite


def read_suite(path: str | Path) -> Suite:
    """Reads a suite.

    Raises:
        InputError: the file is not one; the line is named.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no suite: {error}.") from error
    try:
        return _suite(content, path)
    except (TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no suite: a field holds another kind of value than it should, {error}."
        ) from error


_OWN = ("noise_kind", "noise_rate", "seed", "noise_seed", "output_dir", "test_split")  # of each run, or of no suite
_NAME = re.compile(r"[\w.-]+")  # of files
_LEAST, _MOST, _APART = 1e-12, 100.0, 1.2  # of learning rates


def _suite(content: Any, path: Path) -> Suite:
    wanted = ("recipe", "methods", "noise", "seeds", "about", "comparable")
    fields = _known(content, (*wanted, "fields", "learning_rates"), path)
    for name in wanted:
        if not fields.get(name):
            raise InputError(f"{path} says no {name}.")
    if not isinstance(fields["methods"], dict):
        raise InputError(f"{path}, methods are lines of `name: fields`, got {fields['methods']!r}.")
    methods = {name: _method(name, each, f"{path}, {name}") for name, each in fields["methods"].items()}
    if CONTROL not in methods:
        raise InputError(f"{path} has no method {CONTROL!r}, which all others are set beside.")
    for name, each in methods.items():
        for other in filter(None, (each.learning_rate_of, each.equal_compute)):
            if other not in methods:
                raise InputError(f"{path}, {name}: there is no method {other!r}{did_you_mean(other, methods)}.")
        if each.equal_compute == name:
            raise InputError(f"{path}, {name}: equal_compute is another method, one that takes as long.")
        if each.learning_rate_of and methods[each.learning_rate_of].learning_rate_of:
            raise InputError(f"{path}, {name}: {each.learning_rate_of} chooses no learning rate itself.")
    seeds, common = _seeds(fields["seeds"], path), _fields(fields, path, ("test_split",))
    noise = _noises(fields["noise"], path, methods)
    rates = fields.get("learning_rates")
    if rates is not None:
        rates = _learning_rates(rates, seeds, path, methods)
        parts = [("fields", common), ("learning_rates", rates.fields)]
        parts += [(name, each.fields) for name, each in methods.items()]
        parts += [(name, own) for each in (*noise, *rates.noise) for name, own in each.fields.items()]
        for name, own in parts:
            if "learning_rate" in own:
                raise InputError(f"{path}, {name}: learning_rate would be another than the one chosen; leave it out.")
    return Suite(
        path.stem,
        _checked(fields, "recipe", str, path),
        methods,
        noise,
        seeds,
        common,
        rates,
        _checked(fields, "about", str, path),
        _checked(fields, "comparable", str, path),
    )


def _method(name: str, content: Any, where: str) -> Method:
    told = _known(content, [each.name for each in dataclasses.fields(Method)], where)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{where}: a method's name is of letters, digits, '_', '-' and '.', for files are called so.")
    if "folder" not in told:
        raise InputError(f"{where}: give the folder of recipes/ that it is trained by.")
    told = {each: told[each] for each in told if told[each] is not None} | {"fields": _fields(told, where)}
    for each, kind in (("folder", str), ("learning_rate_of", str), ("equal_compute", str), ("steps", int | float)):
        if each in told:
            _checked(told, each, kind, where)
    if not 0 < told.get("steps", 1) < math.inf:
        raise InputError(f"{where}: steps are a number above 0, got {told['steps']!r}.")
    return Method(**told)


def _checked(told: dict[str, Any], name: str, kind: Any, where: str | Path) -> Any:
    if not isinstance(told[name], kind) or isinstance(told[name], bool):
        raise InputError(f"{where}: {name} is {'a text' if kind is str else 'a number'}, got {told[name]!r}.")
    return told[name]


def _fields(told: dict[str, Any], where: str | Path, allowed: Collection[str] = ()) -> dict[str, Any]:
    fields = told.get("fields") or {}
    if not isinstance(fields, dict):
        raise InputError(f"{where}: fields are lines of `name: value`, got {fields!r}.")
    if own := [name for name in fields if name in _OWN and name not in allowed]:
        raise InputError(f"{where}: {own[0]} is not for `fields`: each run has its own.")
    return fields


def _seeds(content: Any, where: str | Path) -> tuple[int, ...]:
    if not isinstance(content, list) or not all(type(seed) is int and 0 <= seed < 2**32 for seed in content):
        raise InputError(f"{where}: seeds are a list of whole numbers, got {content!r}.")
    if len(set(content)) < len(content):
        raise InputError(f"{where}: a seed is asked for twice in {content!r}.")
    return tuple(content)


def _known(content: Any, names: Collection[str], where: str | Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold lines of `name: value`.")
    for name in content:
        if name not in names:
            raise InputError(f"{where}: there is no {name!r}{did_you_mean(str(name), names)}.")
    return content


def _noises(content: Any, where: str | Path, methods: Collection[str]) -> tuple[Noise, ...]:
    kinds = content if isinstance(content, list) else [content]
    noise = [each for kind in kinds for each in _noise(kind, where, methods)]
    names = [each.name for each in noise]
    if again := [name for name in names if names.count(name) > 1]:  # their runs would be one file
        raise InputError(f"{where}: the noise {again[0]} is asked for twice; give rate 0 to one kind only.")
    return tuple(noise)


def _noise(content: Any, where: str | Path, methods: Collection[str]) -> list[Noise]:
    told = _known(content, ("kind", "rates", "fields"), f"{where}, noise")
    own = _known(told.get("fields", {}), methods, f"{where}, noise")
    of_methods = {name: _fields({"fields": each}, f"{where}, noise, {name}") for name, each in own.items()}
    rates, kind = told.get("rates"), told.get("kind", "shuffle")
    if not isinstance(rates, list) or not rates or not all(_is_number(rate) and 0 <= rate <= 1 for rate in rates):
        raise InputError(f"{where}, noise: rates are a list of numbers from 0 to 1, got {rates!r}.")
    if kind not in TRAINING_KINDS:
        raise InputError(f"{where}, noise: there is no kind {kind!r}{did_you_mean(str(kind), TRAINING_KINDS)}.")
    return [Noise(kind, float(rate), of_methods) for rate in rates]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _learning_rates(content: Any, seeds: tuple[int, ...], path: Path, methods: Collection[str]) -> LearningRates:
    where = f"{path}, learning_rates"
    told = _known(content, ("candidates", "noise", "seeds", "fields"), where)
    if missing := [name for name in ("candidates", "noise", "seeds") if not told.get(name)]:
        raise InputError(f"{where} says no {missing[0]}.")
    own, candidates = _seeds(told["seeds"], where), told["candidates"]
    if again := set(own) & set(seeds):
        raise InputError(f"{where}: seed {min(again)} is of the table, and what is chosen there is chosen for it.")
    if not isinstance(candidates, list):
        raise InputError(f"{where}: candidates are a list of numbers, got {candidates!r}.")
    if bad := [rate for rate in candidates if not _is_number(rate) or not _LEAST <= rate <= _MOST]:
        raise InputError(
            f"{where}: candidates are numbers from {_LEAST:g} to {_MOST:g}, got {bad[0]!r} (YAML takes 1e-4 for a "
            f"text: write 1.0e-4)."
        )
    candidates = tuple(sorted(candidates))
    if near := [pair for pair in pairwise(candidates) if pair[1] < _APART * pair[0]]:  # beyond them two digits count
        raise InputError(
            f"{where}: candidates are at least {_APART:g} times apart, got {near[0][0]!r} and {near[0][1]!r}."
        )
    return LearningRates(candidates, _noises(told["noise"], where, methods), own, _fields(told, where))
