"""What the files of a model say of themselves: names and shapes of its tensors, and where they lie."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import InputError, last_line
from ..files import read_json
from .pickles import Stored, content_of


def declared(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a file of weights, `.safetensors` or an archive of `torch.save`; none is read.

    Raises:
        InputError: the file is damaged or is missing, holds something else, or declares more than it holds.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:  # which refuses headers that go beyond the file
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        content = content_of(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {last_line(error)}; copy it there anew.") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(each, Stored) for name, each in content.items()
    ):
        raise InputError(f"{path} holds other things than tensors by name: save the model's state_dict() alone.")
    size, most = sum(each.nbytes for each in content.values()), path.stat().st_size
    if size > most:
        raise InputError(f"{path} declares tensors of {size} bytes and holds {most}: it is damaged, or meant to harm.")
    return {name: each.shape for name, each in content.items()}


def files_of_index(path: str | Path) -> list[str]:
    """The files beside an index among which the weights are shared out.

    Raises:
        InputError: it is no index, or a file lies elsewhere.
    """
    try:
        index = read_json(path)
        parts = list(index["weight_map"].values())
        index["metadata"].copy()  # transformers adds to it
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no index of weights; copy it there anew.") from error
    for part in parts:
        refuse_elsewhere(part, path)
    return sorted(set(parts))


def refuse_elsewhere(name: object, where: str | Path) -> None:
    """Refuses a file of weights that is not named by its name alone.

    Raises:
        InputError: it would lie outside of the folder, or within another.
    """
    if not isinstance(name, str) or Path(name).name != name or "\\" in name:
        raise InputError(f"{where} names weights outside of its folder, {name}: not loaded.")


def refuse_foreign_code(config: dict, name: str | Path) -> None:
    """Refuses a config that names code of another repository, kernels of the Hub, or a library that packs weights.

    Args:
        config: content of config.json.
        name: of the model.

    Raises:
        InputError: it does.
    """
    for part in (config, *(each for each in config.values() if isinstance(each, dict))):
        for field in ("attn_implementation", "_attn_implementation", "experts_implementation"):
            if not set(str(part.get(field) or "")).isdisjoint("/:|@"):
                raise InputError(f"config.json of {name} asks for kernels of the Hub, {part[field]}: take it out.")
        if part.get("quantization_config") is not None:
            raise InputError(f"{name} is quantised (quantization_config), and no method trains such: save it whole.")
    codes = config.get("auto_map")
    for code in codes.values() if isinstance(codes, dict) else ():
        if any("--" in str(each) for each in (code if isinstance(code, list) else [code])):
            raise InputError(f"config.json of {name} names code of another repository, {code}: it is not loaded.")
