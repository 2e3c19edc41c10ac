"""`metrics.json` of a run as cards may trust it: of known kinds throughout, no figure that is no number."""

import math
from pathlib import Path
from typing import Any

from ..errors import InputError, last_line
from ..files import read_json
from .links import inside

_TEXT, _NUMBER, _PART, _LIST = str, int | float, dict, list
_KINDS = {  # of what cards read; "a.b" is looked at where there is an `a`
    "method": _TEXT,
    "model": _TEXT,
    "data": _PART,
    "data.dataset": _TEXT,
    "pairs": _PART,
    "noise": _PART,
    "method_config": _PART,
    "training": _PART,
    "metrics": _PART,
    "seconds": _PART,
    "processes": int,
    "versions": _PART,
}
_KINDS_IF_THERE = {
    **{f"data.{name}": _TEXT for name in ("dataset_config", "train_split", "eval_split", "test_split")},
    **{f"data.{name}": _NUMBER for name in ("holdout_every", "noise_seed")},
    "data.feature_columns": _LIST | _TEXT | _PART,
    **{f"pairs.{name}": int for name in ("train", "eval", "test")},
    "pairs.fingerprint": _TEXT,
    **{f"noise.{name}": _NUMBER for name in ("nominal", "realised", "samples_wrong", "seed")},
    **{f"noise.{name}": _TEXT for name in ("kind", "sha256", "family")},
    "noise.by_modality": _PART,
    "noise.before": _PART,
    "noise.before.kind": _TEXT,
    "noise.before.nominal": _NUMBER,
    "test": _PART,
    "seconds.train": _NUMBER,
    "weights": _PART,
    "weights.auc": _NUMBER,
    "weights_sha256": _PART,
    "hardware": _PART,
    "hardware.device": _TEXT,
    "on_hub": _PART,
    "on_hub.model": _TEXT,
    "on_hub.dataset": _TEXT,
    "embeds_by_clip_alone": bool,
}
_NAMES = {_TEXT: "text", int: "a whole number", _PART: "an object", bool: "true or false", _NUMBER: "a number"}


def read_metrics(folder: str | Path) -> dict:
    """`metrics.json` of a run; NaN and infinity in it, which are no figures, become None.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(folder) / "metrics.json"
    try:
        metrics = _without_nan(read_json(inside(path.parent, path)))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{folder} holds no metrics.json: give the output folder of recipes/train.py.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON of a run ({last_line(error)}): train again.") from error
    if not isinstance(metrics, dict):
        raise InputError(f"{path} cannot be read as JSON of a run, it is no object: train again.")
    if missing := sorted(name for name in _KINDS if _at(metrics, name) is None):
        raise InputError(f"{path} is not of a run, it lacks {missing[0]!r}: give an output folder of train.py.")
    if wrong := _wrong(metrics) or beyond_text(metrics):
        raise InputError(f"{path} is damaged, {wrong}: train again.")
    return metrics


def _wrong(metrics: dict) -> str | None:
    for name, kind in (_KINDS | _KINDS_IF_THERE).items():
        value = _at(metrics, name)
        if value is not None and not _is(value, kind):
            return f"{name!r} must be {_NAMES.get(kind, 'a list of names')}, not {str(value)[:40]!r}"
    parts = {"metrics": metrics["metrics"], "test": metrics.get("test") or {}}
    parts["noise.by_modality"] = metrics["noise"].get("by_modality") or {}
    for part, figures in parts.items():
        for name, value in figures.items():
            if value is not None and not _is(value, _NUMBER):
                return f"{part + '.' + name!r} must be a number, not {str(value)[:40]!r}"
    return None


def beyond_text(content: Any) -> str | None:
    """What of JSON no card can show: halves of characters, and whole numbers beyond all floats."""
    if isinstance(content, dict):
        return next((told for each in [*content, *content.values()] if (told := beyond_text(each))), None)
    if isinstance(content, list):
        return next((told for each in content if (told := beyond_text(each))), None)
    if isinstance(content, int) and abs(content) > 2**64:
        return "it has a number of more than 64 bits"
    if isinstance(content, str) and any("\ud800" <= letter <= "\udfff" for letter in content):
        return f"it has half a character in {ascii(content)[:40]}"
    return None


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _at(metrics: dict, name: str) -> Any:
    value = metrics
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
