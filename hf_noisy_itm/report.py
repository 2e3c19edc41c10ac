"""Pictures of a run: recall by method, separation of the weights, what models retrieve, which pairs they distrust."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .data import Pairs
from .files import atomic_path
from .memory.bank import EncodedPairs

RIGHT, WRONG, GREY = "#2a7f62", "#c8553d", "#8d99ae"
_SHADES = ("#b8c0cc", "#6d7f99", "#2a7f62", "#d9a441", "#7a5c99", "#c8553d")


def plot_recall(results: Mapping[str, Mapping[str, float]], path: str | Path) -> None:
    """Bars of R@1, 5, 10 in both directions.

    Args:
        results: figures as `recall` returns them, by name of the model.
        path: of the PNG.
    """
    keys = [f"{direction}_r@{k}" for direction in ("i2t", "t2i") for k in (1, 5, 10)]
    keys = [key for key in keys if all(key in figures for figures in results.values())]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(results)
    for number, (name, figures) in enumerate(results.items()):
        x = np.arange(len(keys)) + (number - (len(results) - 1) / 2) * width
        bars = axes.bar(x, [figures[key] for key in keys], width, label=name, color=_SHADES[number % len(_SHADES)])
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    words = {"i2t": "image → text", "t2i": "text → image"}
    axes.set_xticks(range(len(keys)), [f"{words[key[:3]]}\nR@{key.split('@')[1]}" for key in keys])
    axes.set_ylabel("recall (%)")
    axes.set_ylim(0, 112)
    axes.legend(loc="upper left", ncols=len(results), frameon=False)
    _bare(axes)
    _save(figure, path)


def plot_separation(scores: Mapping[str, np.ndarray], is_noisy: np.ndarray, path: str | Path) -> None:
    """Histograms of right and of wrong pairs, each normalised to 100 %, one panel per score.

    Args:
        scores: by label of the axis, one value per pair, (N,), NaN where a pair has none.
        is_noisy: bool (N,).
        path: of the PNG.
    """
    figure = Figure(figsize=(6 * len(scores), 3.5), layout="constrained")
    for axes, (label, values) in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores.items()):
        seen = np.isfinite(values)
        low, high = (values[seen].min(), values[seen].max()) if seen.any() else (0.0, 1.0)
        bins = np.linspace(low, max(high, low + 1e-3), 31)
        for name, rows, colour in (("right pairs", ~is_noisy, RIGHT), ("wrong pairs", is_noisy, WRONG)):
            part = values[seen & rows]
            if len(part):
                share = np.full(len(part), 1 / len(part))
                axes.hist(part, bins, weights=share, alpha=0.6, color=colour, label=f"{name} ({len(part)})")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(label)
        axes.set_ylabel("share of the pairs")
        axes.legend(frameon=False)
        _bare(axes)
    _save(figure, path)


def plot_retrieval(
    pairs: Pairs, encoded: Mapping[str, EncodedPairs], queries: Sequence[int], path: str | Path, top: int = 4
) -> None:
    """For some captions, the pictures that each model puts first; the right one is framed.

    Args:
        pairs: what was embedded.
        encoded: embeddings of `pairs` by name of the model.
        queries: rows of captions.
        path: of the PNG.
        top: pictures per model and caption.
    """
    figure = Figure(figsize=(1.15 * top * len(encoded) + 2.2, 1.35 * len(queries) + 0.5), layout="constrained")
    columns = figure.subfigures(1, len(encoded) + 1, width_ratios=[2.2, *[1.15 * top] * len(encoded)])
    for axes, row in zip(np.ravel(columns[0].subplots(len(queries), 1)), queries):
        axes.text(0, 0.5, _in_three_lines(pairs.captions[row]).strip(), va="center", fontsize=9, parse_math=False)
        axes.axis("off")
    columns[0].suptitle("caption", fontsize=10)
    for column, (name, embeds) in zip(columns[1:], encoded.items()):
        column.suptitle(name, fontsize=10)
        grid = column.subplots(len(queries), top, squeeze=False)
        for line, row in zip(grid, queries):
            scores = embeds.image_embeds @ embeds.text_embeds[row]
            for axes, picture in zip(line, scores.topk(min(top, len(scores))).indices.tolist()):
                _show(axes, pairs, picture, RIGHT if picture == pairs.image_row[row] else None)
            for axes in line:
                axes.set(xticks=[], yticks=[])
    _save(figure, path)


def plot_least_trusted(
    pairs: Pairs, trust: np.ndarray, is_noisy: np.ndarray | None, path: str | Path, count: int = 15
) -> None:
    """The pairs of lowest trust, with captions; frames tell right (green) from wrong (red) where that is known.

    Args:
        pairs: the training pairs.
        trust: of each, any scale, (N,), NaN where nothing is known.
        is_noisy: bool (N,), or None if nobody knows.
        path: of the PNG.
        count: how many pairs, each of another picture.
    """
    order = np.argsort(np.where(np.isfinite(trust), trust, np.inf), kind="stable")
    _, first = np.unique(pairs.image_row[order], return_index=True)
    order = order[np.sort(first)[:count]]
    columns = 5
    lines = -(-len(order) // columns)
    figure = Figure(figsize=(2 * columns, 2.5 * lines), layout="constrained")
    for axes, row in zip(figure.subplots(lines, columns, squeeze=False).ravel(), order):
        colour = GREY if is_noisy is None else WRONG if is_noisy[row] else RIGHT
        _show(axes, pairs, int(pairs.image_row[row]), colour)
        axes.set_title(_in_three_lines(pairs.captions[row]), fontsize=7.5, parse_math=False)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
        if not axes.images:
            axes.axis("off")
    _save(figure, path)


def recall_table(result: Mapping) -> str:
    """Figures as lines of text.

    Args:
        result: as `evaluation.evaluate_model` returns it: `metrics`, and `intervals` and `extended` if there are any.
    """
    metrics, intervals = result["metrics"], result.get("intervals", {})
    ways = ["mean" if name == "map" else name.removesuffix("_map") for name in metrics if name.endswith("map")]
    categories = [f"mAP by class: {', '.join(f'{way} {value:.1f}' for way, value in zip(ways, _maps(metrics)))}"]
    if "rsum" not in metrics:
        return categories[0]
    ks = sorted({int(name.split("@")[1]) for name in metrics if name.startswith("i2t_r@")})

    def show(name: str) -> str:
        interval = " [{:.1f}, {:.1f}]".format(*intervals[name]) if name in intervals else ""
        return f"{metrics[name]:.1f}{interval}"

    rows = [["", *(f"R@{k}" for k in ks), "median", "mean rank"]]
    for way, name in (("i2t", "image to text"), ("t2i", "text to image")):
        keys = [*(f"{way}_r@{k}" for k in ks), f"{way}_median_rank", f"{way}_mean_rank"]
        rows.append([name, *map(show, keys)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["   ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) for row in rows]
    lines.append(f"rSum {show('rsum')}")
    for name, figures in result.get("views", {}).items():
        words = ", ".join(f"{way}_r@{k} {figures[f'{way}_r@{k}']:.1f}" for way in ("i2t", "t2i") for k in ks)
        lines.append(f"{name}: {words}, rSum {figures['rsum']:.1f}")
    lines += categories if ways else []
    for way, figures in result.get("extended", {}).items():
        names = [*(f"r@{k}" for k in ks), "r_precision", "map@r"]
        words = ", ".join(f"{name} {figures[name]:.1f}" for name in names)
        lines.append(f"{way}, all right answers counted ({_counted(figures)}): {words}")
    return "\n".join(lines)


def _maps(metrics: Mapping[str, float]) -> list[float]:
    return [value for name, value in metrics.items() if name.endswith("map")]


def _counted(figures: Mapping[str, float]) -> str:
    """Of what figures with all right answers are."""
    words = [f"{figures['queries']} queries", f"{figures['answers']} answers"]
    if figures["outside"]:
        words.append(f"{figures['outside']} of them not in the gallery")
    if "file_queries" in figures:
        words.append(f"{figures['file_used']} of the file's {figures['file_queries']} queries used")
    return ", ".join(words)


def _in_three_lines(caption: str) -> str:
    lines = textwrap.wrap(caption, 28, max_lines=3, placeholder=" …")
    return "\n".join([""] * (3 - len(lines)) + lines)


def _show(axes: Axes, pairs: Pairs, picture: int, frame: str | None) -> None:
    axes.imshow(pairs.picture(picture))
    for spine in axes.spines.values():
        spine.set(visible=frame is not None, color=frame or "white", linewidth=3)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
