"""LoRA (Hu et al. 2022): small matrices are trained beside the towers' frozen ones, by peft.

What a method adds to CLIP is trained as ever, and so is the temperature. Checkpoints hold the towers and the adapters,
so that resuming is exact; what is published has them merged, a plain CLIP, and the adapters alone beside it, for peft.
"""

import json
import re
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import InputError
from .files import atomic_path, write_json

FOLDER = "adapter"
FILES = WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"  # as peft calls them
_LAYERS = r"(vision|text)_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
_NAME = "default"  # peft's


def add_lora(model: nn.Module, r: int, alpha: float, dropout: float) -> None:
    """Puts adapters beside the attention and MLP projections of both towers, and freezes the rest of CLIP.

    Args:
        model: a method; changed in place.
        r: rank, at least 1.
        alpha: the adapters' part is scaled by `alpha / r`.
        dropout: of what enters the adapters, in [0, 1).

    Raises:
        InputError: the model has no towers, does not train them, or has adapters already.
    """
    if not hasattr(model, "clip"):
        raise InputError("A model of vectors has no towers for adapters: leave --lora_r out.")
    if adapted(model):
        raise InputError("The model has adapters already: leave --lora_r out, or merge them before.")
    if not any(parameter.requires_grad for parameter in model.clip.vision_model.parameters()):
        raise InputError(
            f"{type(model).__name__} does not train its CLIP, and adapters beside it would stay as they start: "
            f"leave --lora_r out, or train the CLIP (--train_clip true)."
        )
    trained = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (not name.startswith("clip.") or name.count(".") == 1)
    ]
    inject_adapter_in_model(_config(r, alpha, dropout, rf"clip\.{_LAYERS}"), model)
    for name in trained:
        model.get_parameter(name).requires_grad_(True)


def adapted(model: nn.Module) -> bool:
    """Whether there are adapters."""
    return any(isinstance(module, BaseTunerLayer) for module in model.modules())


@torch.no_grad()
def merged_state(model: nn.Module, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The state dict that the model has with its adapters added to what they stand beside; the model is not changed.

    Args:
        model: with adapters.
        state: its own, where an engine has gathered it.
    """
    state = dict(model.state_dict() if state is None else state)
    for place, layer in model.named_modules():
        if not isinstance(layer, BaseTunerLayer) or f"{place}.base_layer.weight" not in state:
            continue
        down, up = (state[f"{place}.lora_{part}.{_NAME}.weight"] for part in "AB")
        weight = state[f"{place}.base_layer.weight"]
        state[f"{place}.base_layer.weight"] = weight + layer.scaling[_NAME] * (up @ down).to(weight.dtype)
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}


def save_adapter(model: nn.Module, folder: str | Path, base: str, state: dict[str, Tensor] | None = None) -> None:
    """Writes the adapters alone: `peft.PeftModel.from_pretrained(CLIPModel.from_pretrained(base), folder)` reads them.

    Args:
        model: with adapters.
        folder: to write; made if need be.
        base: the CLIP that they were trained upon.
        state: see `merged_state`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict() if state is None else state
    own = {name: tensor for name, tensor in state.items() if name.startswith("clip.") and ".lora_" in name}
    named = {re.sub(r"^clip\.", "base_model.model.", name).replace(f".{_NAME}.", "."): own[name] for name in own}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in named.items()}, temporary)
    layer = next(module for module in model.modules() if isinstance(module, BaseTunerLayer))
    config = _config(layer.r[_NAME], layer.lora_alpha[_NAME], 0.0, _LAYERS).to_dict()
    told = {**config, "base_model_name_or_path": base, "inference_mode": True}
    write_json(folder / CONFIG, json.loads(json.dumps(told, default=str)))


def _config(r: int, alpha: float, dropout: float, layers: str) -> LoraConfig:
    return LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
