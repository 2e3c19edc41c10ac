"""The choice of learning rates: the same candidates for every method, and further ones where the best is the last."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from .plan import Noise, Run, Suite, choices
from .running import read_run, whole_of
from .start import read_start

_BEYOND = 3  # candidates, at most, on either side


def search(suite: Suite, folder: Path, make: Callable[[Sequence[Run]], bool]) -> dict[str, dict[Noise, float]] | None:
    """Makes the runs that learning rates are chosen by.

    Where a method does best under a noise with the smallest candidate, or the largest, the next one beyond is tried,
    as far off as the candidates are from each other, up to three times: or else the grid would decide. Smaller ones
    are tried, too, where its best is below the model that all start from, which the smallest of all leaves as it is.

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
    reached = _reached(runs, folder)
    return {method: {noise: _best(rates) for noise, rates in each.items()} for method, each in reached.items()}


def _beyond(suite: Suite, runs: Sequence[Run], folder: Path) -> list[Run]:
    """For each method and noise, the next candidate, if the best is at an edge."""
    found: list[Run] = []
    if suite.learning_rates is None or len(suite.learning_rates.candidates) < 2:
        return found
    candidates = sorted(suite.learning_rates.candidates)
    start = read_start(folder)
    least = start["metrics"]["rsum"] if start else -math.inf
    sides = ((0, candidates[0], candidates[1]), (-1, candidates[-1], candidates[-2]))
    for method, noises in _reached(runs, folder).items():
        for noise, rates in noises.items():
            for place, last, before in sides:
                edge = sorted(rates)[place]
                steps = round(math.log(edge / last) / math.log(last / before))  # that were taken already
                is_lost = place == 0 and mean(rates[_best(rates)]) < least
                if (_best(rates) == edge or is_lost) and steps < _BEYOND:
                    rate = float(f"{edge * last / before:.1e}")
                    like = next(run for run in runs if (run.method, run.noise) == (method, noise))
                    found += [replace(like, seed=seed, learning_rate=rate) for seed in suite.learning_rates.seeds]
    return found


def _reached(runs: Sequence[Run], folder: Path) -> dict[str, dict[Noise, dict[float, list[float]]]]:
    reached: dict[str, dict[Noise, dict[float, list[float]]]] = {}
    for run in runs:
        rates = reached.setdefault(run.method, {}).setdefault(run.noise, {})
        rates.setdefault(run.learning_rate, []).append(whole_of(read_run(folder / run.file)))
    return reached


def _best(rates: dict[float, list[float]]) -> float:
    return max(sorted(rates), key=lambda rate: mean(rates[rate]))
