"""Tables of suites in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import mean

from .plan import Noise
from .spread import Spread
from .tables import Line, Table


def told(noise: Noise) -> str:
    """In words."""
    return f"{noise.kind}, {100 * noise.rate:g} %" if noise.rate else "no noise"


def as_markdown(table: Table) -> str:
    """All lines, a noise at a time; columns that would be empty are left out."""
    figure = "mAP" if table.is_of_vectors else "rSum"
    return _markdown([_row(noise, line, figure) for noise, lines in table.lines.items() for line in lines])


def _row(noise: Noise, line: Line, figure: str) -> dict[str, str]:
    return {
        "noise": told(noise),
        "method": line.method,
        "seeds": str(len(line.whole.values)),
        figure: line.whole.told(),
        "both branches": line.fused.told() if line.fused else "",
        "to the control": line.to_control.told(sign="+") if line.to_control else "",
        "wins": f"{line.wins} of {len(line.to_control.values)}" if line.to_control else "",
        "at equal compute": line.to_equal_compute.told(sign="+") if line.to_equal_compute else "",
        "time": _times(line.time),
        "memory": _times(line.memory),
        "AUC": f"{line.auc.mean:.3f}" if line.auc else "",
    }


def _times(ratio: Spread | None) -> str:
    return f"{ratio.told(2)} x" if ratio else ""


def summary(table: Table) -> str:
    """A line for each method: its differences to the control, how far it stays below the best, and what it costs."""
    rows = []
    for method in table.suite.methods:
        lines = {told(noise): line for noise in table.lines if (line := table.line(noise, method))}
        if not lines:
            continue
        gaps = behind(table, method).values()
        gains = {noise: f"{line.to_control.mean:+.1f}" for noise, line in lines.items() if line.to_control}
        rows.append(
            {"method": method}
            | {told(noise): gains.get(told(noise), "") for noise in table.lines}
            | {"below the best": f"{min(gaps):.1f} to {max(gaps):.1f} %"}
            | {"time": _mean_times([line.time for line in lines.values()])}
            | {"memory": _mean_times([line.memory for line in lines.values()])}
        )
    return _markdown(rows)


def behind(table: Table, method: str) -> dict[Noise, float]:
    """How far a method is below the best one of each noise, in per cent of that one's figure."""
    found = {}
    for noise, lines in table.lines.items():
        if line := table.line(noise, method):
            best = max(each.whole.mean for each in lines)
            found[noise] = 100 * (best - line.whole.mean) / best
    return found


def _mean_times(ratios: Sequence[Spread | None]) -> str:
    means = [ratio.mean for ratio in ratios if ratio]
    return f"{mean(means):.2f} x" if means else ""


def _markdown(rows: Sequence[Mapping[str, str]]) -> str:
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
