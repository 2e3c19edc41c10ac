"""Recipes in several variants and seeds, and a table: `recipes/ablation.py VARIANTS.json RECIPE.yaml … [--option …]`.

    python recipes/ablation.py recipes/mrl/ablation.json recipes/mrl/wikipedia_*.yaml --processes 2 -- --data FOLDER

VARIANTS.json holds, by name, fields that a variant has over those of the recipe. Each run is a training as
`recipes/train.py` makes it, with `seed` and `noise_seed` of one number; what follows `--` is given to all. Models are
not kept. One JSON for each recipe says of all runs which settings, data and versions made them, and what they reached
where they were chosen and, once, on the split `test_split`; with `--choose` that is not looked at. Runs that are in it
already are not made again, so a stopped table goes on, with the same settings, data and versions only; no run begins
after `--limit` seconds. Where one fails, those that have begun are finished and kept.
"""

import argparse
import dataclasses
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean, stdev

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: runs stand beside each other, one thread each

from transformers.utils.logging import disable_progress_bar

from hf_noisy_itm.arguments import Recipe, parse_recipe
from hf_noisy_itm.data import DataArguments, load_pairs, load_test
from hf_noisy_itm.errors import InputError, last_line
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import read_json, write_json
from hf_noisy_itm.run import train
from hf_noisy_itm.run_record import versions
from hf_noisy_itm.suites.running import settings_of

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> None:
    """Makes the runs that lack, and prints the table."""
    own, _, common = (list(part) for part in _split(arguments))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", type=Path)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no run after so many seconds")
    parser.add_argument(
        "--output", type=Path, default=None, help="folder; results/NAME of the variants' folder if unset"
    )
    parser.add_argument(
        "--choose", action="store_true", help="a table of the split to choose on; test_split is unread"
    )
    args = parser.parse_args(own)
    folder = args.output or RESULTS / args.variants.resolve().parent.name
    variants = _read(args.variants)
    files = {recipe: folder / f"{recipe.stem}.json" for recipe in args.recipes}
    if len(set(files.values())) < len(args.recipes):
        raise InputError("Two recipes have one name, and so one file of results: rename one, or give them apart.")
    results = {recipe: _read(file) if file.exists() else {"runs": []} for recipe, file in files.items()}
    wanted = [
        (recipe, name, seed)
        for seed in args.seeds
        for recipe in args.recipes
        for name in variants
        if not any(run["variant"] == name and run["seed"] == seed for run in results[recipe]["runs"])
    ]
    there = [(recipe, run) for recipe, each in results.items() for run in each["runs"] if run["variant"] in variants]
    known: dict[str, dict] = {}  # data that are loaded once for many runs
    made = {  # wrong words are refused before anything is trained
        (recipe, name, seed): made_of(parsed(recipe, variants[name], seed, common, args.choose), known)
        for recipe, name, seed in [*wanted, *((recipe, run["variant"], run["seed"]) for recipe, run in there)]
    }
    for recipe, run in there:
        adds = any(each[0] == recipe for each in wanted)
        _refuse_other(files[recipe], run, made[recipe, run["variant"], run["seed"]], adds)
    end = time.monotonic() + args.limit
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=context) as pool:
        jobs = {
            pool.submit(
                one_run, recipe, name, variants[name], seed, common, args.choose, end, made[recipe, name, seed]
            ): (recipe, name, seed)
            for recipe, name, seed in wanted
        }
        for recipe, run in _finished(jobs):
            runs = [*results[recipe]["runs"], run]
            order = list(variants)
            results[recipe] = {"recipe": recipe.name, "runs": sorted(runs, key=lambda each: _place(each, order))}
            write_json(files[recipe], results[recipe])
            print(f"{recipe.stem}, {run['variant']}, seed {run['seed']}: {run['seconds']:.1f} s", flush=True)
    runs_of = {recipe.stem: result["runs"] for recipe, result in results.items()}
    print(table(runs_of, list(variants)))


def _finished(jobs: dict[Future, tuple[Path, str, int]]) -> Iterator[tuple[Path, dict]]:
    """Runs as they end; after an error those that have begun, and then it is raised."""
    failed = None
    for job in as_completed(jobs):
        if job.cancelled():
            continue
        recipe, name, seed = jobs[job]
        if (error := job.exception()) is None:
            if (run := job.result()) is not None:
                yield recipe, run
        elif failed is None:
            failed = f"{recipe.name}, {name}, seed {seed}", error
            for other in jobs:
                other.cancel()
    if failed is not None:
        what, error = failed
        if not isinstance(error, InputError):
            traceback.print_exception(error)
        raise InputError(f"The run {what} failed, and no other begins: {last_line(error)}") from error


