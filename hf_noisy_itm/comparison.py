"""Runs side by side: mean and deviation over seeds of what their `metrics.json` files say."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev

from .errors import InputError
from .files import read_json

_FIGURES = {  # of runs whose last figure is there; what they are called in the table
    "rsum": {"i2t_r@1": "i2t R@1", "t2i_r@1": "t2i R@1", "rsum": "rSum", "fused_rsum": "rSum of both branches"},
    "map": {"i2t_map": "i2t mAP", "t2i_map": "t2i mAP", "map": "mAP"},
}
_CHOICES = ("chosen", "hardest")
_FURTHER = ("wins", "AUC of weights", "chosen negatives that match", "hardest that match", "AUC of posterior")
_TABLE = re.compile(r"(<!-- runs: (?P<patterns>[^>]+?) -->)\n(.*?)(<!-- end -->)", re.DOTALL)
_SEED = re.compile(r"[-_]seed\d+$")
_RATE = re.compile(r"_noise\d+$")


def compare(files: Sequence[str | Path]) -> str:
    """Makes a table in Markdown with a line for each kind of run, grouped by data and noise.

    Figures are those of the test split, where a run reports on one. A kind is the file's name without `_seedN`, or its
    folder's name if the file is `metrics.json`; in a file of `recipes/ablation.py` it is the variant. Figures are
    means and standard deviations (n - 1) over the seeds; "wins" are seeds in which a run has a higher rSum than the
    control (the kind called `control` or `baseline`) of the same seed on the same data. Runs on vectors, which have
    mAP alone, get a table of their own, and columns that would be empty are left out. Where runs say which negatives
    were matches in truth (`truth.negatives_in_truth`): the share of matches among the chosen and among the hardest,
    and how well the posterior tells them among the hardest, means of both directions.

    Args:
        files: `metrics.json` files of runs, wherever they lie and whatever they are called, and files of
            `recipes/ablation.py`, which hold several.

    Raises:
        InputError: a file holds no figures of a run, or two files are of one kind and seed.
    """
    runs = [each for path in map(Path, files) for each in _read(path)]
    whole = ("rsum" if "rsum" in run["metrics"] else "map" for _, _, run in runs)
    by_figure: dict[str, list] = {}
    for name, each in zip(whole, runs):
        by_figure.setdefault(name, []).append(each)
    try:
        return "\n\n".join(_table(by_figure[name], name) for name in _FIGURES if name in by_figure)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"One of {', '.join(map(str, files))} is not the metrics.json of a training: something else stands where "
            f"a figure or a name belongs ({type(error).__name__}: {error})."
        ) from error


def _table(runs: Sequence[tuple[Path, str, dict]], whole: str) -> str:
    groups: dict[tuple, dict[str, dict[int, dict]]] = {}
    for path, name, run in runs:
        group = groups.setdefault(_what_on(run), {}).setdefault(name, {})
        seed = run["training"]["seed"]
        if seed in group:
            raise InputError(f"{path} is a second run of {name} with seed {seed} on {', '.join(_what_on(run))}.")
        group[seed] = run
    lines = [["data", "noise", "run", "seeds", *_FIGURES[whole].values(), *_FURTHER]]
    for what, kinds in sorted(groups.items()):
        control = kinds.get("control", kinds.get("baseline"))
        for name, runs in sorted(kinds.items(), key=lambda item: _middle(item[1], whole)):
            lines.append([*what, name, *_figures(runs, None if runs is control else control, whole)])
    columns = [column for column in zip(*lines) if any(column[1:])]
    lines = list(zip(*columns))
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(runs: dict[int, dict], control: dict[int, dict] | None, whole: str) -> list[str]:
    lists = ([run["metrics"].get(key) for run in runs.values()] for key in _FIGURES[whole])
    cells = ["" if None in values else _spread(values, ".1f") for values in lists]
    both = [seed for seed in runs if control and seed in control]
    wins = sum(runs[seed]["metrics"][whole] > control[seed]["metrics"][whole] for seed in both)
    weights = [run["weights"]["auc"] for run in runs.values() if run["weights"] and "auc" in run["weights"]]
    ways = [run["negatives"] for run in runs.values() if run.get("negatives")]
    shares = [_means(ways, lambda way, name=name: way.get(name, {}).get("matches")) for name in _CHOICES]
    aucs = _means(ways, lambda way: way.get("hardest_auc"))
    return [
        ", ".join(map(str, sorted(runs))),
        *cells,
        f"{wins} of {len(both)}" if both else "",
        _spread(weights, ".3f") if weights else "",
        *(f"{_spread([100 * share for share in each], '.1f')} %" if each else "" for each in shares),
        _spread(aucs, ".3f") if aucs else "",
    ]


def _means(runs: list[dict[str, dict]], figure: Callable[[dict], float | None]) -> list[float]:
    """Of each run the mean over directions, where there is such a figure."""
    found = ([value for way in run.values() if (value := figure(way)) is not None] for run in runs)
    return [mean(values) for values in found if values]


def _read(path: Path) -> list[tuple[Path, str, dict]]:
    """The runs of a file, each with its kind, and with figures of the test split as `metrics` where it has such."""
    name = _SEED.sub("", path.parent.name if path.stem == "metrics" else path.stem)
    try:
        content = read_json(path)
        found = list(_of_ablation(content)) if "runs" in content else [(name, content)]
        for _, run in found:
            run["metrics"] = run.get("test") or run["metrics"]
            (
                run["metrics"]["rsum" if "rsum" in run["metrics"] else "map"],
                run["training"]["seed"],
                run["data"]["dataset"],
                run["noise"]["nominal"],
                run["weights"],
            )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not the metrics.json of a training ({type(error).__name__}: {error}).") from error
    return [(path, kind, run) for kind, run in found]


def _of_ablation(content: dict) -> Iterator[tuple[str, dict]]:
    for run in content["runs"]:
        data = {"dataset": _RATE.sub("", Path(content["recipe"]).stem), **run["settings"]}  # those that are no default
        figures = {"metrics": run["chosen on"], "test": run["test"], "noise": run["noise"], "weights": None}
        yield run["variant"], {**figures, "data": data, "training": {"seed": run["seed"]}}


def _what_on(run: dict) -> tuple[str, str]:
    data, noise = run["data"], run["noise"]
    words = [Path(data["dataset"]).stem, data.get("dataset_config"), data.get("where")]
    kind = noise.get("kind", "shuffle")
    rate = f"{100 * noise['nominal']:.0f} %" + ("" if kind == "shuffle" or not noise["nominal"] else f" {kind}")
    return ", ".join(filter(None, words)), rate


def _middle(runs: dict[int, dict], key: str) -> float:
    return mean(run["metrics"][key] for run in runs.values())


def _spread(values: list[float], form: str) -> str:
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def fill_tables(text: str, root: str | Path) -> str:
    """Makes the tables of a page in Markdown anew, so that no number in them is typed.

    A table stands between `<!-- runs: PATTERN … -->`, patterns of files below the root, and `<!-- end -->`.

    Args:
        text: of the page.
        root: folder that the patterns start from.

    Raises:
        InputError: a pattern has no files; see `compare`.
    """

    def table(match: re.Match) -> str:
        patterns = match["patterns"].split()
        found = {pattern: sorted(Path(root).glob(pattern)) for pattern in patterns}
        if missing := [pattern for pattern, files in found.items() if not files]:
            raise InputError(f"There is no file {missing[0]} below {root}, of which the page has a table.")
        return f"{match[1]}\n{compare([file for files in found.values() for file in files])}\n{match[4]}"

    return _TABLE.sub(table, text)
