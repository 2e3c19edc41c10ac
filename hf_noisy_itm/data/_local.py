"""What the builders share that read the user's own copy of a published data set.

They are importable classes, one per file, for `datasets` takes no scripts and names a builder by its module:

    from hf_noisy_itm.data.flickr30k import Flickr30k

    builder = Flickr30k(data_dir="~/flickr30k")
    builder.download_and_prepare()
    pairs = builder.as_dataset(split="train")

What is prepared lies in the cache of `datasets`, under a key that holds the version of the builder, the fields of its
config, and a hash of the content of the input files: a file that changes is read anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
from datasets.builder import Key

from ..errors import InputError
from ._layouts import SPLITS, Picture, read_karpathy, read_scan_split
from ._paths import PictureFolder, hash_files, list_names

_ROWS_PER_TABLE = 1000
SCAN_SPLIT = Path("annotations", "scan_split")


@dataclass
class LocalConfig(datasets.BuilderConfig):
    """Where the user's copy lies; `data_dir` is the folder.

    Args:
        content: hash of the input files; the builder fills it in, so that it enters the key of the cache.
    """

    content: str | None = None


class LocalBuilder(datasets.ArrowBasedBuilder):
    """A builder that reads files of `data_dir` and downloads nothing.

    Rows are written as tables, not one by one: 10 seconds instead of 176 for as many as MSCOCO has, and
    the library does not look for a file at the path of each picture.

    Raises:
        InputError: there is no such folder, or it lacks a file.
    """

    BUILDER_CONFIG_CLASS = LocalConfig

    def __init__(self, *args, data_dir: str | Path | None = None, **kwargs):
        name = type(self).__module__.rsplit(".", 1)[-1]
        if data_dir is None:
            raise InputError(f"{name} is read from your own copy: say where it lies, with --data_dir FOLDER.")
        root = Path(data_dir).expanduser().resolve()
        if not root.is_dir():
            raise InputError(f"There is no folder {root} to read {name} from; give its place as --data_dir.")
        super().__init__(*args, data_dir=str(root), content=self.identity(root, kwargs), **kwargs)

    @property
    def root(self) -> Path:
        """The user's folder, absolute."""
        return Path(self.config.data_dir)

    @classmethod
    def identity(cls, root: Path, fields: dict) -> str:
        """Hash of all that rows are made of, so of the content of the files read, given fields of the config."""
        return hash_files(cls.input_files(root))

    @classmethod
    def input_files(cls, root: Path) -> list[Path]:
        """The files that rows are made of; an `InputError` names what is not there."""
        raise NotImplementedError

    def rows(self, **gen_kwargs) -> Iterator[dict]:
        """The rows of a split as they are stored; a picture is `{"bytes": …, "path": …}`."""
        raise NotImplementedError

    def _generate_tables(self, **gen_kwargs) -> Iterator[tuple[Key, pa.Table]]:
        rows = self.rows(**gen_kwargs)
        number = 0
        while some := list(islice(rows, _ROWS_PER_TABLE)):
            yield Key(0, number), pa.Table.from_pylist(some, self.info.features.arrow_schema)
            number += 1


@dataclass
class PairsConfig(LocalConfig):
    """Which rows to make of pictures and captions; the name of the config is one of two.

    "pairs" (the default): one caption a row, with what is known about noise; "pictures": one picture a row.

    Args:
        image_root: folder of the pictures, if it is not `images` in `data_dir` (or another usual name).
    """

    image_root: str | None = None


