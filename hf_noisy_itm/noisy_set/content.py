"""What `noise.json` says of a noisy data set, in the words that all sources share."""

from collections.abc import Iterable
from dataclasses import fields
from glob import has_magic
from pathlib import Path
from typing import NamedTuple

import datasets

from ..data._sources import CAPTION_COLUMNS
from ..data._splits import own_columns
from ..data.labels import LABEL
from ..errors import InputError
from ..functional.noise import LABEL_KINDS

EXAMPLES = 3  # of wrong rows, on the card

_NOT_TOLD = (
    "output",
    "overwrite",
    "push_to_hub",
    "config_name",
    "shard_mb",
    "license",
)  # of the arguments, in a command to repeat
_PLACES = ("dataset", "data_dir", "image_root", "noise_file", "text_model")  # told by their last part if on this disk
_ALSO_CALLED = {"test": "test", **dict.fromkeys(("validation", "val", "valid", "dev"), "validation")}


class Part(NamedTuple):
    """One split as it is written: into `{folder}/{split}-*.parquet`, of a config of that name."""

    config: str
    folder: str
    split: str
    features: datasets.Features
    rows: Iterable[dict]


def written_splits(names: Iterable[str]) -> dict[str, str]:
    """Under which name each split of a source, beside that of training, is written.

    "train" is the noisy split. "test" and "validation" are what training evaluates on without an `--eval_split`, so
    that one of them is there if any split is: val, valid and dev become "validation", and without these and "test" the
    first split becomes "test". The others keep their names, as far as these are free.
    """
    names = list(names)
    written: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in ("test", "validation")):  # the names are theirs first
        known = _ALSO_CALLED.get(name.lower())
        if known is not None and known not in written.values():
            written[name] = known
    for name in names:
        if name not in written:
            free = name if written else "test"
            while free == "train" or free in written.values():
                free = f"source_{free}"
            written[name] = free
    return {name: written[name] for name in names}


def content_of(
    source,
    pedigree: dict,
    fingerprints: tuple[str | None, str | None],
    rates: list[dict],
    evaluation: dict[str, dict],
    examples: list[dict],
    held_out: int | None = None,
) -> dict:
    """What `noise.json` says, less what is known when the files are written.

    Args:
        source: with the arguments, `args` and `data`.
        pedigree: of the noise.
        fingerprints: of the pairs before and after, or None.
        rates: rows of the table, see `rate_of`.
        evaluation: by the name that they are written under, what is told of the other splits.
        examples: see `example_of`.
        held_out: how many right captions training holds out where there is no other split; None if nobody counted.
    """
    args, data = source.args, source.data
    return {
        "pedigree": pedigree,
        "on": "labels" if "labels" in pedigree else "captions",
        "fingerprint": fingerprints[1],
        "rates": rates,
        "evaluation": evaluation,
        "held_out": held_out,
        "examples": examples,
        "source": {
            "dataset": last_part(data.dataset),
            "config": data.dataset_config,
            "split": data.train_split,
            "where": data.where,
            "fingerprint": fingerprints[0],
        },
        "license": args.license,
        "arguments": _arguments(data) + _arguments(args),
    }


def rate_of(what: str, count: int, of: int | None = None) -> dict:
    """A row of the table of realised rates."""
    return {"what": what, "count": count, "share": count / of if of else None}


def example_of(image_id: int | str, before: str, after: str, noise_source: int | str) -> dict:
    """A wrong row for the card."""
    return {"image_id": image_id, "before": before, "after": after, "noise_source": noise_source}


def refuse_labels_alone(columns: Iterable[str] | None, data) -> None:
    """Refuses rows that have class labels but no pictures or no captions, where captions are to be made wrong.

    Raises:
        InputError: the way out is in it.
    """
    columns = list(columns or ())
    what = "caption" if data.image_column in columns else "image"
    captions = [data.caption_column] if data.caption_column else [*CAPTION_COLUMNS, "txt"]
    if LABEL in columns and not (data.image_column in columns and set(captions) & set(columns)):
        raise InputError(
            f"{data.dataset} has labels but no {what}s (columns: {', '.join(own_columns(columns))}): take one of "
            f"--kind {', '.join(LABEL_KINDS)}, or name the column with --{what}_column."
        )


def _arguments(given) -> list[str]:
    """The words of a command that repeat the fields of a dataclass, places on this disk by their last part."""
    words = []
    for each in fields(given):
        value = getattr(given, each.name)
        if each.name not in _NOT_TOLD and value is not None and (value != each.default or each.name == "dataset"):
            words += [f"--{each.name}", last_part(value) if each.name in _PLACES else str(value)]
    return words


def last_part(place: str) -> str:
    """The last part of a path on this disk, which is nobody's business; other names as they are."""
    is_path = Path(place).exists() or Path(place).is_absolute() or place.startswith(".") or has_magic(place)
    return Path(place).name if is_path else place
