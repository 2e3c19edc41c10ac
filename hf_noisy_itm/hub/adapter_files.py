"""The adapters of a run on their way to the Hub: those of its CLIP, whole, and numbers in them."""

import re
from pathlib import Path

from ..adapters import CONFIG, FOLDER, WEIGHTS
from ..errors import InputError, last_line
from ..files import read_json
from ..methods import NoisyITMConfig, NoisyITMModel
from .links import inside
from .weights import CLIP, shapes_of, tensors_of

_NAME = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def check_adapter(folder: Path, config: NoisyITMConfig, model_class: type[NoisyITMModel]) -> None:
    """Looks at what a run with adapters left, before it is published; a run without has none.

    Args:
        folder: of the run.
        config: of the run.
        model_class: its method.

    Raises:
        InputError: a file is missing or damaged, is of another CLIP, or holds NaN or infinity.
    """
    place = folder / FOLDER
    if not place.is_dir():
        return
    again = f"train with --lora_r again, or remove {place}"
    rank = _rank(place, again)
    if not (place / WEIGHTS).is_file():
        raise InputError(f"{place} lacks {WEIGHTS}: {again}.")
    asked, held = model_class.learnt_shapes(config), shapes_of(place / WEIGHTS)
    for name, shape in held.items():
        match = _NAME.fullmatch(name)
        beside = asked.get(f"{CLIP}{match[1]}.weight", ()) if match else ()
        if len(beside) != 2 or shape != ((rank, beside[1]) if match[2] == "A" else (beside[0], rank)):
            raise InputError(f"{place} holds adapters of another model, {name} of shape {list(shape)}: {again}.")
    if not held:
        raise InputError(f"{place / WEIGHTS} holds nothing: {again}.")
    tensors_of(place / WEIGHTS)


def _rank(place: Path, again: str) -> int:
    path = place / CONFIG
    try:
        told = read_json(inside(place, path))
        if told["peft_type"] != "LORA" or told.get("auto_mapping") or type(told["r"]) is not int:
            raise ValueError("it is of another kind of adapters")
        return told["r"]
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no config of LoRA adapters ({last_line(error)}): {again}.") from error