class PairsBuilder(LocalBuilder):
    """Pictures with captions, from a Karpathy JSON or from NPC's folders, whichever is there, the JSON first.

    Rows of the config "pairs": `image`, `caption`, `image_id`, `caption_id`, `is_noisy` (false) and `noise_source`
    (the picture's own id), in the order of the file. Rows of "pictures": `image`, `captions`, `image_id`. Pictures
    stay where they are: rows hold their paths, and a path that leaves its folder is refused (see `PictureFolder`).

    `image_id` and `caption_id` are the JSON's `imgid` and `sentid`. In NPC's folders a picture's id is a string, as
    written, and a caption's id the number of its line, counted from 0 in each split.
    """

    BUILDER_CONFIG_CLASS = PairsConfig
    DEFAULT_CONFIG_NAME = "pairs"
    JSON: str | None = None  # name of the Karpathy JSON
    IMAGE_FOLDERS: tuple[str, ...] = ("images",)
    IMAGE_ID = "imgid"
    CAPTIONS_PER_PICTURE: int | None = None  # any number where unset
    NOISE_IS_KNOWN = True

    @classmethod
    def input_files(cls, root: Path) -> list[Path]:
        """The JSON, or the six files of NPC's split."""
        found = cls._karpathy_json(root)
        files = [found] if found else sorted((root / SCAN_SPLIT).glob("*_caps.txt"))
        files = files if found else files + sorted((root / SCAN_SPLIT).glob("*_ids.txt"))
        if not files:
            wanted = f"neither {cls.JSON} nor {SCAN_SPLIT}" if cls.JSON else f"no {SCAN_SPLIT}"
            raise InputError(f"{root} holds {wanted}; give the folder that does as --data_dir.")
        return files

    @classmethod
    def identity(cls, root: Path, fields: dict) -> str:  # noqa: D102
        # Where a picture lies is told by the names in their folder, so these belong to what is read.
        folder = cls._image_folder(root, fields.get("image_root"))
        names = list_names(folder, folders_only=cls._karpathy_json(root) is not None)
        return hash_files(cls.input_files(root), "\0".join([str(folder), *sorted(names)]))

    def _info(self) -> datasets.DatasetInfo:
        id_type = datasets.Value("int64" if self._karpathy_json(self.root) else "string")
        features = {"image": datasets.Image(), "image_id": id_type}
        if self.config.name == "pictures":
            features |= {"captions": datasets.List(datasets.Value("string"))}
        else:
            features |= {
                "caption": datasets.Value("string"),
                "caption_id": datasets.Value("int64"),
                "is_noisy": datasets.Value("bool"),
                "noise_source": id_type,
            }
        return datasets.DatasetInfo(description=type(self).__doc__, features=datasets.Features(features))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        splits = self._read(self._image_folder(self.root, self.config.image_root))
        if not any(splits.values()):
            raise InputError(f"There is not one picture in {self.input_files(self.root)[0]}.")
        return [
            datasets.SplitGenerator(name, gen_kwargs={"pictures": tuple(pictures)})
            for name, pictures in splits.items()
            if pictures
        ]

    def _read(self, folder: Path) -> dict[str, list[Picture]]:
        found = self._karpathy_json(self.root)
        if found:
            return read_karpathy(found, folder, self.IMAGE_ID, self._splits())
        return read_scan_split(self.root / SCAN_SPLIT, list_names(folder), self.CAPTIONS_PER_PICTURE)

    def _splits(self) -> dict[str, str]:
        return SPLITS

    def rows(self, pictures: tuple[Picture, ...]) -> Iterator[dict]:  # noqa: D102
        folder = PictureFolder(self._image_folder(self.root, self.config.image_root))
        for picture in pictures:
            row = {"image": folder.cell(picture.path), "image_id": picture.image_id}
            if self.config.name == "pictures":
                yield {**row, "captions": picture.captions}
                continue
            row["is_noisy"], row["noise_source"] = (False, picture.image_id) if self.NOISE_IS_KNOWN else (None, None)
            for caption, caption_id in zip(picture.captions, picture.caption_ids):
                yield {**row, "caption": caption, "caption_id": caption_id}

    @classmethod
    def _karpathy_json(cls, root: Path) -> Path | None:
        places = (root / cls.JSON, root / "annotations" / cls.JSON) if cls.JSON else ()
        return next((place for place in places if place.is_file()), None)

    @classmethod
    def _image_folder(cls, root: Path, image_root: str | None) -> Path:
        if image_root:
            return Path(image_root).expanduser().resolve()
        return next((root / name for name in cls.IMAGE_FOLDERS if (root / name).is_dir()), root)
