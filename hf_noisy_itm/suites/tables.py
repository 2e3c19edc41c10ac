"""What the runs of a suite say together: means, deviations, and differences to the control of the same seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from ..errors import InputError
from .plan import CONTROL, Noise, Suite, table_runs
from .running import data_of, figures_of, read_run, whole_in, whole_of
from .search import search_learning_rates
from .spread import Spread
from .start import FILE, read_start


@dataclass(frozen=True)
class Line:
    """A method under one noise.

    Args:
        method: its name.
        whole: rSum, or mAP, see `whole_of`.
        fused: rSum by both branches of CODER; None of other methods.
        is_of_vectors: `whole` is mAP.
        to_control: differences of `whole` to the control's; None of the control.
        to_equal_compute: to those of a control that took as long; None where none was made.
        time: processor seconds of training and of a scorer before it, times the control's.
        memory: peak of the process, times the control's.
        auc: how well the weights tell wrong pairs; None of methods without.
        curve: (steps, mean of `whole` there) pairs.
    """

    method: str
    whole: Spread
    fused: Spread | None
    is_of_vectors: bool
    to_control: Spread | None
    to_equal_compute: Spread | None
    time: Spread | None
    memory: Spread | None
    auc: Spread | None
    curve: list[tuple[int, float]]

    @property
    def wins(self) -> int:
        """Seeds in which it is above the control."""
        return 0 if self.to_control is None else sum(value > 0 for value in self.to_control.values.values())


@dataclass(frozen=True)
class Table:
    """All runs of a suite that are there.

    Args:
        suite: of the runs.
        lines: by noise, in the order of the suite.
        learning_rates: by method and noise, those of the runs.
        tried: by noise, method and learning rate, what was reached where learning rates were chosen.
        start: rSum of the model that all start from; None where it was not measured.
        hours: of a processor that all runs took, the choices among them.
        elapsed: hours that they took by the clock, one after the other.
        is_searched: all learning rates are those that the search ends with, see `search_learning_rates`.
    """

    suite: Suite
    lines: dict[Noise, list[Line]]
    learning_rates: dict[str, dict[Noise, float]]
    tried: dict[Noise, dict[str, dict[float, Spread]]]
    start: float | None
    hours: float
    elapsed: float
    is_searched: bool

    @property
    def runs(self) -> tuple[int, int]:
        """How many are there, and how many the suite asks for."""
        there = sum(len(line.whole.values) for lines in self.lines.values() for line in lines)
        return there, len(self.suite.methods) * len(self.suite.noise) * len(self.suite.seeds)

    @property
    def is_of_vectors(self) -> bool:
        """Whether its figure is mAP, in place of rSum."""
        return all(line.is_of_vectors for lines in self.lines.values() for line in lines)

    @property
    def candidates(self) -> list[float]:
        """Learning rates that were tried, of any method."""
        return sorted({rate for methods in self.tried.values() for rates in methods.values() for rate in rates})

    @property
    def trials(self) -> dict[str, int]:
        """By method, how many runs its learning rates were chosen by."""
        counts = {
            name: sum(
                len(spread.values) for methods in self.tried.values() for spread in methods.get(name, {}).values()
            )
            for name in self.suite.methods
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def borrowed(self) -> dict[str, str]:
        """Methods that chose no learning rate, and whose they take."""
        return {name: each.learning_rate_of for name, each in self.suite.methods.items() if each.learning_rate_of}

    def line(self, noise: Noise, method: str) -> Line | None:
        """One line, if it is there."""
        return next((line for line in self.lines.get(noise, ()) if line.method == method), None)


def read_table(suite: Suite, folder: str | Path) -> Table:
    """Of the files that `make_runs` left.

    Raises:
        InputError: there are none, one is not such, or two of the same noise and seed saw other pairs or wrong ones.
    """
    found: dict[Noise, dict[str, dict[int, dict]]] = {}
    tried: dict[Noise, dict[str, dict[float, dict[int, float]]]] = {}
    rates: dict[str, dict[Noise, float]] = {}
    asked = {False: suite.seeds, True: suite.learning_rates.seeds if suite.learning_rates else ()}
    firsts: dict[tuple, tuple[Path, tuple]] = {}
    processor, elapsed = 0.0, 0.0
    for file in sorted(Path(folder).glob("*/*.json")):
        content = read_run(file, suite.name)
        run = content["run"]
        noise = Noise(run["noise"]["kind"], run["noise"]["rate"])
        if run["seed"] not in asked[run["is_choice"]]:
            continue
        first, data = firsts.setdefault((run["is_choice"], noise, run["seed"]), (file, data_of(content)))
        if data != data_of(content):
            raise InputError(
                f"{file} was made of other pairs, or with other noise, than {first}, so that nothing can be said of "
                f"their difference: delete the one that is wrong, and make it again with recipes/benchmark.py."
            )
        processor += content["cost"]["cpu_seconds"] / 3600
        elapsed += content["cost"]["seconds"] / 3600
        if run["is_choice"]:
            methods = tried.setdefault(noise, {}).setdefault(run["method"], {})
            methods.setdefault(run["learning_rate"], {})[run["seed"]] = whole_of(content)
            continue
        found.setdefault(noise, {}).setdefault(run["method"], {})[run["seed"]] = content
        rates.setdefault(run["method"], {})[noise] = content["settings"].get("learning_rate")
    if not found:
        raise InputError(f"There are no runs of {suite.name} in {folder}: make them with recipes/benchmark.py.")
    lines = {
        noise: [_line(suite, name, found[noise]) for name in suite.methods if name in found[noise]]
        for noise in suite.noise
        if noise in found
    }
    spreads = {
        noise: {
            name: {rate: Spread(seeds) for rate, seeds in tried[noise][name].items()}
            for name in suite.methods
            if name in tried[noise]
        }
        for noise in (suite.learning_rates.noise if suite.learning_rates else ())
        if noise in tried
    }
    start = read_start(Path(folder) / FILE)
    rates = {name: rates[name] for name in suite.methods if name in rates}
    reached = start["metrics"]["rsum"] if start else None
    is_searched = _is_searched(suite, Path(folder), found)
    return Table(suite, lines, rates, spreads, reached, processor, elapsed, is_searched)


def _is_searched(suite: Suite, folder: Path, found: dict[Noise, dict[str, dict[int, dict]]]) -> bool:
    chosen = search_learning_rates(suite, folder, lambda runs: all((folder / run.file).exists() for run in runs))
    if chosen is None:
        return False
    there = {
        (method, noise, seed): run["run"]["learning_rate"]
        for noise, methods in found.items()
        for method, runs in methods.items()
        for seed, run in runs.items()
    }
    wanted = {(run.method, run.noise, run.seed): run.learning_rate for run in table_runs(suite, chosen)}
    return all(wanted.get(run) == rate for run, rate in there.items())


def _line(suite: Suite, name: str, methods: dict[str, dict[int, dict]]) -> Line:
    runs, control = methods[name], methods.get(CONTROL, {})
    equal = methods.get(suite.methods[name].equal_compute or "", {})
    is_control = name == CONTROL

    def of(these: dict[int, dict], figure) -> Spread | None:
        values = {seed: value for seed, run in these.items() if (value := figure(run)) is not None}
        return Spread(values) if values else None

    def against(these: dict[int, dict], figure, how: str) -> Spread | None:
        own, other = of(runs, figure), of(these, figure)
        return None if is_control or own is None or other is None else getattr(own, how)(other)

    return Line(
        name,
        of(runs, whole_of),
        of(runs, lambda run: figures_of(run).get("fused_rsum")),
        all("rsum" not in figures_of(run) for run in runs.values()),
        against(control, whole_of, "less"),
        against(equal, whole_of, "less"),
        against(control, _worked, "over"),
        against(control, lambda run: run["cost"]["peak_mb"], "over"),
        of(runs, lambda run: (run["weights"] or {}).get("auc")),
        _curve(runs.values()),
    )


def _worked(run: dict) -> float:
    """Processor seconds of a training, with what a scorer did before it."""
    return run["seconds"]["train_cpu"] + run["seconds"].get("score_cpu", 0.0)


def _curve(runs: Iterable[dict]) -> list[tuple[int, float]]:
    """Means over seeds of what was reached on the way, at the steps that all have."""
    points: dict[int, list[float]] = {}
    for run in runs:
        at: dict[int, float] = {}
        for point in run["curve"]:  # the last step twice: as it was, and with the weights that were chosen
            at.setdefault(point["step"], whole_in(point))
        for step, value in at.items():
            points.setdefault(step, []).append(value)
    most = max((len(values) for values in points.values()), default=0)
    return [(step, mean(values)) for step, values in sorted(points.items()) if len(values) == most]
