"""From the name of a data set to its splits: builders, files, folders, shards, the Hub."""

import glob
from itertools import groupby
from pathlib import Path
from tarfile import TarError

import datasets
import pyarrow.parquet as pq

from ..errors import InputError, last_line
from ._arguments import DataArguments
from ._confine import confine, confine_all
from ._deadly_json import refuse_deadly_json
from ._folder_metadata import refuse_leading_out
from ._folders import is_saved, refuse_empty, refuse_pattern
from ._local import LocalBuilder, PairsBuilder
from .cc120k import CC120K
from .emoji import Emoji
from .flickr30k import Flickr30k
from .mscoco import MSCOCO
from .pedigree import is_noisy_folder, load_noisy_folder
from .scenes import Scenes
from .wikipedia import Wikipedia

BUILDERS: dict[str, type[LocalBuilder]] = {
    "flickr30k": Flickr30k,
    "mscoco": MSCOCO,
    "cc120k": CC120K,
    "wikipedia": Wikipedia,
    "emoji": Emoji,
}
CAPTION_COLUMNS = ("captions", "caption", "text")
_SHARDS = 64  # of a stream that is made of a whole data set: enough to share among processes and workers
_TEXT_COLUMNS = (*CAPTION_COLUMNS, "image_id", "noise_source")  # of tables: "007" and "NA" are what they are
UNREADABLE = (  # what `datasets` and the libraries below it raise on files that are not what their names say
    OSError, ValueError, TypeError, LookupError, EOFError, TarError, StopIteration, RuntimeError,
    datasets.exceptions.DatasetsError,
)  # fmt: skip
_KINDS = {  # ending of a file, and the builder of `datasets` that reads it
    ".parquet": ("parquet", {}),
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"keep_default_na": False, "sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".tar": ("webdataset", {}),
}


def load_splits(args: DataArguments) -> dict[str, datasets.Dataset]:
    """Loads all splits of `args.dataset`; what has no splits is "train".

    `scenes` and the names of `BUILDERS` mean those; then come local files (.parquet, .csv, .tsv, .jsonl, WebDataset's
    .tar; several by a pattern such as 'shards/*.tar') and folders (`save_to_disk`, ImageFolder, shards), then the Hub.
    A column of strings named `args.image_column` holds paths, from `args.image_root` or the file's own folder.
    Of a local data set no picture path leads out of that folder (see `PictureFolder`); what the Hub gives is as it is.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    files = _files(args.dataset)
    if args.dataset == "scenes":
        loaded = _load_scenes(args)
    elif args.dataset in BUILDERS:
        return _load_builder(args)
    elif files:
        loaded = _read(args, lambda: _load_files(_with_rows(files, args), args))
    elif Path(args.dataset).is_dir():
        loaded = _read(args, lambda: _load_folder(Path(args.dataset), args))
    else:
        loaded = _from_hub(args)
        if args.image_root:
            loaded = confine_all(_as_splits(loaded), args.image_column, args.image_root)
    return _as_splits(loaded)


def open_stream(args: DataArguments) -> tuple[dict[str, datasets.IterableDataset], str | None]:
    """Opens all splits of `args.dataset` as streams; names mean what they mean to `load_splits`.

    Builders and folders of `save_to_disk` are on this machine, whole, and are streamed from there.

    Returns:
        The splits, and the folder that picture paths start from and may not leave (None: as they are).

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    files, folder = _files(args.dataset), Path(args.dataset)
    if args.dataset == "scenes" or args.dataset in BUILDERS or (folder.is_dir() and is_saved(folder)):
        splits = load_splits(args)
        return {name: rows.to_iterable_dataset(min(len(rows), _SHARDS) or 1) for name, rows in splits.items()}, None
    if files:
        folders = sorted({str(file.parent) for file in files})
        kind, options = _kind(files, args)
        names = [glob.escape(str(file)) for file in _with_rows(files, args)]
        loaded = _read(args, lambda: datasets.load_dataset(kind, data_files=names, streaming=True, **options))
        if len(folders) > 1 and not args.image_root and kind not in ("parquet", "webdataset"):
            raise InputError(f"The files {args.dataset} lie in several folders: give --image_root for their pictures.")
        return _as_splits(loaded), args.image_root or folders[0]
    if folder.is_dir():
        _refuse_folder(folder)
    if is_noisy_folder(args):
        return _read(args, lambda: load_noisy_folder(folder, streaming=True)), str(folder)
    if folder.is_dir():
        loaded = _read(args, lambda: datasets.load_dataset(str(folder), args.dataset_config, streaming=True))
        return _as_splits(loaded), args.image_root or str(folder)
    return _as_splits(_from_hub(args, streaming=True)), args.image_root


def _from_hub(args: DataArguments, streaming: bool = False):
    _refuse_missing(args.dataset)
    try:
        return datasets.load_dataset(args.dataset, args.dataset_config, streaming=streaming)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetGenerationError) as error:
        reason = last_line(error)
        raise InputError(f"{args.dataset!r} is no local file, nor can the Hub give it: {reason}") from error


def _as_splits(loaded) -> dict[str, datasets.Dataset]:
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def _files(name: str) -> list[Path]:
    """The file of that name, or those that fit the pattern."""
    if Path(name).is_file():
        return [Path(name)]
    found = [Path(path) for path in sorted(glob.glob(name, recursive=True))] if glob.has_magic(name) else []
    return [path for path in found if path.is_file()]


