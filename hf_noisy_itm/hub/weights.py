"""The weights of a run on their way to the Hub: all that its config asks for, nothing else, and numbers in them."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, last_line
from ..files import read_json, sha256_of_file, write_json
from ..methods import NoisyITMConfig, NoisyITMModel
from ..untrusted import declared, files_of_index
from .links import inside

_DTYPES = {torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64}  # weights, and rows of queues
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
CLIP = "clip."
_AGAIN = "train it to its end with --resume_from_checkpoint true, or copy the whole model there again"


def stage_weights(
    folder: Path, staged: Path, config: NoisyITMConfig, model_class: type[NoisyITMModel]
) -> dict[str, str]:
    """Copies the files of weights that transformers would read, after a look at what they hold.

    Where all is CLIP's, tensors are named as `CLIPModel` names them.

    Args:
        folder: of a run.
        staged: where to.
        config: of the run; it says which tensors there are, and of which shapes.
        model_class: its method.

    Returns:
        The published name of each tensor, by the name that it has in the model.

    Raises:
        InputError: a file, a tensor or a shard is missing, left over, of another shape, or holds NaN or infinity.
    """
    files = _files(folder)
    stored = {file: shapes_of(folder / file) for file in files}
    _refuse_other_shards(folder, stored)
    held = {name: shape for shapes in stored.values() for name, shape in shapes.items()}
    prefix = "" if any(name.startswith(CLIP) for name in held) or "logit_scale" not in held else CLIP
    _refuse_other_tensors(folder, {prefix + name: shape for name, shape in held.items()}, config, model_class)
    only_clip = all((prefix + name).startswith(CLIP) for name in held)
    renamed = {prefix + name: (prefix + name).removeprefix(CLIP) if only_clip else prefix + name for name in held}
    size = 0
    for file in files:
        tensors = tensors_of(folder / file)
        size += sum(each.nbytes for each in tensors.values())
        save_file({renamed[prefix + name]: each for name, each in tensors.items()}, staged / file, {"format": "pt"})
    if files != [WEIGHTS]:
        weight_map = {renamed[prefix + name]: file for file, shapes in stored.items() for name in shapes}
        write_json(staged / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})  # and nothing else
    return renamed


def weights_sha256(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights that transformers would read, by its name.

    Raises:
        InputError: there are none.
    """
    return {file: sha256_of_file(folder / file) for file in _files(folder)}


def refuse_other_weights(folder: Path, known: dict[str, str] | None) -> None:
    """Refuses a folder whose weights changed since its figures were measured.

    Args:
        folder: of a run.
        known: what `weights_sha256` was then; None in figures of before it was noted.

    Raises:
        InputError: it is another one now.
    """
    if known is not None and weights_sha256(folder) != known:
        raise InputError(
            f"The weights in {folder} are not those that its metrics.json tells of (weights_sha256), so its figures "
            f"are not theirs: copy those back, or train again; if you know better, take that entry out."
        )


def _files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).is_file():  # which transformers takes where both are there
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder} holds no model ({WEIGHTS}): give the output folder of recipes/train.py.")
    return files_of_index(folder / INDEX)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes that a file of weights declares.

    Raises:
        InputError: it is not there, or is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} holds no whole model, {path.name} is not there: {_AGAIN}.")
    try:
        return declared(inside(path.parent, path))
    except InputError as error:
        raise InputError(f"{path.parent} holds no whole model: {error}") from error


def _refuse_other_shards(folder: Path, stored: dict[str, dict]) -> None:
    if set(stored) == {WEIGHTS}:
        return
    listed = set(read_json(folder / INDEX)["weight_map"].items())
    there = {(name, file) for file, shapes in stored.items() for name in shapes}
    if wrong := sorted(listed ^ there):
        raise InputError(
            f"{folder} holds no whole model, {INDEX} and the files differ in {wrong[0][0]} of {wrong[0][1]}: {_AGAIN}."
        )


def _refuse_other_tensors(folder: Path, held: dict[str, tuple], config, model_class: type[NoisyITMModel]) -> None:
    asked = model_class.learnt_shapes(config)
    missing, strange = sorted(asked.keys() - held.keys()), sorted(held.keys() - asked.keys())
    if missing:
        more = f"it lacks {len(missing)} of {len(asked)} tensors, {missing[0]} for one"
    elif strange:
        more = f"its config.json knows nothing of {len(strange)} tensors, {strange[0]} for one"
    elif wrong := [name for name in sorted(asked) if asked[name] != held[name]]:
        more = f"{wrong[0]} has the shape {list(held[wrong[0]])}, and config.json says {list(asked[wrong[0]])}"
    else:
        return
    raise InputError(f"{folder} holds no whole model, {more}: {_AGAIN}.")


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights.

    Raises:
        InputError: it is damaged, or holds NaN, infinity or another kind of numbers.
    """
    tensors = {}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensors[name] = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path.parent} holds no whole model, {path.name}: {last_line(error)}; {_AGAIN}.") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise InputError(f"{path.parent} holds no model of ours, {name} is of {tensor.dtype}: {_AGAIN}.")
        if not tensor.isfinite().all():
            raise InputError(
                f"{path.parent} holds a broken model, {name} has NaN or infinity in it: train again, with a smaller "
                f"learning_rate for one, and publish that."
            )
    return tensors
