"""The page of results: every figure in it is read from runs; what data a suite has is said in its own words."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import jinja2

from .markdown import as_markdown, behind, summary, told
from .plan import CONTROL, Noise
from .tables import Line, Table

DEFAULT = "npc"  # what the README names
_MOST_LOST = 0.01  # of the control's figure, where nothing is wrong
_LITTLE = 2 / 3  # AUC


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
        "blind": blind,
        "counted": counted,
        "duration": duration,
        "default": DEFAULT,
        "judged": judged,
        "hardly_trained": hardly_trained,
        "ranked": ranked,
        "summary": summary,
        "told": told,
    }
    page = environment.get_template("results.md.j2")
    return page.render(tables=tables, evidence=evidence(tables), figures=figures)


def evidence(tables: Sequence[Table]) -> list[Table]:
    """The suites that conclusions are drawn of: one seed alone says nothing."""
    return [table for table in tables if len(table.suite.seeds) > 1]


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


def judged(table: Table, method: str) -> list[tuple[Noise, Line, bool]]:
    """For each noise whether a method is fit to be the default: above the control, or 1 % below it without noise."""
    found = []
    for noise in table.lines:
        line, control = table.line(noise, method), table.line(noise, CONTROL)
        if line and line.to_control:
            least = 0 if noise.rate else -_MOST_LOST * control.whole.mean
            found.append((noise, line, line.to_control.mean > least))
    return found


def ranked(tables: Sequence[Table]) -> list[tuple[str, float, float, list[tuple[Table, Noise]]]]:
    """The methods that are in all suites with the default, the one first that stays least below the best anywhere.

    Returns:
        For each: its name; how far below the best it is where it is farthest, in per cent of that one; its time, the
        mean over all noises; where it is not fit to be the default.
    """
    tables = [table for table in tables if DEFAULT in table.suite.methods]
    found = []
    for method in tables[0].suite.methods if tables else ():
        if method == CONTROL or not all(behind(table, method) for table in tables):
            continue
        words = [(table, *word) for table in tables for word in judged(table, method)]
        unfit = [(table, noise) for table, noise, _, is_fit in words if not is_fit]
        most = max(gap for table in tables for gap in behind(table, method).values())
        found.append((method, most, mean(line.time.mean for _, _, line, _ in words), unfit))
    return sorted(found, key=lambda each: (bool(each[3]), each[1]))


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
    """Whose gain may be that of more steps: methods that on average are not above the longer control, as printed."""
    found = [
        (table, noise, [line for line in lines if line.to_equal_compute and round(line.to_equal_compute.mean, 1) <= 0])
        for table in tables
        for noise, lines in table.lines.items()
    ]
    return [each for each in found if each[2]]


def blind(tables: Sequence[Table]) -> list[tuple[Table, Noise, list[Line]]]:
    """Where weights see next to nothing of the noise: methods with an AUC below two thirds (ours)."""
    found = [
        (table, noise, [line for line in lines if line.auc and line.auc.mean < _LITTLE])
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


def hardly_trained(tables: Sequence[Table]) -> list[tuple[Table, Noise, Line, float]]:
    """Where no rate was of use: methods that chose one below all candidates, and the smallest of all."""
    return [
        (table, noise, line, rate)
        for table in tables
        if table.suite.learning_rates
        for noise, methods in table.tried.items()
        for line in table.lines.get(noise, ())
        if (rate := chosen(table, line.method, noise)) is not None
        and rate < min(table.suite.learning_rates.candidates)
        and rate == min(methods.get(line.method, {rate: None}))
    ]


def counted(seeds: Sequence[int]) -> str:
    """How many there are, and which."""
    return f"{'one seed' if len(seeds) == 1 else f'{len(seeds)} seeds'} ({', '.join(map(str, seeds))})"


def duration(hours: float) -> str:
    """`3.4 hours`, and below one `13 minutes`."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


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
