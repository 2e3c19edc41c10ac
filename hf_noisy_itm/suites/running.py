"""The runs of a suite, each in a process of its own, each with one file that is written once."""

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event

from ..arguments import Recipe, parse_recipe
from ..errors import InputError, last_line
from ..files import read_json, write_json
from ..run_record import given, versions
from .plan import Noise, Run, Suite, words_of
from .process import NO_SETTINGS, Way, alone_in, one_run


def settings_of(recipe: Recipe) -> dict:
    """All fields of a recipe that differ from their defaults and decide about its figures, as JSON has them."""
    fields = {**given(recipe.training), **recipe.method}
    for part in (recipe.run, recipe.data):
        fields |= {name: value for name, value in vars(part).items() if value != getattr(type(part)(), name)}
    return json.loads(json.dumps({name: fields[name] for name in sorted(fields) if name not in NO_SETTINGS}))


def read_run(file: Path, suite: str | None = None) -> dict:
    """What a run left.

    Args:
        file: of the run.
        suite: that it is to be of.

    Raises:
        InputError: the file is not such, or of another run than its name says, or of another suite.
    """
    try:
        content = read_json(file)
        run = content["run"]
        noise = Noise(run["noise"]["kind"], run["noise"]["rate"])
        own = Run(run["method"], noise, run["seed"], run["learning_rate"], run["is_choice"]).file
        if own != f"{file.parent.name}/{file.name}":
            raise ValueError(f"it is of the run {own}")
        if suite not in (None, run["suite"]):
            raise ValueError(f"it is of the suite {run['suite']}")
        if type(run["seed"]) is not int:
            raise TypeError(f"the seed is {run['seed']!r}")
        _refuse_unsound(content)
        parts = [content["settings"], content["versions"], content["weights"] or {}]
        parts += [content.get("pairs") or {}, content.get("noise") or {}]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError("settings, versions, weights, pairs or noise have no fields")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is no run of a suite ({type(error).__name__}: {error}).") from error
    return content


def _refuse_unsound(content: dict) -> None:
    """Figures that are no numbers, or that no run can have."""
    costs = [content["seconds"]["train_cpu"]]
    costs += [content["cost"][name] for name in ("peak_mb", "cpu_seconds", "seconds")]
    wholes = [(whole_of(content), _most(figures_of(content))), (figures_of(content).get("fused_rsum", 0), 600)]
    wholes += [(whole_in(point), _most(point)) for point in content["curve"]]
    rest = [content["seconds"].get("score_cpu", 0), *(point["step"] for point in content["curve"])]
    auc = (content["weights"] or {}).get("auc")
    ranges = [*wholes, *((number, math.inf) for number in (*costs, *rest)), (0 if auc is None else auc, 1)]
    for number, most in ranges:
        if type(number) not in (int, float):
            raise TypeError(f"{number!r} is no number")
        if not (0 <= number <= most and math.isfinite(number)):
            raise ValueError(f"{number!r} is no such figure")
    if min(costs) == 0:
        raise ValueError("it took neither time nor memory")


def _most(figures: dict[str, float]) -> int:
    """Six recalls, or one mean average precision."""
    return 600 if "rsum" in figures else 100


def data_of(content: dict) -> tuple:
    """What pairs a run saw and which of them were made wrong: what is compared has both in common."""
    return content.get("pairs"), (content.get("noise") or {}).get("sha256")


def figures_of(content: dict) -> dict[str, float]:
    """Of the test split where a run reports on one."""
    return content.get("test") or content["metrics"]


def whole_of(content: dict) -> float:
    """The figure that runs are judged by: rSum, or mAP of vectors."""
    return whole_in(figures_of(content))


def whole_in(figures: dict[str, float]) -> float:
    """That of one evaluation, as a point of a curve is."""
    return figures["rsum"] if "rsum" in figures else figures["map"]


