"""A state dict in OpenAI's format, out of a file that may be somebody else's."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import InputError, last_line
from .untrusted import content_of, refuse_growth

_MARK = "visual.conv1.weight"  # which every such state dict has


def read_openai(path: str | Path) -> dict[str, Tensor]:
    """Reads a state dict from `.safetensors`, or from what `torch.save` wrote; nothing in it is run.

    A checkpoint of a training is taken too: a dictionary that has one such state dict beside other things, such as an
    epoch and an optimizer. All names may begin alike, with `module.` (parallel models), `model.` or `_orig_mod.`.

    Raises:
        InputError: there is no such file, it is damaged, would grow where it is read, or holds no such tensors.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return _state_in(load_file(path))
        content_of(path)  # refuses what costs more than it is long, which weights_only does not
        size = path.stat().st_size
        state = _state_in(torch.load(path, map_location="cpu", weights_only=True))
    except InputError:
        raise
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {last_line(error)}") from error
    except Exception as error:  # torch raises many kinds, one of which only a forbidden import could name
        raise InputError(
            f"{path} cannot be read by torch: {last_line(error)}; save the model's state_dict() as .safetensors, and "
            f"give that."
        ) from error
    refuse_other_than_tensors(state, str(path))
    refuse_growth(state.values(), size, path)
    return state


def refuse_other_than_tensors(state: Any, what: str) -> None:
    """Refuses what is no dictionary of tensors by name.

    Raises:
        InputError: it is not.
    """
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(f"{what} holds other things than tensors by name: save the model's state_dict() alone.")


def _state_in(content: Any) -> Any:
    """The state dict of a checkpoint, if it has just one in this format; else what was given."""
    if not isinstance(content, dict):
        return content
    within = [each for each in (content, *content.values()) if isinstance(each, dict)]
    found = [(each, name) for each in within for name in each if str(name) == _MARK or str(name).endswith(f".{_MARK}")]
    if len(found) != 1:
        return content
    ((state, name),) = found
    wrapped = name.removesuffix(_MARK)
    return {each.removeprefix(wrapped) if isinstance(each, str) else each: value for each, value in state.items()}
