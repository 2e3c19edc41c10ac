"""Weights in the format of OpenAI's CLIP (`visual.conv1.weight`, ...) to a `CLIPModel`, and back.

A state dict of that format names no sizes: they follow from the shapes of its tensors, but for what all its models
share. Heads are 64 wide, the activation is QuickGELU, and a caption is read out at the token of the highest number,
which marks its end. Both towers must be transformers: `CLIPModel` has no ResNet.
"""

import math
import re

import torch
from torch import Tensor
from transformers import CLIPConfig

from .errors import InputError
from .openai_file import refuse_other_than_tensors

_HEAD_WIDTH = 64
_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_NUMBERS = {"input_resolution", "context_length", "vocab_size"}  # stand in some files; the shapes tell them too
_TOWERS = {"transformer": "text_model.encoder.layers", "visual.transformer": "vision_model.encoder.layers"}
_OF_A_LAYER = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_ONCE = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}


def from_openai(state: dict[str, Tensor]) -> tuple[CLIPConfig, dict[str, Tensor]]:
    """Makes a config and the state dict of a `CLIPModel`, in float32 whatever the precision given.

    Args:
        state: in OpenAI's format, both towers transformers; it is not changed.

    Raises:
        InputError: a tensor is missing, of the wrong shape, not of floating point, or not of this format; the first is
            named.
    """
    refuse_other_than_tensors(state, "The state dict")
    state = {name: tensor for name, tensor in state.items() if name not in _NUMBERS}
    config = _config(state)
    _check(state, config)
    converted = {new: state[old].float() for old, new in _names(config).items()}
    converted |= {new: state[old].float().T.contiguous() for old, new in _TRANSPOSED.items()}
    for old, new in _attentions(config):
        for kind in ("weight", "bias"):
            for part, rows in zip("qkv", state[f"{old}.in_proj_{kind}"].float().chunk(3)):
                converted[f"{new}.{part}_proj.{kind}"] = rows.clone()
    return config, converted


