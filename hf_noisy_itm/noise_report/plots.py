"""Plots of a noise report, as PNG."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from .findings import Findings

RIGHT, WRONG, RANDOM, GREY = "#2a7f62", "#c8553d", "#d9a441", "#8d99ae"
_LINES = ("#1d3557", "#2a7f62", "#d9a441", "#7a5c99", "#c8553d", "#6baed6")
_HIGH_IS_WORSE = ("loss",)
_POINTS = 400  # of a curve
_BINS = 60


def all_plots(
    findings: Findings, groups: Mapping[str, list[dict]], known: np.ndarray | None, truth: dict | None
) -> dict[str, bytes]:
    """PNG files by name.

    Args:
        findings: of N pairs.
        groups: see `groups.noise_by_group`.
        known: see `truth.known_truth`.
        truth: see `truth.truth_of`, None likewise.
    """
    plots = {"suspicion": plot_suspicion(findings, known), "signals": plot_signals(findings, known)}
    if truth is not None:
        plots["separation"] = plot_separation(findings, known, truth)
        plots["calibration"] = plot_calibration(truth["calibration"])
    for number, (what, rows) in enumerate(groups.items()):
        plots[f"groups_{number}"] = plot_groups(what, rows)
    return plots


def plot_suspicion(findings: Findings, known: np.ndarray | None) -> bytes:
    """Pairs by probability of being wrong, right and wrong ones side by side where that is known."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    _histogram(axes, findings.probability, known, np.linspace(0, 1, 21), stacked=False)
    axes.set_yscale("log")  # where stacked bars would deceive
    axes.set_ylim(bottom=0.8)
    axes.set_xlabel("probability that the pair is wrong")
    axes.set_ylabel("pairs (logarithmic)")
    return _png(figure)


def plot_signals(findings: Findings, known: np.ndarray | None) -> bytes:
    """Pairs by each signal, the more suspicious to the right: where that is less of it the axis is turned around."""
    figure = Figure(figsize=(3.6 * len(findings.signals), 2.8), layout="constrained")
    for axes, (name, values) in zip(np.ravel(figure.subplots(1, len(findings.signals))), findings.signals.items()):
        seen = np.isfinite(values)
        turned = name not in _HIGH_IS_WORSE
        _histogram(axes, -values[seen] if turned else values[seen], None if known is None else known[seen], _BINS)
        if turned:
            axes.invert_xaxis()
        axes.set_xlabel(f"{name} (to the right: more suspicious)")
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.spines["left"].set_visible(False)
    return _png(figure)


def plot_separation(findings: Findings, known: np.ndarray, truth: dict) -> bytes:
    """ROC and precision-recall curves of the combination and of each signal."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    roc, precise = figure.subplots(1, 2)
    signals = {"combined": findings.suspicion, **findings.signals}
    for number, (name, values) in enumerate(signals.items()):
        seen = np.isfinite(values) & np.isfinite(known)
        style = {"color": _LINES[number % len(_LINES)], "linewidth": 2.2 if name == "combined" else 1.2}
        style["zorder"] = 3 if name == "combined" else 2
        auc, average = truth["auc"].get(name), truth["average_precision"].get(name)
        if auc is None:
            continue
        false, true, _ = roc_curve(known[seen], values[seen])
        roc.plot(*_thinned(false, true), label=f"{name}, AUC {auc:.3f}", **style)
        precision, recall, _ = precision_recall_curve(known[seen], values[seen])
        precise.plot(*_thinned(recall, precision), label=f"{name}, AP {average:.3f}", **style)
    roc.set(xlabel="right pairs that are suspected", ylabel="wrong pairs that are found")
    precise.set(xlabel="wrong pairs that are found", ylabel="suspected pairs that are wrong")
    for axes in (roc, precise):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.legend(frameon=False, fontsize=8, loc="lower left" if axes is precise else "lower right")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        _bare(axes)
    return _png(figure)


def plot_calibration(calibration: dict) -> bytes:
    """Share of wrong pairs among those of about the same probability."""
    figure = Figure(figsize=(3.8, 3.8), layout="constrained")
    axes = figure.subplots()
    bins = calibration["bins"]
    size = np.array([each["pairs"] for each in bins])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axes.scatter(
        [each["probability"] for each in bins],
        [each["wrong"] for each in bins],
        s=20 + 180 * size / size.max(),
        color=WRONG,
        alpha=0.8,
    )
    axes.set(xlabel="probability as reported", ylabel="share of wrong pairs", xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    _bare(axes)
    return _png(figure)


def plot_groups(what: str, rows: list[dict]) -> bytes:
    """Estimated share of wrong pairs by group, and the true one as a mark where it is known."""
    figure = Figure(figsize=(6.4, 1.1 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(rows))[::-1]
    axes.barh(place, [row["estimated"] for row in rows], color=RANDOM, label="estimated")
    if any("wrong" in row for row in rows):
        axes.plot(
            [row.get("wrong", np.nan) for row in rows], place, "|", color=WRONG, markersize=12, mew=2.5, label="true"
        )
        figure.legend(frameon=False, fontsize=8, loc="outside upper right", ncols=2)
    names = [f"{_short(row['name'])} ({row['pairs']:,})" for row in rows]
    axes.set_yticks(place, names, fontsize=8, parse_math=False)
    axes.set_xlabel(f"share of wrong pairs by {_short(what)}", parse_math=False)
    largest = max(max(row["estimated"], row.get("wrong", 0)) for row in rows)
    axes.set_xlim(0, max(1.08 * largest, 0.01))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if largest > 0.05 else 1))
    _bare(axes)
    return _png(figure)


def _histogram(
    axes: Axes, values: np.ndarray, known: np.ndarray | None, bins: int | np.ndarray, stacked: bool = True
) -> None:
    shape = "stepfilled" if stacked else "bar"  # one outline for all bins is drawn in a fraction of the time
    if known is None:
        axes.hist(values, bins, color=GREY, histtype=shape)
    else:
        parts = {"right pairs": (known == 0, RIGHT), "wrong pairs": (known == 1, WRONG)}
        if np.isnan(known).any():
            parts["nobody knows"] = (np.isnan(known), GREY)
        rows, colours = zip(*parts.values())
        bars = {"histtype": shape, "stacked": stacked, "color": list(colours), "label": list(parts)}
        axes.hist([values[chosen] for chosen in rows], bins, **bars)
        axes.legend(frameon=False, fontsize=8)
    _bare(axes)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
    return x[rows], y[rows]


def _short(name: str, most: int = 40) -> str:
    line = "".join(letter for letter in " ".join(name.split()) if letter.isprintable())
    return line if len(line) <= most else f"{line[:most]}…"


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=120, format="png")
    return file.getvalue()
