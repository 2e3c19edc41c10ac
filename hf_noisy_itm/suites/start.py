"""What the model that a suite starts from retrieves before any training: what no method may fall below."""

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..arguments import Recipe
from ..errors import InputError
from ..evaluation import EvaluationArguments, evaluate_model
from ..files import read_json, write_json
from ..loading import NOTHING
from ..run_record import versions
from .plan import Suite, choices, table_runs
from .running import all_words, parsed

FILE = "start.json"
CHOICE_FILE = "start_of_choices.json"
_SOURCE = ("dataset", "dataset_config", "eval_split")
_HELD = ("holdout_every", "holdout_by", "where")
_DECIDES = (*_SOURCE, *_HELD, "holdout_offset", "max_eval_pictures")


def measure_start(suite: Suite, recipes: Path, folder: Path, common: Sequence[str] = ()) -> None:
    """Writes the figures of the start, on the pairs of the table and on those of the choices, where they lack.

    A suite whose models start from random weights has none.

    Args:
        suite: whose.
        recipes: see `words_of`.
        folder: of the suite's results.
        common: words for all runs, as where the data lie.

    Raises:
        InputError: those that are there are of another model or other pairs; or it cannot be evaluated; or learning
            rates would be chosen on the pairs of the table.
    """
    both = {FILE: table_runs(suite, {}), CHOICE_FILE: choices(suite)}
    told = {file: parsed(all_words(suite, runs[0], recipes, common)) for file, runs in both.items() if runs}
    if CHOICE_FILE in told and not _are_apart(_settings(told[FILE]), _settings(told[CHOICE_FILE])):
        raise InputError(
            f"The suite {suite.name} would choose learning rates on the pairs that its table tests on: name a "
            f"test_split in its fields, or another holdout_offset or eval_split in those of learning_rates."
        )
    for file, recipe in told.items():
        _measure(recipe, folder / file)


def _are_apart(table: dict, choice: dict) -> bool:
    """Whether two sets of held out pairs are sure to share none: of other splits, or other parts of one division."""
    if any(table.get(name) != choice.get(name) for name in _SOURCE):
        return True
    return table.get("holdout_offset") != choice.get("holdout_offset") and all(
        table.get(name) == choice.get(name) for name in _HELD
    )


def _measure(recipe: Recipe, file: Path) -> None:
    if recipe.run.model == NOTHING:
        return
    settings = _settings(recipe)
    if file.exists():
        if read_start(file)["settings"] != settings:
            raise InputError(f"{file} is of another model or other pairs: name another --results.")
        return
    held = replace(recipe.data, noise_rate=0.0, eval_split=settings.get("eval_split"), test_split=None)
    with tempfile.TemporaryDirectory() as aside, contextlib.redirect_stdout(None):  # which tells where that lies
        args = EvaluationArguments(recipe.run.model, output=str(Path(aside) / "evaluation.json"))
        figures = evaluate_model(args, held)["metrics"]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"settings": settings, "metrics": figures, "versions": versions()})


def read_start(file: Path) -> dict | None:
    """Settings and figures of the start; None where they were not measured.

    Args:
        file: one of those that `measure_start` writes.

    Raises:
        InputError: the file is not such.
    """
    if not file.exists():
        return None
    try:
        content = read_json(file)
        content["settings"]["model"], content["metrics"]["rsum"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} holds no figures of a start ({type(error).__name__}: {error}).") from error
    return content


def _settings(recipe: Recipe) -> dict:
    data = vars(recipe.data)
    held = {name: data[name] for name in _DECIDES} | {"eval_split": data["test_split"] or data["eval_split"]}
    return {"model": recipe.run.model, **{name: value for name, value in held.items() if value is not None}}