def to_openai(config: CLIPConfig, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_openai`, in the precision given.

    Raises:
        InputError: the config is of another architecture, or a tensor of a `CLIPModel` is missing.
    """
    for tower in (config.text_config, config.vision_config):
        if tower.hidden_act != "quick_gelu" or tower.hidden_size != _HEAD_WIDTH * tower.num_attention_heads:
            raise InputError(
                f"OpenAI's format stands for QuickGELU and heads of width {_HEAD_WIDTH}; this model has "
                f"{tower.hidden_act} and {tower.num_attention_heads} heads for a width of {tower.hidden_size}."
            )
    names = _names(config)
    attentions = _attentions(config)
    needed = {*names.values(), *_TRANSPOSED.values()}
    needed |= {f"{new}.{part}_proj.{kind}" for _, new in attentions for part in "qkv" for kind in ("weight", "bias")}
    if missing := sorted(needed - set(state)):
        raise InputError(f"The state dict of the CLIPModel lacks {len(missing)} tensors, {missing[0]} for one.")
    converted = {old: state[new].clone() for old, new in names.items()}
    converted |= {old: state[new].T.contiguous() for old, new in _TRANSPOSED.items()}
    for old, new in attentions:
        for kind in ("weight", "bias"):
            converted[f"{old}.in_proj_{kind}"] = torch.cat([state[f"{new}.{part}_proj.{kind}"] for part in "qkv"])
    return converted


def _config(state: dict[str, Tensor]) -> CLIPConfig:
    if any(name.startswith("visual.layer1.") for name in state):
        raise InputError("The image tower is a ResNet, which CLIPModel does not have: give a CLIP of the ViT family.")
    vocab_size, text_width = _shape(state, "token_embedding.weight", 2)
    if vocab_size < 2:
        raise InputError(
            f"token_embedding.weight has {vocab_size} row, and a caption's marks of beginning and end need two."
        )
    context, _ = _shape(state, "positional_embedding", 2)
    _, embed = _shape(state, "text_projection", 2)
    image_width, channels, patch, _ = _shape(state, "visual.conv1.weight", 4)
    places, _ = _shape(state, "visual.positional_embedding", 2)
    grid = math.isqrt(places - 1)
    if grid < 1 or grid**2 != places - 1:
        raise InputError(
            f"visual.positional_embedding has {places} rows, which is not one more than a square of patches."
        )
    return CLIPConfig(
        text_config={
            **_tower(state, "transformer", text_width),
            "projection_dim": embed,
            "vocab_size": vocab_size,
            "max_position_embeddings": context,
            "bos_token_id": vocab_size - 2,
            "eos_token_id": vocab_size - 1,
            "pad_token_id": 0,
        },
        vision_config={
            **_tower(state, "visual.transformer", image_width),
            "projection_dim": embed,
            "num_channels": channels,
            "patch_size": patch,
            "image_size": patch * grid,
        },
        projection_dim=embed,
    )


def _tower(state: dict[str, Tensor], tower: str, width: int) -> dict:
    if width % _HEAD_WIDTH:
        raise InputError(f"The width of {tower} is {width}, and must be a multiple of {_HEAD_WIDTH}, that of a head.")
    layer = re.compile(re.escape(tower) + r"\.resblocks\.(\d+)\.")
    layers = {int(match[1]) for name in state if (match := layer.match(name))}
    for number in range(len(layers)):
        if number not in layers:
            raise InputError(f"The state dict has {len(layers)} layers of {tower}, and lacks number {number} of them.")
    return {
        "hidden_size": width,
        "intermediate_size": _shape(state, f"{tower}.resblocks.0.mlp.c_fc.weight", 2)[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": width // _HEAD_WIDTH,
        "hidden_act": "quick_gelu",
    }


def _shape(state: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise InputError(f"{name} is missing: this is no state dict in the format of OpenAI's CLIP.")
    if state[name].ndim != dimensions:
        raise InputError(f"{name} has shape {tuple(state[name].shape)}, and must have {dimensions} dimensions.")
    if not state[name].numel():
        raise InputError(f"{name} has shape {tuple(state[name].shape)}: it is empty.")
    return tuple(state[name].shape)


def _names(config: CLIPConfig) -> dict[str, str]:
    """OpenAI's name to ours, of all tensors that are the same in both formats."""
    names = dict(_ONCE)
    for old, new in _layers(config):
        for part, ours in _OF_A_LAYER.items():
            names |= {f"{old}.{part}.{kind}": f"{new}.{ours}.{kind}" for kind in ("weight", "bias")}
    return names


def _attentions(config: CLIPConfig) -> list[tuple[str, str]]:
    return [(f"{old}.attn", f"{new}.self_attn") for old, new in _layers(config)]


def _layers(config: CLIPConfig) -> list[tuple[str, str]]:
    depths = (config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers)
    return [
        (f"{old}.resblocks.{layer}", f"{new}.{layer}")
        for (old, new), depth in zip(_TOWERS.items(), depths)
        for layer in range(depth)
    ]


def _check(state: dict[str, Tensor], config: CLIPConfig) -> None:
    shapes = _shapes(config)
    if missing := [name for name in shapes if name not in state]:
        raise InputError(f"The state dict lacks {len(missing)} of {len(shapes)} tensors, {missing[0]} for one.")
    if strange := [name for name in state if name not in shapes]:
        raise InputError(f"The state dict holds {strange[0]}, which a CLIP in OpenAI's format does not have.")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise InputError(
                f"{name} has shape {tuple(state[name].shape)}, and by the other tensors it must be {shape}."
            )
        if state[name].layout != torch.strided or state[name].dtype not in _FLOATING or state[name].is_meta:
            kind = "without content" if state[name].is_meta else f"{state[name].layout}, {state[name].dtype}"
            raise InputError(
                f"{name} is {kind}, where a dense tensor of 16, 32 or 64 floating bits belongs: convert it first."
            )


def _shapes(config: CLIPConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of OpenAI's format."""
    text, image, embed = config.text_config, config.vision_config, config.projection_dim
    patches = (image.image_size // image.patch_size) ** 2
    shapes = {
        "logit_scale": (),
        "token_embedding.weight": (text.vocab_size, text.hidden_size),
        "positional_embedding": (text.max_position_embeddings, text.hidden_size),
        "text_projection": (text.hidden_size, embed),
        "visual.class_embedding": (image.hidden_size,),
        "visual.conv1.weight": (image.hidden_size, image.num_channels, image.patch_size, image.patch_size),
        "visual.positional_embedding": (patches + 1, image.hidden_size),
        "visual.proj": (image.hidden_size, embed),
    }
    norms = {"ln_final": text, "visual.ln_pre": image, "visual.ln_post": image}
    shapes |= {f"{norm}.{kind}": (tower.hidden_size,) for norm, tower in norms.items() for kind in ("weight", "bias")}
    for layer, _ in _layers(config):
        tower = image if layer.startswith("visual.") else text
        width, inner = tower.hidden_size, tower.intermediate_size
        linears = {
            "attn.in_proj_": (3 * width, width),
            "attn.out_proj.": (width, width),
            "mlp.c_fc.": (inner, width),
            "mlp.c_proj.": (width, inner),
        }
        for name, (rows, columns) in linears.items():
            shapes |= {f"{layer}.{name}weight": (rows, columns), f"{layer}.{name}bias": (rows,)}
        shapes |= {f"{layer}.{norm}.{kind}": (width,) for norm in ("ln_1", "ln_2") for kind in ("weight", "bias")}
    return shapes
