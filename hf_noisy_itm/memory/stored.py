"""Tensors of training pairs in one file, with what is known of where they come from."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path

_TOLD = {"kind": "kind", "nominal": "rate", "seed": "seed"}  # of a pedigree


def write_tensors(path: str | Path, tensors: dict[str, Tensor], provenance: dict) -> None:
    """Writes one safetensors file, under its final name only when it is whole."""
    tensors = {name: values.contiguous().clone() for name, values in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"provenance": json.dumps(provenance, sort_keys=True)})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Reads what `write_tensors` wrote.

    Raises:
        ValueError: the file is something else, or cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            provenance = json.loads((file.metadata() or {}).get("provenance", "{}"))
            if not isinstance(provenance, dict):
                raise ValueError("its provenance is no object")
            return {key: file.get_tensor(key) for key in file.keys()}, provenance  # noqa: SIM118
    except (OSError, SafetensorError, RecursionError) as error:
        raise ValueError(str(error)) from error


def refuse_other_data(
    provenance: dict, fingerprint: str | None, length: int, pairs: int | None, name: str, holds: str
) -> None:
    """Does nothing if what has this provenance is of the data of that fingerprint.

    Args:
        provenance: of what is kept.
        fingerprint: of the data; None fits nothing.
        length: of how many pairs something is kept.
        pairs: how many there are; not compared if None.
        name: what it is, for the sentence.
        holds: what it has of each pair, likewise.

    Raises:
        InputError: it was made for other data, or has another number of pairs.
    """
    own, noise = provenance.get("fingerprint"), provenance.get("noise")
    noise = noise if isinstance(noise, dict) else {}
    if own is None or own != fingerprint:
        told = ", ".join(f"{word} {noise[key]}" for key, word in _TOLD.items() if noise.get(key) is not None)
        raise InputError(
            f"{name} was built for other data (fingerprint {own}{f', with noise of {told}' if told else ''}; this "
            f"data has {fingerprint}); build it again for this data."
        )
    if pairs is not None and length != pairs:
        raise InputError(f"{name} is damaged: it has {holds} for {length} pairs, and there are {pairs}.")
