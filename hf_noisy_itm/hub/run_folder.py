"""What of a run's folder is published: a plain CLIP that transformers opens alone, and what is told of it."""

import shutil
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPConfig

from ..adapters import FILES, FOLDER
from ..data import FeatureProcessor
from ..errors import InputError, last_line
from ..files import read_json, shipped, write_json
from ..methods import NoisyITMConfig, NoisyITMModel, folded, unfolded
from ..opening import open_processor
from ..untrusted import refuse_foreign_code
from .adapter_files import check_adapter
from .links import inside
from .tokens import for_others
from .weights import CLIP, INDEX, stage_weights

REMOTE_CODE = "modeling_noisy_itm.py"
EVAL_RESULTS = ".eval_results/hf_noisy_itm.yaml"
STATE_FOLDER = "training_state"

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
_BESIDE = (*(f"{FOLDER}/{name}" for name in FILES), "*.png", "noise_report/*.png")
# One of these is in a repository from an earlier push and not in this one: it goes, or it would be read along.
ONLY_OURS = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    INDEX,
    EVAL_RESULTS,
    f"{FOLDER}/adapter_*",
    "weights.png",
    *_PROCESSOR,
    f"{STATE_FOLDER}/*",
    "noise_report/*.png",
    REMOTE_CODE,
)


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
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no model: give the output folder of recipes/train.py.")
    stored, config, model_class = _method_of(folder)
    names = stage_weights(folder, staged, config, model_class)
    check_adapter(folder, config, model_class)
    write_json(staged / "config.json", for_others(_published(stored, config, model_class, names)))
    if _is_clip(names):
        shutil.copyfile(shipped("hub_cards") / REMOTE_CODE, staged / REMOTE_CODE)
    patterns = [*_PROCESSOR, *_BESIDE]
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        _copy(folder, path.relative_to(folder), staged)
    _refuse_no_processor(folder, staged, config)
    if with_training_state:
        for name in _training_state(folder):
            _copy(folder, Path(name), staged / STATE_FOLDER)
    return model_class, all(name.startswith(CLIP) for name in names)


def _refuse_no_processor(folder: Path, staged: Path, config: NoisyITMConfig) -> None:
    """Opens what would be published."""
    try:
        if getattr(config, "feature_widths", None) is not None:
            FeatureProcessor.from_pretrained(staged)
        else:
            open_processor(staged, str(folder), config.vision_config.image_size)
    except (InputError, OSError) as error:
        why = last_line(error)
        raise InputError(f"{why}. A whole one is that of the model it was trained from: copy it there.") from error


def _method_of(folder: Path) -> tuple[dict, NoisyITMConfig, type[NoisyITMModel]]:
    """What config.json says, as a config, and of which method."""
    path = folder / "config.json"
    try:
        stored = unfolded(read_json(inside(folder, path)))
        refuse_foreign_code(stored, folder)
        kind = stored.get("model_type")
        methods = {each.config_class.model_type: each for each in NoisyITMModel.__subclasses__()}
        # A plain CLIP is of recipes/pretrain.py, which trains as the control does.
        model_class = methods["noisy_itm_baseline"] if kind == "clip" else methods.get(kind)
        if model_class is None:
            raise InputError(f"{path} is of a model of type {kind!r}, not of a method of ours.")
        return stored, model_class.config_class.from_dict(stored), model_class
    except InputError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise InputError(f"{path} is no config of a model ({last_line(error)}): copy it there anew.") from error


def _is_clip(names: dict[str, str]) -> bool:
    return "logit_scale" in names.values() or f"{CLIP}logit_scale" in names.values()


def _published(stored: dict, config: NoisyITMConfig, model_class: type[NoisyITMModel], names: dict[str, str]) -> dict:
    """The config under which transformers alone finds a CLIP, and this package the method."""
    if stored.get("model_type") == "clip" or not _is_clip(names):
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
        names = read_json(folder / "memory.json")["files"]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    if not names or not all(str(name) == Path(str(name)).name and (folder / str(name)).is_file() for name in names):
        raise InputError(f"{folder} holds no whole training state: leave --with_training_state out.")
    return ["memory.json", *names]


def _copy(folder: Path, name: Path, into: Path) -> None:
    """Copies a file; of settings, which may name places on this disk, only what is for others."""
    source, target = folder / name, into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not name.match("*_config.json"):
        shutil.copyfile(inside(folder, source), target)
        return
    try:
        content = read_json(inside(folder, source))
    except ValueError as error:
        raise InputError(f"{source} is no JSON ({last_line(error)}): copy it there anew.") from error
    write_json(target, for_others(content))
