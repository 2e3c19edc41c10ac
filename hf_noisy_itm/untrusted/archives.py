"""The archive that `torch.save` makes, as a file: it packs nothing, so that nothing grows where it is read."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from ..errors import InputError


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
