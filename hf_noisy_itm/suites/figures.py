"""The figures of the page of results: what is reached by rate, on the way, and at what cost."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files, no window

from matplotlib import pyplot

from ..files import atomic_path
from .markdown import told
from .plan import CONTROL, Noise
from .tables import Table

FIGURES = ("rates.png", "curves.png", "costs.png")
_COLUMNS = 2  # more would be too small to read on a page


def draw(tables: Sequence[Table], folder: str | Path) -> None:
    """Writes the figures; a method looks alike in all.

    Each says in its metadata, as `Description`, of which runs it is: their `fingerprint`.

    Args:
        tables: one or more.
        folder: made if need be.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    methods = list(dict.fromkeys(method for table in tables for method in table.suite.methods))
    looks = {method: _look(number, method) for number, method in enumerate(methods)}
    metadata = {"Software": None, "Description": fingerprint(tables)}
    columns = min(_COLUMNS, len(tables))
    rows = math.ceil(len(tables) / columns)
    for name, plot in zip(FIGURES, (_by_rate, _on_the_way, _by_cost)):
        figure, axes = pyplot.subplots(rows, columns, figsize=(5.2 * columns, 3.6 * rows), squeeze=False)
        for axis in axes.flat[len(tables) :]:
            axis.set_axis_off()
        for table, axis in zip(tables, axes.flat):
            plot(table, axis, looks)
            axis.set_title(table.suite.name)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend(framealpha=0.8, edgecolor="none", fontsize=8)
        figure.tight_layout()
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=110, format="png", metadata=metadata)
        pyplot.close(figure)


def fingerprint(tables: Sequence[Table]) -> str:
    """The sha256 of all that is drawn."""
    drawn = [(table.suite.name, table.lines, table.start) for table in tables]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def _figure_name(table: Table) -> str:
    return "mAP" if table.is_of_vectors else "rSum"


def _main_kind(table: Table) -> str:
    return next(noise.kind for noise in table.suite.noise if noise.rate)


def _by_rate(table: Table, axis, looks: dict[str, dict]) -> None:
    kind = _main_kind(table)
    noises = [noise for noise in table.lines if noise.kind == kind or not noise.rate]
    for method in table.suite.methods:
        points = [(100 * noise.rate, line.whole) for noise in noises if (line := table.line(noise, method))]
        if points:
            rates, spreads = zip(*points)
            axis.errorbar(
                rates,
                [spread.mean for spread in spreads],
                [spread.deviation or 0 for spread in spreads],
                **looks[method],
                capsize=2,
            )
    if table.start is not None:
        axis.axhline(table.start, color="0.6", linewidth=0.8, linestyle=":", label="without training")
    axis.set_xlabel(f"{kind}, % of the training pairs".replace("_", " "))
    axis.set_ylabel(_figure_name(table))


def _on_the_way(table: Table, axis, looks: dict[str, dict]) -> None:
    noise = _middle(table)
    for method in table.suite.methods:
        line = table.line(noise, method)
        if line and line.curve:
            axis.plot(*zip(*line.curve), **looks[method])
    axis.set_xlabel(f"steps, {told(noise)}")
    axis.set_ylabel(f"{_figure_name(table)} on the pairs to evaluate on")


def _by_cost(table: Table, axis, looks: dict[str, dict]) -> None:
    noise = _middle(table)
    for method in table.suite.methods:
        line = table.line(noise, method)
        if line and line.to_control:
            look = looks[method] | {"linestyle": "none"}
            axis.errorbar(line.time.mean, line.to_control.mean, line.to_control.deviation or 0, **look, capsize=2)
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xlabel(f"processor seconds, times the control's ({told(noise)})")
    axis.set_ylabel(f"{_figure_name(table)} above the control")


def _middle(table: Table) -> Noise:
    """The noise at 40 %, or the nearest to it, of the first kind."""
    return min(
        (noise for noise in table.lines if noise.rate and noise.kind == _main_kind(table)),
        key=lambda noise: abs(noise.rate - 0.4),
    )


def _look(number: int, method: str) -> dict:
    return {
        "color": "black" if method == CONTROL else f"C{number % 10}",
        "marker": "os^Dv<>Pp*hX"[number % 12],
        "markersize": 4,
        "linewidth": 1.2,
        "label": method,
    }
