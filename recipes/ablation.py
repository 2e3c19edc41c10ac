"""Recipes in several variants and seeds, and a table: `recipes/ablation.py VARIANTS.json RECIPE.yaml … [--option …]`.

    python recipes/ablation.py recipes/mrl/ablation.json recipes/mrl/*.yaml --processes 2 -- --data wikipedia

VARIANTS.json holds, by name, fields that a variant has over those of the recipe. Each run is a training as
`recipes/train.py` makes it, with `seed` and `noise_seed` of one number; what follows `--` is given to all. Models are
not kept. One JSON for each recipe says of all runs what they reached where they were chosen and, once, on the split
`test_split`. Runs that are in it already are not made again, so a stopped table goes on; no run begins after `--limit`
seconds.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean, stdev

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: runs stand beside each other, one thread each

from transformers.utils.logging import disable_progress_bar

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.files import write_json
from hf_noisy_itm.run import clean_exit, train

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
    args = parser.parse_args(own)
    folder = args.output or RESULTS / args.variants.resolve().parent.name
    variants = _read(args.variants)
    files = {recipe: folder / f"{recipe.stem}.json" for recipe in args.recipes}
    results = {recipe: _read(file) if file.exists() else {"runs": []} for recipe, file in files.items()}
    wanted = [
        (recipe, name, seed)
        for seed in args.seeds
        for recipe in args.recipes
        for name in variants
        if not any(run["variant"] == name and run["seed"] == seed for run in results[recipe]["runs"])
    ]
    end = time.monotonic() + args.limit
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=context) as pool:
        jobs = {
            pool.submit(one_run, str(recipe), name, variants[name], seed, common, end): recipe
            for recipe, name, seed in wanted
        }
        for job in as_completed(jobs):
            recipe, run = jobs[job], job.result()
            if run is not None:
                runs = [*results[recipe]["runs"], run]
                order = list(variants)
                results[recipe] = {"recipe": recipe.name, "runs": sorted(runs, key=lambda each: _place(each, order))}
                write_json(files[recipe], results[recipe])
                print(f"{recipe.stem}, {run['variant']}, seed {run['seed']}: {run['seconds']:.1f} s", flush=True)
    print(table({recipe.stem: result["runs"] for recipe, result in results.items()}, list(variants)))


def one_run(recipe: str, name: str, fields: dict, seed: int, common: list[str], end: float) -> dict | None:
    """A training in a folder that goes with it; None after the end."""
    if time.monotonic() > end:
        return None
    disable_progress_bar()  # of models that are not kept
    words = [word for key, value in fields.items() for word in (f"--{key}", str(value))]
    numbers = ["--seed", str(seed), "--noise_seed", str(seed), "--disable_tqdm", "true"]
    start, start_of_work = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as silence:
        told, sys.stdout = sys.stdout, silence
        try:
            metrics = train(parse_recipe([recipe, *numbers, *words, *common, "--output_dir", folder]))
        finally:
            sys.stdout = told
    kept = ("kind", "nominal", "by_modality", "sha256")
    return {
        "variant": name,
        "seed": seed,
        "chosen on": metrics["metrics"],
        "test": metrics["test"],
        "chosen": metrics["chosen"],
        "method_config": metrics["method_config"],
        "noise": {key: metrics["noise"][key] for key in kept if key in metrics["noise"]},
        "fingerprint": metrics["pairs"]["fingerprint"],
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - start_of_work,
        "versions": metrics["versions"],
    }


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error}); name the variants first, then the recipes.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold an object.")
    return content


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
