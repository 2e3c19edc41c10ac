"""The page of results: every number in it is read from runs, none is typed."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import matplotlib

matplotlib.use("Agg")  # files, no window

from matplotlib import pyplot

from ..files import atomic_path
from .plan import CONTROL, Noise
from .tables import Line, Table, as_markdown

FIGURES = ("rates.png", "curves.png", "costs.png")
DEFAULT = "npc"  # what the README names
_MOST_LOST = 0.01  # of the control's figure, where nothing is wrong


def render(tables: Sequence[Table], figures: str) -> str:
    """The page in Markdown.

    Args:
        tables: of suites, in the order of the page.
        figures: folder of the figures, as seen from the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, of our own words and numbers
    )
    environment.globals |= {
        "as_markdown": as_markdown,
        "at_the_edge": at_the_edge,
        "best": best,
        "below": below,
        "below_equal_compute": below_equal_compute,
        "below_start": below_start,
        "chosen": chosen,
        "told": told,
    }
    environment.globals |= {"default": DEFAULT, "judged": judged}
    return environment.get_template("results.md.j2").render(tables=tables, figures=figures)


def told(noise: Noise) -> str:
    """In words."""
    return f"{noise.kind}, {100 * noise.rate:.0f} %" if noise.rate else "no noise"


def best(table: Table) -> list[tuple[Noise, Line, list[str]]]:
    """For each noise the best method, and those that are no more than its deviation below it, the cheapest first."""
    found = []
    for noise, lines in table.lines.items():
        first = max(lines, key=lambda line: line.whole.mean)
        near = [
            line
            for line in lines
            if line is not first and first.whole.mean - line.whole.mean <= (first.whole.deviation or 0)
        ]
        near.sort(key=lambda line: line.time.mean if line.time else 1)
        found.append((noise, first, [line.method for line in near]))
    return found


def judged(table: Table) -> list[tuple[Noise, Line, bool]]:
    """For each noise whether the default keeps its word there: more than the control, or 1 % less without noise."""
    found = []
    for noise in table.lines:
        line, control = table.line(noise, DEFAULT), table.line(noise, CONTROL)
        if line and line.to_control:
            least = 0 if noise.rate else -_MOST_LOST * control.whole.mean
            found.append((noise, line, line.to_control.mean > least))
    return found


def below(tables: Sequence[Table]) -> list[tuple[Table, Noise, Line]]:
    """What does not work: methods that are below the control in most seeds."""
    return [
        (table, noise, line)
        for table in tables
        for noise, lines in table.lines.items()
        for line in lines
        if line.to_control and line.wins * 2 < len(line.to_control.values)
    ]


def below_equal_compute(tables: Sequence[Table]) -> list[tuple[Table, Noise, list[Line]]]:
    """Whose gain is that of more steps: methods that are below the longer control on average."""
    found = [
        (table, noise, [line for line in lines if line.to_equal_compute and line.to_equal_compute.mean < 0])
        for table in tables
        for noise, lines in table.lines.items()
    ]
    return [each for each in found if each[2]]


def below_start(tables: Sequence[Table]) -> list[tuple[Table, Noise, list[str]]]:
    """Where it is better not to train: noises under which methods end below the model that they start from."""
    found = [
        (table, noise, [line.method for line in lines if line.whole.mean < table.start])
        for table in tables
        if table.start is not None
        for noise, lines in table.lines.items()
    ]
    return [each for each in found if each[2]]


def chosen(table: Table, method: str, noise: Noise) -> float | None:
    """The learning rate that the table's runs took by a choice under `noise`; None as long as there are none."""
    rates = table.learning_rates.get(method, {})
    return next((rate for of, rate in rates.items() if table.suite.learning_rates.nearest(of) == noise), None)


def at_the_edge(table: Table) -> list[tuple[Noise, list[str]]]:
    """By noise, the methods whose best learning rate was the smallest or the largest of all: beyond may be better."""
    found = []
    for noise, methods in table.tried.items():
        names = [name for name, rates in methods.items() if chosen(table, name, noise) in (min(rates), max(rates))]
        if names:
            found.append((noise, names))
    return found


def draw(tables: Sequence[Table], folder: str | Path) -> None:
    """Writes the figures: what is reached by rate, on the way, and at what cost; a method looks alike in all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    methods = list(dict.fromkeys(method for table in tables for method in table.suite.methods))
    looks = {method: _look(number, method) for number, method in enumerate(methods)}
    for name, plot in zip(FIGURES, (_by_rate, _on_the_way, _by_cost)):
        figure, axes = pyplot.subplots(1, len(tables), figsize=(5.2 * len(tables), 3.6), squeeze=False)
        for table, axis in zip(tables, axes[0]):
            plot(table, axis, looks)
            axis.set_title(table.suite.name)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
        pyplot.close(figure)


def _figure_name(table: Table) -> str:
    return "mAP" if any("i2t_map" in line.figures for lines in table.lines.values() for line in lines) else "rSum"


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
        "marker": "os^Dv<>Pp*"[number % 10],
        "markersize": 4,
        "linewidth": 1.2,
        "label": method,
    }
