"""What is looked at before a file of somebody else's is opened, so that it costs no more memory than it is long."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from .errors import InputError
from .files import read_json

_INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def refuse_bomb(path: str | Path) -> int:
    """Looks into the archive that `torch.save` makes, which packs nothing.

    Returns:
        Bytes of all its parts together.

    Raises:
        InputError: a part is packed, or the parts are longer than the file, and so would grow where they are read.
        zipfile.BadZipFile: it is no such archive, or one of TorchScript, which holds programs.
        OSError: it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any("/code/" in part.filename for part in parts):
        raise zipfile.BadZipFile("a TorchScript archive")
    total = sum(part.file_size for part in parts)
    if total > Path(path).stat().st_size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise InputError(
            f"{path} is packed: its {Path(path).stat().st_size} bytes would become {total}, as those of no file of "
            f"torch.save do, so it is not opened."
        )
    return total


def refuse_growth(tensors: Iterable[Tensor], most: int, path: str | Path) -> None:
    """Refuses tensors that stand for more than the file they came from holds: views of one number, for one.

    Raises:
        InputError: they are larger together than `most` bytes, or their storages are.
    """
    tensors = list(tensors)
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    size = max(sum(each.numel() * each.element_size() for each in tensors), sum(storages.values()))
    if size > most:
        raise InputError(f"{path} declares tensors of {size} bytes and holds {most}: it is damaged, or meant to harm.")


def refuse_strange_folder(folder: Path, config: dict) -> None:
    """Refuses a model whose config or index of weights leads elsewhere; what is not there is not looked at.

    Args:
        folder: of the model, if it is local.
        config: content of its config.json.

    Raises:
        InputError: code of another repository is named, a part of the weights lies outside, or an archive would grow.
    """
    codes = config.get("auto_map")
    for name in codes.values() if isinstance(codes, dict) else ():
        if any("--" in str(each) for each in (name if isinstance(name, list) else [name])):
            raise InputError(f"config.json of {folder} names code of another repository, {name}: it is not loaded.")
    for name in _INDEX:
        if (folder / name).is_file():
            try:
                parts = read_json(folder / name)["weight_map"].values()
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{folder / name} is no index of weights; copy it there anew.") from error
            if strange := [part for part in parts if Path(str(part)).name != part]:
                raise InputError(f"{folder / name} names weights outside of its folder, {strange[0]}: not loaded.")
    for path in folder.glob("pytorch_model*.bin"):
        try:
            refuse_bomb(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no archive of torch.save; give the weights as .safetensors.") from error
