"""What of a run's folder is published: a plain CLIP that transformers opens alone, and what is told of it."""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, CLIPConfig

from ..errors import InputError, last_line
from ..files import shipped, write_json
from ..methods import NoisyITMConfig, NoisyITMModel, folded
from .tokens import mask_tokens

REMOTE_CODE = "modeling_noisy_itm.py"
EVAL_RESULTS = ".eval_results/hf_noisy_itm.yaml"
STATE_FOLDER = "training_state"

_WEIGHTS = "model*.safetensors"
_INDEX = "model.safetensors.index.json"
_CLIP = "clip."
_PROCESSOR = (
    "processor_config.json",
    "preprocessor_config.json",
    "feature_processor.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
_BESIDE = ("adapter/*.json", "adapter/*.safetensors", "*.png", "noise_report/*.png")
# One of these is in a repository from an earlier push and not in this one: it goes, or it would be read along.
ONLY_OURS = (_WEIGHTS, _INDEX, EVAL_RESULTS, "adapter/*", f"{STATE_FOLDER}/*", "noise_report/*.png", REMOTE_CODE)


def stage_model(folder: Path, staged: Path, with_training_state: bool = False) -> tuple[type[NoisyITMModel], bool]:
    """Lays out in `staged` what belongs into a repository, all but the card and the figures.

    Args:
        folder: of a run; nothing in it is changed.
        staged: an empty folder.
        with_training_state: the memory bank, scores and weights of the training pairs too, which tell of the data.

    Returns:
        The method, and whether there is nothing in it beside its CLIP.

    Raises:
        InputError: model or processor are missing or damaged.
    """
    weights = sorted(folder.glob(_WEIGHTS))
    if not (folder / "config.json").is_file() or not weights:
        raise InputError(f"{folder} holds no model: give the output folder of recipes/train.py.")
    if not any((folder / name).is_file() for name in _PROCESSOR):
        raise InputError(f"{folder} holds no processor: copy that of the model it was trained from into it.")
    try:
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config, model_class = _method_of(stored)
        names = _stage_weights(weights, staged)
        write_json(staged / "config.json", _published(stored, config, model_class, names))
    except InputError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder} holds no whole model: {last_line(error)}") from error
    if (folder / _INDEX).is_file():
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        index["weight_map"] = {names[name]: part for name, part in index["weight_map"].items()}
        write_json(staged / _INDEX, index)
    if _is_clip(names):
        shutil.copyfile(shipped("hub_cards") / REMOTE_CODE, staged / REMOTE_CODE)
    patterns = [*_PROCESSOR, *_BESIDE]
    copied = [path for pattern in patterns for path in folder.glob(pattern)]
    for path in copied:
        _copy(path, staged / path.relative_to(folder))
    if with_training_state:
        for name in _training_state(folder):
            _copy(folder / name, staged / STATE_FOLDER / name)
    return model_class, all(name.startswith(_CLIP) for name in names)


def for_others(content: Any) -> Any:
    """Words and figures without tokens, and of paths the last part alone, for the rest is nobody's business."""
    if isinstance(content, dict):
        return {key: for_others(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [for_others(value) for value in content]
    if not isinstance(content, str):
        return content
    option, sign, value = content.partition("=") if content.startswith("--") else ("", "", content)
    if value.startswith("~") or Path(value).is_absolute():
        value = Path(value).name
    return mask_tokens(option + sign + value)


def _method_of(stored: dict) -> tuple[NoisyITMConfig | None, type[NoisyITMModel]]:
    kind = stored.get("model_type")
    methods = {each.config_class.model_type: each for each in NoisyITMModel.__subclasses__()}
    if kind == "clip":  # of recipes/pretrain.py, which trains as the control does
        return None, methods["noisy_itm_baseline"]
    if kind not in methods:
        raise InputError(f"config.json is of a model of type {kind!r}, not of a method of ours.")
    return AutoConfig.for_model(kind).from_dict(stored), methods[kind]


def _stage_weights(weights: list[Path], staged: Path) -> dict[str, str]:
    """Copies files of weights; where all is CLIP's, its tensors are named as `CLIPModel` names them."""
    parts = {path.name: load_file(path) for path in weights}
    names = [name for part in parts.values() for name in part]
    only_clip = all(name.startswith(_CLIP) for name in names)
    renamed = {name: name.removeprefix(_CLIP) if only_clip else name for name in names}
    for file, part in parts.items():
        save_file({renamed[name]: tensor for name, tensor in part.items()}, staged / file, metadata={"format": "pt"})
    return renamed


def _is_clip(names: dict[str, str]) -> bool:
    return "logit_scale" in names.values() or f"{_CLIP}logit_scale" in names.values()


def _published(
    stored: dict, config: NoisyITMConfig | None, model_class: type[NoisyITMModel], names: dict[str, str]
) -> dict:
    """The config under which transformers alone finds a CLIP, and this package the method."""
    if config is None or not _is_clip(names):
        return stored
    plain = CLIPConfig()
    kept = {name: value for name, value in stored.items() if name in config.method or hasattr(plain, name)}
    return folded(kept, config.method) | {
        "architectures": [model_class.__name__, "CLIPModel"],
        "auto_map": {"AutoModel": f"{Path(REMOTE_CODE).stem}.NoisyITMModel"},
    }


def _training_state(folder: Path) -> list[str]:
    """Names of the files that the trainer says belong to what the run remembers."""
    try:
        names = json.loads((folder / "memory.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    if not names or not all(Path(name).name == name and (folder / name).is_file() for name in names):
        raise InputError(f"{folder} holds no whole training state: leave --with_training_state out.")
    return ["memory.json", *names]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