def _with_rows(files: list[Path], args: DataArguments) -> list[Path]:
    """The files less Parquet files of no rows, at which `datasets` stumbles."""
    kept = [file for file in files if file.suffix.lower() != ".parquet" or _count(file) != 0]
    if not kept:
        raise InputError(f"{args.dataset} holds no rows.")
    return kept


def _count(file: Path) -> int | None:
    try:
        return pq.read_metadata(file).num_rows
    except (OSError, ValueError):  # what is wrong with it, says who reads it
        return None


def _refuse_missing(name: str) -> None:
    path = Path(name)
    if path.suffix in _KINDS or path.is_absolute() or name.startswith(".") or glob.has_magic(name):
        raise InputError(f"There is no file or folder {path.resolve()}.")


def unreadable(args: DataArguments, error: Exception) -> str:
    """The sentence about files that are not what they should be."""
    ends = isinstance(error, StopIteration) or isinstance(error.__cause__, StopIteration)
    reason = "it ends before its first row" if ends else last_line(error.__cause__ or error)
    return f"{args.dataset} cannot be read as a data set: {reason}"


def _read(args: DataArguments, load):
    try:
        return load()
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(unreadable(args, error)) from error


def _kind(files: list[Path], args: DataArguments) -> tuple[str, dict]:
    """The builder of `datasets` that reads files of one kind, and its options."""
    suffixes = sorted({file.suffix.lower() for file in files})
    if unknown := [suffix for suffix in suffixes if suffix not in _KINDS]:
        where = next(file for file in files if file.suffix.lower() in unknown)
        raise InputError(f"{where} is no kind of file that can be read: {', '.join(_KINDS)} or a folder.")
    if len(suffixes) > 1:
        raise InputError(f"{args.dataset} names files of several kinds, {', '.join(suffixes)}; name one kind.")
    kind, options = _KINDS[suffixes[0]]
    if kind == "json":
        refuse_deadly_json(files)
    if kind == "csv":
        names = {args.image_column, args.image_id_column, args.caption_column or "caption", *_TEXT_COLUMNS}
        options = {**options, "converters": dict.fromkeys(sorted(names), str)}
    return kind, options


def _load_files(files: list[Path], args: DataArguments) -> datasets.Dataset:
    """Files of one kind, one after the other; each folder's pictures are looked for in that folder."""
    kind, options = _kind(files, args)
    parts = []
    for folder, group in groupby(files, key=lambda file: file.parent):
        names = [glob.escape(str(file)) for file in group]
        part = datasets.load_dataset(kind, data_files=names, split="train", **options)
        if kind == "webdataset":
            part = _name_columns(part, args)
        parts.append(confine(part, args.image_column, args.image_root or folder))
    return datasets.concatenate_datasets(parts) if len(parts) > 1 else parts[0]


def _load_folder(folder: Path, args: DataArguments) -> dict[str, datasets.Dataset]:
    if is_noisy_folder(args):
        _refuse_folder(folder)
        loaded = load_noisy_folder(folder)
    elif is_saved(folder):
        refuse_leading_out(folder)
        refuse_empty(folder)
        loaded = datasets.load_from_disk(str(folder))
    else:
        _refuse_folder(folder)
        loaded = datasets.load_dataset(str(folder), args.dataset_config)
    splits = _as_splits(loaded)
    if any("__key__" in rows.column_names for rows in splits.values()):
        splits = {name: _name_columns(rows, args) for name, rows in splits.items()}
    return confine_all(splits, args.image_column, args.image_root or folder)


def _refuse_folder(folder: Path) -> None:
    """Refuses a folder that `datasets` cannot open, that would end the process, or lead it elsewhere."""
    refuse_pattern(folder, "The folder")
    refuse_leading_out(folder)
    refuse_deadly_json(path for suffix in (".json", ".jsonl") for path in folder.rglob(f"*{suffix}"))


def _load_builder(args: DataArguments) -> dict[str, datasets.Dataset]:
    cls = BUILDERS[args.dataset]
    options = {"image_root": args.image_root} if args.image_root and issubclass(cls, PairsBuilder) else {}
    try:
        builder = cls(config_name=args.dataset_config, data_dir=args.data_dir, **options)
        builder.download_and_prepare()
    except InputError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        reason = last_line(error.__cause__ or error)
        raise InputError(f"{args.dataset} cannot be made of {args.data_dir}: {reason}") from error
    return builder.as_dataset()


def _load_scenes(args: DataArguments) -> dict[str, datasets.Dataset]:
    sizes = {"train_size": args.max_train_pictures}
    sizes |= dict.fromkeys(("validation_size", "test_size"), args.max_eval_pictures)
    try:
        builder = Scenes(
            config_name=args.dataset_config, **{name: size for name, size in sizes.items() if size is not None}
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    builder.download_and_prepare()
    return builder.as_dataset()


def _name_columns(rows: datasets.Dataset, args: DataArguments) -> datasets.Dataset:
    """Gives columns of WebDataset shards, named by file ending, the names of the others: fields of `json`, too."""
    if "json" in rows.column_names:
        rows = rows.flatten()
        fields = [name for name in rows.column_names if name.startswith("json.")]
        fresh = {name: name.removeprefix("json.") for name in fields}
        rows = rows.rename_columns({old: new for old, new in fresh.items() if new not in rows.column_names})
    pictures = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    renamed = {pictures[0]: args.image_column} if pictures and args.image_column not in rows.column_names else {}
    wanted = [args.caption_column] if args.caption_column else list(CAPTION_COLUMNS)
    if "txt" in rows.column_names and not set(wanted) & set(rows.column_names):
        renamed["txt"] = args.caption_column or "caption"
    return rows.rename_columns(renamed)