def parsed(recipe: Path, fields: dict, seed: int, common: list[str], choose: bool, output_dir: str = "") -> Recipe:
    """What a run is told, in the order in which later words win: recipe, seed, variant, and what all are given."""
    words = [word for key, value in fields.items() for word in (f"--{key}", str(value))]
    numbers = ["--seed", str(seed), "--noise_seed", str(seed), "--disable_tqdm", "true"]
    made = parse_recipe([str(recipe), *numbers, *words, *common, "--output_dir", output_dir])
    return dataclasses.replace(made, data=dataclasses.replace(made.data, test_split=None)) if choose else made


def made_of(recipe: Recipe, known: dict[str, dict]) -> dict[str, dict]:
    """What decides about the figures of a run: settings, fingerprints of the data before noise, and versions.

    Args:
        recipe: of the run.
        known: fingerprints of data that were loaded already; added to.
    """
    untouched = {each.name: each.default for each in dataclasses.fields(DataArguments) if each.name[:6] == "noise_"}
    args = dataclasses.replace(recipe.data, **untouched)
    if repr(args) not in known:
        known[repr(args)] = {} if args.streaming else _fingerprints(args)  # nobody knows all rows of a stream
    return {"settings": settings_of(recipe), "data": known[repr(args)], "versions": versions()}


def _fingerprints(args: DataArguments) -> dict[str, str]:
    train, evaluation = load_pairs(args)
    test = load_test(args, train)
    parts = {"training": train, "evaluation": evaluation, **({} if test is None else {"test": test})}
    return {name: pairs.fingerprint for name, pairs in parts.items()}


def one_run(
    recipe: Path, name: str, fields: dict, seed: int, common: list[str], choose: bool, end: float, made: dict
) -> dict | None:
    """A training in a folder that goes with it, and what it was `made` of; None after the end."""
    if time.monotonic() > end:
        return None
    disable_progress_bar()  # of models that are not kept
    start, start_of_work = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silence:
        told, sys.stdout = sys.stdout, silence
        try:
            metrics = train(parsed(recipe, fields, seed, common, choose, folder))
        finally:
            sys.stdout = told
    kept = ("kind", "nominal", "by_modality", "sha256")
    return {
        "variant": name,
        "seed": seed,
        "chosen on": metrics["metrics"],
        "test": metrics["test"],
        "chosen": metrics["chosen"],
        **made,
        "noise": {key: metrics["noise"][key] for key in kept if key in metrics["noise"]},
        "fingerprint": metrics["pairs"]["fingerprint"],
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_of_work,
    }


def _refuse_other(file: Path, run: dict, made: dict[str, dict], adds: bool) -> None:
    """Refuses a table of which a run would be another one today; of other versions only where runs are added."""
    for part in ("settings", "data", *(["versions"] if adds else [])):
        then, now = run.get(part, {}), made[part]
        if changed := sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name)):
            name = changed[0]
            raise InputError(
                f"{file} holds {run['variant']}, seed {run['seed']}, made with {name}{' data' * (part == 'data')} "
                f"{then.get(name)!r}, which is now {now.get(name)!r}: name another --output, or give the same {part}."
            )


def table(results: dict[str, list[dict]], variants: list[str]) -> str:
    """Means and deviations (n - 1) over seeds of what was reached, on the test split if one is named, as Markdown."""
    reached = {
        name: [(run["variant"], run["test"] or run["chosen on"]) for run in runs] for name, runs in results.items()
    }
    figures = sorted({name for runs in reached.values() for _, run in runs for name in run if _is_shown(name)})
    lines = []
    for figure in figures:
        lines += [f"| {figure} | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
        for name in variants:
            cells = []
            for runs in reached.values():
                values = [run[figure] for variant, run in runs if variant == name and figure in run]
                spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
                cells.append(f"{mean(values):.1f}{spread} ({len(values)})" if values else "")
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _is_shown(name: str) -> bool:
    return name.endswith(("map", "rsum"))


def _place(run: dict, variants: list[str]) -> tuple[int, int]:
    return variants.index(run["variant"]) if run["variant"] in variants else len(variants), run["seed"]


def _split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    place = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:place], arguments[place : place + 1], arguments[place + 1 :]


def _read(path: Path) -> dict:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error}); name the variants first, then the recipes.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold an object.")
    return content


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
