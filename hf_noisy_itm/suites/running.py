"""The runs of a suite, each in a process of its own, each with one file that is written once."""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from statistics import mean

from ..arguments import Recipe, parse_recipe
from ..errors import InputError, last_line
from ..files import read_json, write_json
from ..run import train
from ..run_record import given, versions
from .plan import Noise, Run, Suite, words_of

_NO_SETTINGS = ("output_dir", "data_dir", "image_root", "disable_tqdm")  # where files lie decides nothing
_LEFT_OUT = ("command", "on_hub", "bank", "weights_sha256")  # of metrics.json: another's, long, of what is not kept


def settings_of(recipe: Recipe) -> dict:
    """All fields of a recipe that differ from their defaults and decide about its figures, as JSON has them."""
    fields = {**given(recipe.training), **recipe.method}
    for part in (recipe.run, recipe.data):
        fields |= {name: value for name, value in vars(part).items() if value != getattr(type(part)(), name)}
    return json.loads(json.dumps({name: fields[name] for name in sorted(fields) if name not in _NO_SETTINGS}))


def read_run(file: Path) -> dict:
    """What a run left.

    Raises:
        InputError: the file is not such.
    """
    try:
        content = read_json(file)
        content["run"], content["settings"], content["cost"], content["metrics"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no run of a suite ({type(error).__name__}: {error}).") from error
    return content


def figures_of(content: dict) -> dict[str, float]:
    """Of the test split where a run reports on one."""
    return content.get("test") or content["metrics"]


def whole_of(content: dict) -> float:
    """The figure that runs are judged by: rSum, or mAP of vectors."""
    figures = figures_of(content)
    return figures["rsum"] if "rsum" in figures else figures["map"]


def make_runs(
    suite: Suite,
    runs: Sequence[Run],
    recipes: Path,
    folder: Path,
    common: Sequence[str] = (),
    processes: int = 1,
    end: float = float("inf"),
    told: Callable[[str], None] = print,
) -> bool:
    """Makes the runs that lack, and looks at those that are there.

    Args:
        suite: of the runs.
        runs: to make.
        recipes: see `words_of`.
        folder: of the suite's results.
        common: words for all runs, as where the data lie.
        processes: runs at a time.
        end: of `time.monotonic`; none begins after it.
        told: gets a line for each run.

    Returns:
        Whether all are there.

    Raises:
        InputError: one that is there was made otherwise than it would be today, or one failed: those that have begun
            are finished and kept.
    """
    words = {run: [*words_of(suite, run, recipes), *common] for run in runs}
    settings = {run: settings_of(parsed(words[run], run.is_choice)) for run in runs}  # wrong words are refused early
    for run in runs:
        if (folder / run.file).exists():
            _refuse_other(folder / run.file, settings[run])
    wanted = [run for run in runs if not (folder / run.file).exists()]
    context = multiprocessing.get_context("spawn")
    failed = None
    with ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool:
        jobs = {pool.submit(_one_run, words[run], run.is_choice, end): run for run in wanted}
        for job in as_completed(jobs):
            if time.monotonic() > end:  # each would start a process, only to find that out
                for other in jobs:
                    other.cancel()
            if job.cancelled():
                continue
            run = jobs[job]
            if (error := job.exception()) is not None:
                failed = failed or (run, error)
                for other in jobs:
                    other.cancel()
            elif (content := job.result()) is not None:
                file = folder / run.file
                file.parent.mkdir(parents=True, exist_ok=True)
                noise = {"kind": run.noise.kind, "rate": run.noise.rate}
                own = {"suite": suite.name, "method": run.method, "noise": noise, "seed": run.seed}
                own |= {"learning_rate": run.learning_rate, "is_choice": run.is_choice}
                write_json(file, {"run": own, "settings": settings[run], **content})
                told(f"{run.file}: {whole_of(content):.1f}, {content['cost']['seconds']:.0f} s")
    if failed is not None:
        run, error = failed
        raise InputError(f"The run {run.file} failed, and no other begins: {last_line(error)}") from error
    return all((folder / run.file).exists() for run in runs)


def best_rates(runs: Sequence[Run], folder: Path) -> dict[str, dict[Noise, float]]:
    """By method and noise, the learning rate with the best mean figure; the smaller of two that are as good."""
    reached: dict[str, dict[Noise, dict[float, list[float]]]] = {}
    for run in runs:
        rates = reached.setdefault(run.method, {}).setdefault(run.noise, {})
        rates.setdefault(run.learning_rate, []).append(whole_of(read_run(folder / run.file)))
    return {method: {noise: _best(rates) for noise, rates in each.items()} for method, each in reached.items()}


def _best(rates: dict[float, list[float]]) -> float:
    return max(sorted(rates), key=lambda rate: mean(rates[rate]))


def parsed(words: Sequence[str], is_choice: bool, output_dir: str = "") -> Recipe:
    """What a run is told; one that serves a choice has no `test_split`, which is unread."""
    recipe = parse_recipe([*words, "--disable_tqdm", "true", "--output_dir", output_dir])
    return replace(recipe, data=replace(recipe.data, test_split=None)) if is_choice else recipe


def _one_run(words: list[str], is_choice: bool, end: float) -> dict | None:
    """What a training by these words left, and what it took; None after the end."""
    if time.monotonic() > end:
        return None
    start, worked = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silence:
        kept, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), silence, silence
        try:
            metrics = train(parsed(words, is_choice, folder))
        finally:
            sys.stdout, sys.stderr = kept
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - worked,
        "peak_mb": peak / (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }
    kept = {name: value for name, value in metrics.items() if name not in _LEFT_OUT}
    kept["training"] = {name: value for name, value in kept["training"].items() if name not in _NO_SETTINGS}
    recipe = Path(*Path(words[0]).parts[-3:]).as_posix()  # where the repository lies is nobody's business
    return {**kept, "cost": cost, "command": ["recipes/train.py", recipe, *words[1:]]}


def _refuse_other(file: Path, now: dict) -> None:
    content = read_run(file)
    for part, then, these in (("", content["settings"], now), ("version of ", content["versions"], versions())):
        if changed := sorted(name for name in then.keys() | these.keys() if then.get(name) != these.get(name)):
            name = changed[0]
            raise InputError(
                f"{file} was made with {part}{name} {then.get(name)!r}, which is now {these.get(name)!r}: name "
                f"another --results, or give the same."
            )
