"""From the name of a CLIP to a model and its processor."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from huggingface_hub.utils import validate_repo_id
from transformers import AutoModel, CLIPConfig, CLIPProcessor

from .arguments import config_class
from .data import FeatureProcessor, FeatureRows, Pairs, StreamedPairs
from .errors import InputError, did_you_mean, last_line
from .methods import NoisyITMConfig, NoisyITMModel, unfolded
from .opening import one_sentence, open_processor
from .untrusted import refuse_foreign_code

ASSETS = Path(__file__).parent / "assets"


NOTHING = "none"  # the name of no checkpoint


def start_model(
    name: str, method: str, fields: dict, pairs: Pairs | StreamedPairs | FeatureRows, standardize: bool = True
) -> tuple[NoisyITMModel, CLIPProcessor | FeatureProcessor]:
    """The model that a training starts from: what the data say of fields that the method's config has, it is told.

    Args:
        name: of a checkpoint, see `load_model`; "none" where the data are vectors: a model of random weights.
        method: short name of the method.
        fields: of its config, over what the data say.
        pairs: to train on.
        standardize: for vectors that meet a new model.

    Raises:
        InputError: see `load_model`; or the method does not take such data.
    """
    cls = config_class(method)
    known = {field.name for field in dataclasses.fields(cls)}
    facts = {key: value for key, value in pairs.facts.items() if key in known}
    if isinstance(pairs, FeatureRows) and "feature_widths" not in known:
        raise InputError(f"The method {method} embeds pictures and captions, and the data are vectors.")
    if name != NOTHING:
        return load_model(name, method, fields, facts)
    if not isinstance(pairs, FeatureRows):
        raise InputError("A model of pictures and captions starts from a CLIP: name one with --model.")
    _refuse_unknown(fields, cls)
    try:
        model = AutoModel.from_config(cls(**(facts | fields)))
    except InputError:
        raise
    except (ValueError, StrictDataclassError) as error:
        raise InputError(f"A {method} model cannot be made: {last_line(error).split('Error: ')[-1]}") from error
    return model, FeatureProcessor.of(pairs, standardize)


def load_model(
    name: str, method: str | None = None, fields: dict | None = None, facts: dict | None = None
) -> tuple[NoisyITMModel, CLIPProcessor | FeatureProcessor]:
    """Loads a CLIP, ours or plain, as a method's model, and its processor.

    Args:
        name: "scenes-clip", a folder, or a name on the Hub.
        method: short name of the method; the checkpoint's own, which is "baseline" for a plain CLIP, if left out.
        fields: of the method's config, over those of the checkpoint, which hold for its own method and variant only,
            and give way where both do not go together.
        facts: fields that are known of the data; a checkpoint that has others is refused.

    Raises:
        InputError: there is no such model or method, or no such field, or a field has a wrong value.
    """
    model, stored = _load(name, method, fields, facts)
    has_vectors = stored.get("feature_widths") is not None  # whatever the data say
    if has_vectors:
        with one_sentence(f"{name} cannot be loaded with its processor"):
            return model, FeatureProcessor.from_pretrained(_place(name))
    return model, open_processor(_place(name), name, model.config.vision_config.image_size)


def load_weights(name: str) -> NoisyITMModel:
    """As `load_model`, without a processor."""
    return _load(name, None, None, None)[0]


def _load(name: str, method: str | None, fields: dict | None, facts: dict | None) -> tuple[NoisyITMModel, dict]:
    """The model, and its config as it is stored."""
    path = _place(name)
    with one_sentence(f"{name} cannot be loaded"):
        stored = unfolded(CLIPConfig.get_config_dict(path)[0])
    refuse_foreign_code(stored, name)
    kind = stored.get("model_type")
    if not isinstance(kind, str) or not (kind == "clip" or kind.startswith("noisy_itm_")):
        what = f"a model of type {kind!r}" if kind else "no model_type in its config.json, and so perhaps a model"
        raise InputError(f"{name} holds {what}, not a CLIP: name one of CLIP's architecture.")
    method = method or ("baseline" if kind == "clip" else kind.removeprefix("noisy_itm_"))
    cls = config_class(method)
    _refuse_unknown(fields or {}, cls)
    _refuse_other_facts(name, stored, facts or {})
    with one_sentence(f"{name} cannot be loaded as a {method} model"):
        config = cls.from_dict(stored, **{**(facts or {}), **(fields or {})})
        # Whatever the checkpoint's precision: half of it would lose small updates.
        return _model_class(cls).from_pretrained(path, config=config, dtype=torch.float32), stored


def _model_class(config: type[NoisyITMConfig]) -> type[NoisyITMModel]:
    """Not by `AutoModel`, which goes where adapters in the folder point."""
    return next(cls for cls in NoisyITMModel.__subclasses__() if cls.config_class is config)


def _place(name: str) -> Path | str:
    """The folder of a model, or its name on the Hub."""
    if name == NOTHING or not name.strip():
        raise InputError(f"There is no model {name!r} to load: name a folder, or a name on the Hub.")
    if (ASSETS / name / "config.json").exists():
        return ASSETS / name
    path = Path(name)
    if path.is_file():
        raise InputError(f"{name} is a file, not a model's folder: recipes/convert.py makes one of it.")
    if path.exists():
        return path
    if path.is_absolute() or name.startswith((".", "runs/")):
        raise InputError(f"There is no model folder {path.resolve()}.")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"There is no folder {name}, and no model on the Hub can have such a name.") from error
    return name


def _refuse_other_facts(name: str, stored: dict, facts: dict) -> None:
    for field, value in facts.items():
        own = stored.get(field)
        if own is not None and own != value:
            raise InputError(f"{name} was trained on data whose {field} are {own}, and those of these are {value}.")


def _refuse_unknown(names: Iterable[str], cls: type[NoisyITMConfig]) -> None:
    known = [field.name for field in dataclasses.fields(cls)]
    for name in names:
        if name not in known:
            raise InputError(f"{cls.__name__} has no field {name!r}{did_you_mean(name, known)}.")