def make_runs(
    suite: Suite,
    runs: Sequence[Run],
    recipes: Path,
    folder: Path,
    common: Sequence[str] = (),
    way: Way | None = None,
    told: Callable[[str], None] = print,
) -> bool:
    """Makes the runs that lack, and looks at those that are there.

    Args:
        suite: of the runs.
        runs: to make.
        recipes: folder of train.py and of the methods' folders.
        folder: of the suite's results.
        common: words for all runs, as where the data lie.
        way: how many at a time, until when, and by what.
        told: gets a line for each run.

    Returns:
        Whether all are there.

    Raises:
        InputError: one that is there was made otherwise than it would be today, or one failed: those that have begun
            are finished and kept.
    """
    way = way or Way()
    words = {run: all_words(suite, run, recipes, common) for run in runs}
    settings = {run: settings_of(parsed(words[run])) | way.told for run in runs}  # wrong words are refused early
    for run in runs:
        if (folder / run.file).exists():
            _refuse_other(folder / run.file, settings[run], suite.name)
    wanted = [run for run in runs if not (folder / run.file).exists()]
    begin, failed, stop = way.command(recipes / "train.py"), None, Event()

    def made(run: Run) -> dict | None:
        if stop.is_set():
            return None
        try:
            return one_run(begin, words[run], way.end)
        except BaseException:
            stop.set()
            raise

    with alone_in(folder), ThreadPoolExecutor(way.processes) as pool:
        jobs = {pool.submit(made, run): run for run in wanted}
        try:
            for job in as_completed(jobs):
                run = jobs[job]
                if (error := job.exception()) is not None:
                    failed = failed or (run, error)
                elif (content := job.result()) is not None:
                    _keep(suite, run, settings[run], content, folder / run.file)
                    told(f"{run.file}: {whole_of(content):.1f}, {content['cost']['seconds']:.0f} s")
        except BaseException:  # of somebody who stops all, or of the disk
            stop.set()
            raise
    if failed is not None:
        run, error = failed
        raise InputError(f"The run {run.file} failed, and no other begins: {last_line(error)}") from error
    return all((folder / run.file).exists() for run in runs)


def all_words(suite: Suite, run: Run, recipes: Path, common: Sequence[str]) -> list[str]:
    """`words_of` a run, and those that are given to all.

    Raises:
        InputError: these say otherwise what the suite says, or where a run is to write.
    """
    path, *own = words_of(suite, run, recipes)
    last, first = (settings_of(parsed(words)) for words in ([path, *own, *common], [path, *common, *own]))
    changed = [f"--{name}" for name in sorted(last.keys() | first.keys()) if last.get(name) != first.get(name)]
    changed += [word for word in common if word.split("=")[0] in ("--output_dir", "--score_cache")]
    if changed:
        raise InputError(f"{changed[0]} is for the suite {suite.name} to say, and cannot be given to all of its runs.")
    return [path, *own, *common]


def _keep(suite: Suite, run: Run, settings: dict, content: dict, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = {"kind": run.noise.kind, "rate": run.noise.rate}
    own = {"suite": suite.name, "method": run.method, "noise": noise, "seed": run.seed}
    own |= {"learning_rate": run.learning_rate, "is_choice": run.is_choice}
    write_json(file, {"run": own, "settings": settings, **content})


def parsed(words: Sequence[str]) -> Recipe:
    """What a run is told."""
    return parse_recipe([*words, "--output_dir", ""])


def _refuse_other(file: Path, now: dict, suite: str) -> None:
    content = read_run(file, suite)
    for part, then, these in (("", content["settings"], now), ("version of ", content["versions"], versions())):
        if changed := sorted(name for name in then.keys() | these.keys() if then.get(name) != these.get(name)):
            name = changed[0]
            raise InputError(
                f"{file} was made with {part}{name} {then.get(name)!r}, which is now {these.get(name)!r}: name "
                f"another --results, or give the same."
            )
