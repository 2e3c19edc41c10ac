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
from .plan import Suite, table_runs, words_of
from .running import parsed

FILE = "start.json"
_DECIDES = (
    *("dataset", "dataset_config", "eval_split", "max_eval_pictures"),
    *("holdout_every", "holdout_offset", "holdout_by", "where"),
)


def measure_start(suite: Suite, recipes: Path, folder: Path, common: Sequence[str] = ()) -> None:
    """Writes the figures of the start, on the pairs of the table, where they are not there yet.

    A suite whose models start from random weights has none.

    Args:
        suite: whose.
        recipes: see `words_of`.
        folder: of the suite's results.
        common: words for all runs, as where the data lie.

    Raises:
        InputError: those that are there are of another model or other pairs; or it cannot be evaluated.
    """
    recipe = parsed([*words_of(suite, table_runs(suite, {})[0], recipes), *common])
    if recipe.run.model == NOTHING:
        return
    settings = _settings(recipe)
    if (folder / FILE).exists():
        if read_start(folder)["settings"] != settings:
            raise InputError(f"{folder / FILE} is of another model or other pairs: name another --results.")
        return
    held = replace(recipe.data, noise_rate=None, eval_split=settings.get("eval_split"), test_split=None)
    with tempfile.TemporaryDirectory() as aside, contextlib.redirect_stdout(None):  # which tells where that lies
        args = EvaluationArguments(recipe.run.model, output=str(Path(aside) / "evaluation.json"))
        figures = evaluate_model(args, held)["metrics"]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, {"settings": settings, "metrics": figures, "versions": versions()})


def read_start(folder: Path) -> dict | None:
    """Settings and figures of the start; None where they were not measured.

    Raises:
        InputError: the file is not such.
    """
    file = folder / FILE
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
