"""Figures of a run as the Hub takes them, and the control that stands beside them."""

import re
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
from transformers.utils import logging

from ..errors import InputError
from .run_metrics import read_metrics

logger = logging.get_logger(__name__)

_OF_AN_OWNER = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HELD_OUT = ("holdout_every", "holdout_offset", "holdout_by", "max_eval_pictures", "where")
_SUMMED = {f"{direction}_r@{k}" for direction in ("i2t", "t2i") for k in (1, 5, 10)}
_BESIDE = ("control", "baseline")  # folders beside a run's in which a control is looked for


def figures_of(metrics: dict) -> dict[str, float]:
    """Recall and mAP of the CLIP that is published, rounded; of the test split where there is one."""
    figures = metrics.get("test") or metrics["metrics"]
    told = {**figures, "rsum": rsum(figures)}
    return {
        name: round(value, 3)
        for name, value in told.items()
        if value is not None
        and (name.startswith(("i2t_r@", "t2i_r@")) or name in ("rsum", "map") or name.endswith("_map"))
    }


def rsum(figures: dict) -> float | None:
    """The rSum where it is the sum of six recalls, as everybody's; a small gallery has none."""
    return figures.get("rsum") if all(figures.get(name) is not None for name in _SUMMED) else None


def split_of(metrics: dict, test: bool) -> str:
    """The split of the figures under `test`, or of those that training evaluates on."""
    data = metrics["data"]
    split = data.get("test_split" if test else "eval_split")
    return split or f"held out of {data.get('train_split') or 'train'}"


def name_of_data(metrics: dict) -> str:
    """The data set, and its configuration if it has one, as they were given."""
    data = metrics["data"]
    return data["dataset"] if data.get("dataset_config") is None else f"{data['dataset']}/{data['dataset_config']}"


def on_hub(name: str) -> str | None:
    """A name under which something was just loaded, if it was from the Hub: it has an owner, and is no path here."""
    return name if _OF_AN_OWNER.fullmatch(name) and not Path(name).exists() else None


def known_on_hub(metrics: dict, what: str) -> str | None:
    """Name on the Hub of the "model" that training started from, or of its "dataset", where it was from there."""
    name = (metrics.get("on_hub") or {}).get(what)
    return name if name is not None and _OF_AN_OWNER.fullmatch(name) else None


def eval_results(metrics: dict, dataset_id: str) -> str:
    """Content of a file in `.eval_results/`, one entry for each figure.

    Args:
        metrics: content of `metrics.json`.
        dataset_id: of the evaluation data on the Hub; the format has no other name for data.
    """
    split = split_of(metrics, bool(metrics.get("test")))
    noise = metrics.get("noise") or {}
    told = f"split {split}; trained by {metrics['method']}"
    if noise.get("sha256"):
        told += f" on noise of kind {noise.get('kind')}, rate {noise.get('nominal')}, SHA-256 {noise['sha256']}"
    elif noise.get("nominal"):
        told += f" on captions shuffled at rate {noise['nominal']}"
    entries = [
        EvalResultEntry(dataset_id=dataset_id, task_id=name, value=value, notes=told)
        for name, value in figures_of(metrics).items()
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), allow_unicode=True, sort_keys=False)


def find_control(folder: str | Path, metrics: dict, given: str | None) -> dict | None:
    """The figures of a run's control: of the folder that is named, or of one called control or baseline beside it.

    Args:
        folder: of the run.
        metrics: of the run.
        given: folder of the control; one that lies beside it is taken if left out, where it is of the same data, and
            left with a warning where it is damaged.

    Raises:
        InputError: the one that is named is no control of this run.
    """
    if given is not None:
        control = read_metrics(given)
        if difference := _difference(metrics, control):
            raise InputError(f"{given} is no control of {folder}: {difference}.")
        return control
    for name in _BESIDE:
        beside = Path(folder).resolve().parent / name
        if beside != Path(folder).resolve() and (beside / "metrics.json").is_file():
            try:
                control = read_metrics(beside)
            except InputError as error:
                logger.warning(f"{beside} does not stand as a control on the card: {error}")
                continue
            if _difference(metrics, control) is None:
                return control
    return None


def _difference(metrics: dict, control: dict) -> str | None:
    if control["method"] != "baseline":
        return f"it was trained by {control['method']}, and a control by baseline"
    if metrics["method"] == "baseline":
        return "the run is a control itself"
    for name, of in (
        ("the model that it starts from", lambda each: each["model"]),
        ("the training pairs", lambda each: each["pairs"].get("fingerprint")),
        ("the number of pairs to evaluate on", lambda each: each["pairs"].get("eval")),
        ("the data", lambda each: name_of_data(each)),
        ("the split to report on", lambda each: each["data"].get("test_split")),
        ("the split to evaluate on", lambda each: each["data"].get("eval_split")),
        ("what is held out to evaluate on", lambda each: [each["data"].get(key) for key in _HELD_OUT]),
        ("the noise", lambda each: [(each.get("noise") or {}).get(key) for key in ("nominal", "realised", "sha256")]),
    ):
        if of(metrics) != of(control):
            return f"{name} differ{'' if name == 'the training pairs' else 's'}"
    return None
