"""From the name of a CLIP to a model and its processor."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModel, CLIPConfig, CLIPProcessor
from transformers.utils import logging

from .arguments import config_class
from .errors import InputError, did_you_mean, last_line
from .methods import NoisyITMConfig, NoisyITMModel

ASSETS = Path(__file__).parent / "assets"


def load_model(
    name: str, method: str | None = None, fields: dict | None = None
) -> tuple[NoisyITMModel, CLIPProcessor]:
    """Loads a CLIP, ours or plain, as a method's model, and its processor.

    Args:
        name: "scenes-clip", a folder, or a name on the Hub.
        method: short name of the method; the checkpoint's own, which is "baseline" for a plain CLIP, if left out.
        fields: of the method's config, over those of the checkpoint, which hold for its own method and variant only.

    Raises:
        InputError: there is no such model or method, or no such field, or a field has a wrong value.
    """
    path = ASSETS / name if (ASSETS / name / "config.json").exists() else Path(name)
    if not path.exists() and (path.is_absolute() or name.startswith(".") or name.startswith("runs/")):
        raise InputError(f"There is no model folder {path.resolve()}.")
    try:
        with _quiet():
            stored = CLIPConfig.get_config_dict(path)[0]
            kind = str(stored.get("model_type"))
            if kind != "clip" and not kind.startswith("noisy_itm_"):
                raise InputError(f"{name} holds a model of type {kind!r}, not a CLIP.")
            method = method or ("baseline" if kind == "clip" else kind.removeprefix("noisy_itm_"))
            cls = config_class(method)
            _refuse_unknown(fields or {}, cls)
            config = cls.from_dict(stored, **(fields or {}))
            # Whatever the checkpoint's precision: half of it would lose small updates.
            model, report = AutoModel.from_pretrained(
                path, config=config, dtype=torch.float32, output_loading_info=True
            )
            processor = CLIPProcessor.from_pretrained(path)
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        reason = last_line(error).split("Error: ")[-1].strip()
        raise InputError(f"{name} cannot be loaded as a {method} model: {reason}") from error
    if missing := sorted(key for key in report["missing_keys"] if key.startswith("clip.")):
        raise InputError(f"{name} lacks {len(missing)} of CLIP's weights, {missing[0]} for one; it is not whole.")
    tokens = processor.tokenizer("two words")["input_ids"]
    if len(set(tokens) - set(processor.tokenizer.all_special_ids)) < 2:
        raise InputError(f"The tokenizer of {name} cannot spell a word; is tokenizer.json in its folder?")
    return model, processor


def _refuse_unknown(names: Iterable[str], cls: type[NoisyITMConfig]) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    for name in names:
        if name not in known:
            raise InputError(f"{cls.__name__} has no field {name!r}{did_you_mean(name, known)}.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what transformers says when a method's config meets a plain CLIP checkpoint; it is meant to."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
