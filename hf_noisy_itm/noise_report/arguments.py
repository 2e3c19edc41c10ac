"""What a noise report is told."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..data import DataArguments
from ..errors import InputError
from ..parser import Parser, in_one_process


@dataclass
class ReportArguments:
    """Who looks at the pairs, and what to write."""

    model: str = field(metadata={"help": "Who scores: 'scenes-clip' (bundled), a folder, or a name on the Hub."})
    output: str = field(default="noise_report", metadata={"help": "Folder of the report; an older one is replaced."})
    run: str | None = field(
        default=None, metadata={"help": "Folder of a training on these pairs, whose weights are a further signal."}
    )
    group_by: list[str] | None = field(
        default=None, metadata={"help": "Columns of the data by whose values noise is told, beside caption length."}
    )
    cleaned: str | None = field(
        default=None,
        metadata={
            "help": "Folder to make: the training data without the pairs that are likely wrong, one caption a row, "
            "with all columns of theirs."
        },
    )
    weighted: str | None = field(
        default=None,
        metadata={
            "help": "Folder to make: the same, with all pairs and the column weight, the chance of being right, which "
            "recipes/train.py takes in by --weight_column weight."
        },
    )
    features: str | None = field(
        default=None, metadata={"help": "File that keeps the embeddings for another report; made if it is not there."}
    )
    gallery: int = field(default=200, metadata={"help": "Pairs that the page shows, the most suspicious first."})
    duplicate_cosine: float = field(
        default=0.98, metadata={"help": "Two pictures, or captions, of this cosine or more are near-duplicates."}
    )
    seed: int = field(default=0, metadata={"help": "Of the resampling behind the interval."})
    batch_size: int = field(default=256, metadata={"help": "Pictures, and captions, per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that decode pictures."})
    overwrite: bool = field(default=False, metadata={"help": "Replace folders of cleaned or weighted data."})

    def __post_init__(self):
        for name, least in (("gallery", 1), ("seed", 0), ("batch_size", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.gallery > 1000:
            raise InputError(f"gallery must be at most 1000, for the page to stay small, got {self.gallery}.")
        if not 0 < self.duplicate_cosine <= 1:
            raise InputError(f"duplicate_cosine is a cosine above 0, at most 1, got {self.duplicate_cosine}.")
        for name in ("output", "run", "cleaned", "weighted", "features"):
            if getattr(self, name) == "":
                raise InputError(f"{name} is empty: name a place, or leave it out.")
        folders = {name: place for name in ("output", "cleaned", "weighted") if (place := getattr(self, name))}
        if len({os.path.realpath(place) for place in folders.values()}) < len(folders):
            raise InputError("output, cleaned and weighted are different folders: give each a name of its own.")
        model = self.model if os.path.exists(self.model) else None
        places = {**folders, "features": self.features, "run": self.run, "model": model, "the current folder": "."}
        _refuse_inside(folders, places)
        if os.path.isfile(self.output):
            raise InputError(f"output {self.output} is a file; give a folder.")


def parse_report(arguments: Sequence[str]) -> tuple[ReportArguments, DataArguments]:
    """Parses `MODEL [--field value …]`.

    Raises:
        InputError: there is no model, an unknown field, or a value of the wrong kind.
    """
    in_one_process("A report is made")
    words = list(arguments)
    if not words or words[0].startswith("--") and words[0] not in ("--help", "--model"):
        raise InputError("Name a model first: recipes/report.py MODEL --dataset …")
    if not words[0].startswith("-"):
        words = ["--model", *words]
    classes = (ReportArguments, DataArguments)
    values = Parser(classes, allow_abbrev=False).values_of(words)
    args, data = (cls(**{f.name: values[f.name] for f in fields(cls)}) for cls in classes)
    folders = {name: place for name in ("output", "cleaned", "weighted") if (place := getattr(args, name))}
    source, searched = _place_of(data.dataset)
    places = {"dataset": source, "data_dir": data.data_dir, "image_root": data.image_root}
    _refuse_inside(folders, places)
    here = data.image_root and Path(data.image_root).resolve() in (Path.cwd(), *Path.cwd().parents)
    read = {"dataset": searched, "data_dir": data.data_dir, "image_root": None if here else data.image_root}
    for name, path in folders.items():
        for source, place in read.items():
            if place and Path(place).resolve() in Path(path).resolve().parents:
                raise InputError(
                    f"{name} {path} lies in {source} {place}, which it would become a part of: part them."
                )
    if data.streaming:
        raise InputError("A report needs all pairs at once: leave --streaming out.")
    return args, data


def _place_of(dataset: str) -> tuple[str | None, str | None]:
    """The file or folder of a data set, of a pattern the folder that it begins with; and the one that is searched.

    None where there is nothing of that name here, or where no folder but that of the files is looked into.
    """
    if os.path.exists(dataset):
        return dataset, dataset if os.path.isdir(dataset) else None
    if not glob.has_magic(dataset):
        return None, None
    folder = Path(dataset).parent
    depth = next((place for place, part in enumerate(folder.parts) if glob.has_magic(part)), None)
    start = str(Path(*folder.parts[:depth]))
    return start, None if depth is None else start


def _refuse_inside(folders: dict[str, str], places: dict[str, str | None]) -> None:
    """Does nothing if none of the places is one of the folders that are made, or lies in one.

    Raises:
        InputError: one does, and would be lost.
    """
    for folder, path in folders.items():
        made = Path(path).resolve()
        for name, place in places.items():
            if name != folder and place and (made == Path(place).resolve() or made in Path(place).resolve().parents):
                raise InputError(f"{name} {place} lies in {folder} {path}, which is replaced as a whole: part them.")
