"""Suites as YAML files say them."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

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


def _suite(content: Any, path: Path) -> Suite:
    wanted = ("recipe", "methods", "noise", "seeds", "about", "comparable")
    fields = _known(content, (*wanted, "fields", "learning_rates"), path)
    for name in wanted:
        if not fields.get(name):
            raise InputError(f"{path} says no {name}.")
    known = [each.name for each in dataclasses.fields(Method)]
    methods = {}
    for name, each in fields["methods"].items():
        told = _known(each, known, f"{path}, {name}")
        if "folder" not in told:
            raise InputError(f"{path}, {name}: give the folder of recipes/ that it is trained by.")
        methods[name] = Method(**told)
    if CONTROL not in methods:
        raise InputError(f"{path} has no method {CONTROL!r}, which all others are set beside.")
    for name, each in methods.items():
        for other in filter(None, (each.learning_rate_of, each.equal_compute)):
            if other not in methods:
                raise InputError(f"{path}, {name}: there is no method {other!r}{did_you_mean(other, methods)}.")
        if each.learning_rate_of and methods[each.learning_rate_of].learning_rate_of:
            raise InputError(f"{path}, {name}: {each.learning_rate_of} chooses no learning rate itself.")
    rates = fields.get("learning_rates")
    seeds = tuple(fields["seeds"])
    if not all(type(seed) is int for seed in seeds):
        raise InputError(f"{path}: seeds are a list of whole numbers, got {fields['seeds']!r}.")
    noise = tuple(noise for each in fields["noise"] for noise in _noise(each, path, methods))
    _refuse_again(noise, path)
    return Suite(
        path.stem,
        fields["recipe"],
        methods,
        noise,
        seeds,
        fields.get("fields") or {},
        None if rates is None else _learning_rates(rates, seeds, path, methods),
        fields["about"],
        fields["comparable"],
    )


def _known(content: Any, names: Collection[str], where: str | Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold lines of `name: value`.")
    for name in content:
        if name not in names:
            raise InputError(f"{where}: there is no {name!r}{did_you_mean(str(name), names)}.")
    return content


def _noise(content: Any, path: Path, methods: Collection[str]) -> list[Noise]:
    told = _known(content, ("kind", "rates", "fields"), f"{path}, noise")
    of_methods = {name: dict(each) for name, each in _known(told.get("fields", {}), methods, f"{path}, noise").items()}
    rates = told.get("rates")
    if not isinstance(rates, list) or not all(isinstance(rate, int | float) and 0 <= rate <= 1 for rate in rates):
        raise InputError(f"{path}, noise: rates are a list of numbers from 0 to 1, got {rates!r}.")
    return [Noise(told.get("kind", "shuffle"), float(rate), of_methods) for rate in rates]


def _learning_rates(content: Any, seeds: tuple[int, ...], path: Path, methods: Collection[str]) -> LearningRates:
    where = f"{path}, learning_rates"
    told = _known(content, ("candidates", "noise", "seeds", "fields"), where)
    if missing := [name for name in ("candidates", "noise", "seeds") if not told.get(name)]:
        raise InputError(f"{where} says no {missing[0]}.")
    if again := set(told["seeds"]) & set(seeds):
        raise InputError(f"{where}: seed {min(again)} is of the table, and what is chosen there is chosen for it.")
    candidates = tuple(told["candidates"])
    if bad := [rate for rate in candidates if not isinstance(rate, int | float) or not 0 < rate < math.inf]:
        raise InputError(
            f"{where}: candidates are numbers above 0, got {bad[0]!r} (YAML takes 1e-4 for a text: write 1.0e-4)."
        )
    kinds, seeds = told["noise"], tuple(told["seeds"])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    noise = tuple(noise for each in kinds for noise in _noise(each, path, methods))
    _refuse_again(noise, where)
    return LearningRates(candidates, noise, seeds, told.get("fields") or {})


def _refuse_again(noise: Sequence[Noise], where: str | Path) -> None:
    """Runs of two noises of one name would be one file; without noise all kinds are alike."""
    names = [each.name for each in noise]
    if again := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{where}: the noise {again[0]} is asked for twice; give rate 0 to one kind only.")
