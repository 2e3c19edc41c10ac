"""The choice of learning rates: from the same candidates for every method, and as far as its best is the last."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean

from .plan import Noise, Run, Suite, choices
from .running import read_run, whole_of
from .start import CHOICE_FILE, read_start

_BEYOND = 3  # rates, at most, on either side of the candidates


def search_learning_rates(
    suite: Suite, folder: Path, make: Callable[[Sequence[Run]], bool]
) -> dict[str, dict[Noise, float]] | None:
    """Makes the runs that learning rates are chosen by.

    The two candidates in the middle are tried first. Where a method does best under a noise with the smallest rate
    that was tried, or the largest, the next one is, too: a candidate, or beyond them one as far off as they are from
    each other, up to three, or else the grid would decide. Smaller ones are tried also where its best is below the
    model that all start from, on the pairs of the choice; the smallest of all leaves that as it is. (Ours.)

    Args:
        suite: whose; its methods choose by the same rule.
        folder: of its results.
        make: makes runs, and says whether all are there.

    Returns:
        By method and noise the learning rate with the best mean figure, the smaller of two that are as good; empty
        where the suite chooses none, None where runs lack.
    """
    runs, further = [], choices(suite)
    while further:
        if not make(further):
            return None
        runs += further
        further = _beyond(suite, runs, folder)
    reached = _reached(suite, runs, folder)
    return {method: {noise: _best(rates) for noise, rates in each.items()} for method, each in reached.items()}


def _beyond(suite: Suite, runs: Sequence[Run], folder: Path) -> list[Run]:
    """For each method and noise, the next rate, if the best is at an edge of those that were tried."""
    if suite.learning_rates is None or len(suite.learning_rates.candidates) < 2:
        return []
    start = read_start(folder / CHOICE_FILE)
    least = start["metrics"]["rsum"] if start else -math.inf
    up = _outwards(suite.learning_rates.candidates)
    down = _outwards(suite.learning_rates.candidates[::-1])
    found: list[Run] = []
    for method, noises in _reached(suite, runs, folder).items():
        for noise, rates in noises.items():
            best = _best(rates)
            is_lost = mean(rates[best]) < least
            asked = {down.get(min(rates))} if best == min(rates) or is_lost else set()
            asked |= {up.get(max(rates))} if best == max(rates) else set()
            like = next(run for run in runs if (run.method, run.noise) == (method, noise))
            for rate in sorted(asked - {None}):
                found += [replace(like, seed=seed, learning_rate=rate) for seed in suite.learning_rates.seeds]
    return found


def _outwards(candidates: Sequence[float]) -> dict[float, float]:
    """What follows each rate: the next candidate, and beyond the last one a few more, as far off as that was."""
    *_, before, last = rates = list(candidates)
    rates += [float(f"{last * (last / before) ** step:.1e}") for step in range(1, _BEYOND + 1)]
    return dict(pairwise(rates))


def _reached(suite: Suite, runs: Sequence[Run], folder: Path) -> dict[str, dict[Noise, dict[float, list[float]]]]:
    reached: dict[str, dict[Noise, dict[float, list[float]]]] = {}
    for run in runs:
        rates = reached.setdefault(run.method, {}).setdefault(run.noise, {})
        rates.setdefault(run.learning_rate, []).append(whole_of(read_run(folder / run.file, suite.name)))
    return reached


def _best(rates: dict[float, list[float]]) -> float:
    return max(sorted(rates), key=lambda rate: mean(rates[rate]))
