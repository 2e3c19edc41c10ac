"""Whether the weights that `from_pretrained` would read are those that the config asks for, before room is made.

`transformers` makes room for what a config says, and then looks what the files hold. Here the files are found as it
finds them, in a folder or on the Hub, and the shapes that they declare are compared with those of a model without
content.
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.modeling_utils import set_zero3_state
from transformers.utils import cached_file, extract_commit_hash

from ..errors import InputError, last_line
from ..untrusted import declared, files_of_index, refuse_elsewhere, refuse_foreign_code

_PLACE = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
_MOST_STARTED = 2**32  # bytes of what a checkpoint need not hold: a queue of a million pairs of width 512, new heads


def read_config(cls: type[PreTrainedModel], name: str | Path, keywords: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `from_pretrained` with the config made and the revision as a commit, so that both stay as they are.

    Args:
        cls: of the model.
        name: a folder or a name on the Hub.
        keywords: as they were given; fields of the config go into it.
    """
    keywords = dict(keywords)
    refuse_adapters_around(keywords)
    place = _place(keywords)
    found = cached_file(name, "config.json", _raise_exceptions_for_missing_entries=False, **place)
    if commit := extract_commit_hash(found, None):
        keywords["revision"] = place["revision"] = commit
    config = keywords.pop("config", None)
    if not isinstance(config, PreTrainedConfig):
        refuse_foreign_code(cls.config_class.get_config_dict(config or name, **place)[0], name)
        taken = {field.name for field in fields(cls.config_class)} - {"dtype", "variant"} | {"_variant"}
        given = {key: keywords.pop(key) for key in taken & keywords.keys()}
        try:
            config = cls.config_class.from_pretrained(config or name, **place, **given)
        except StrictDataclassError as error:
            why = last_line(error).split("Error: ")[-1].strip()
            raise InputError(f"The config of {name}, with what was given, makes no {cls.__name__}: {why}") from error
    return keywords | {"config": config}


def refuse_other_weights(cls: type[PreTrainedModel], name: str | Path, keywords: dict[str, Any]) -> None:
    """Refuses what is not the model that the config describes.

    Args:
        cls: of the model.
        name: a folder or a name on the Hub.
        keywords: what `read_config` returned.

    Raises:
        InputError: a file is damaged, missing or lies elsewhere; CLIP's weights are not whole; a tensor has another
            shape; or what starts beside the weights is beyond measure.
        OSError: there are no weights, or no such model.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in _files(name, keywords):
        found |= declared(path)
    wanted = _wanted(cls, name, keywords["config"], len(found))
    started: dict[str, int] = {}
    missing = []
    for key, tensor in wanted.items():
        prefix = f"{cls.base_model_prefix}."
        shape = found.get(key, found.get(key.removeprefix(prefix)) if key.startswith(prefix) else None)
        differs = shape is not None and shape != tuple(tensor.shape)
        if differs and not keywords.get("ignore_mismatched_sizes"):
            raise InputError(
                f"The config of {name} asks for {key} of shape {tuple(tensor.shape)}, and its weights hold one of "
                f"{shape}: they do not belong together."
            )
        if shape is None and key.startswith(prefix):
            missing.append(key)
        elif shape is None or differs:
            started[key] = tensor.numel() * tensor.element_size()
    if missing:
        if any(".lora_" in key for key in found):
            raise InputError(
                f"{name} is a checkpoint with adapters, which are merged where a training ends: name its "
                f"output_dir, or go on with it by --resume_from_checkpoint."
            )
        raise InputError(
            f"{name} lacks {len(missing)} of CLIP's weights, {min(missing)} for one; it is not whole, or no CLIP."
        )
    if sum(started.values()) > _MOST_STARTED:
        largest = max(started, key=started.get)
        raise InputError(
            f"The config of {name} asks for {sum(started.values())} bytes that its weights do not hold, {largest} of "
            f"shape {tuple(wanted[largest].shape)} for one, and at most {_MOST_STARTED} are started: give smaller "
            f"sizes."
        )


def _place(keywords: dict[str, Any]) -> dict[str, Any]:
    place = {key: keywords[key] for key in _PLACE if key in keywords}
    return place | {"subfolder": place.get("subfolder") or ""}


def _files(name: str | Path, keywords: dict[str, Any]) -> Iterator[str]:
    """The files of weights that transformers will read, in its order; those on the Hub are downloaded."""
    if Path(name).is_file():
        yield str(name)
        return
    place = _place(keywords)

    def find(file: str) -> str | None:
        return cached_file(name, file, _raise_exceptions_for_missing_entries=False, **place)

    if any((Path(name) / place["subfolder"]).glob("shard-*.safetensors")):
        raise InputError(f"{name} holds a distributed checkpoint, which is not opened: save it as model.safetensors.")
    if find("adapter_config.json"):
        _refuse_adapters(name)
    candidates = _candidates(name, keywords)
    for candidate in candidates:
        if path := find(candidate):
            break
    else:
        raise OSError(f"{name} holds no weights: a file {candidates[0]} is missing.")  # as transformers does
    if ".index." not in candidate:
        yield path
        return
    for part in files_of_index(path):
        if (file := find(part)) is None:
            raise InputError(f"{path} names {part}, which is missing; copy it there anew.")
        yield file


def refuse_adapters_around(keywords: dict[str, Any]) -> None:
    """Refuses what `AutoModel` found before it asked a class: a place with adapters, which name this model.

    Raises:
        InputError: it did.
    """
    if elsewhere := (keywords.get("adapter_kwargs") or {}).get("_adapter_model_path"):
        _refuse_adapters(elsewhere)


def _refuse_adapters(name: str | Path) -> None:
    """They would be added after all that is looked at here, in whatever format and of whatever size."""
    raise InputError(f"{name} holds adapters, and names another model for the rest: merge them into it first.")


def _candidates(name: str | Path, keywords: dict[str, Any]) -> list[str]:
    if (named := getattr(keywords["config"], "transformers_weights", None)) is not None:
        refuse_elsewhere(named, f"config.json of {name}")
        return [named]
    safe = keywords.get("use_safetensors")
    files = [] if safe is False else ["model.safetensors", "model.safetensors.index.json"]
    files += [] if safe else ["pytorch_model.bin", "pytorch_model.bin.index.json"]
    if variant := keywords.get("variant"):
        files = [f".{variant}.".join(file.rsplit(".", 1)) for file in files]  # model.safetensors.index.fp16.json
    return files


def _wanted(
    cls: type[PreTrainedModel], name: str | Path, config: PreTrainedConfig, tensors: int
) -> dict[str, torch.Tensor]:
    """The tensors of such a model, without content."""
    for part in (config, config.text_config, config.vision_config):
        for field, value in vars(part).items():
            if field.endswith("layers") and isinstance(value, int) and value > tensors:
                raise InputError(f"The config of {name} asks for {value} {field}, and there are {tensors} weights.")
    try:
        with torch.device("meta"), no_init_weights(), set_zero3_state():
            return cls(config).state_dict()
    except InputError:
        raise
    except (ValueError, RuntimeError, ArithmeticError, TypeError, StrictDataclassError) as error:
        raise InputError(f"The config of {name} makes no model: {last_line(error)}") from error
