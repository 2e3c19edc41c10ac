"""The two layouts in which Flickr30K and MSCOCO travel: Karpathy's JSON, and SCAN's split as NPC lays it out."""

import re
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..files import read_json

SPLITS = {"train": "train", "val": "validation", "test": "test"}
_SCAN_FILES = {"train": "train", "validation": "dev", "test": "test"}
_KEYED = re.compile(r"\S+\t")


class Picture(NamedTuple):
    """One picture of a data set, as it is written there."""

    image_id: int | str
    path: str  # from the folder of pictures
    captions: list[str]
    caption_ids: list[int]


def read_karpathy(file: Path, folder: Path, image_id: str, splits: dict[str, str]) -> dict[str, list[Picture]]:
    """Reads `dataset_flickr30k.json` or `dataset_coco.json` (Karpathy and Fei-Fei, CVPR 2015).

    Args:
        file: the JSON.
        folder: of the pictures. They lie in `filepath` below it (val2014, for one), or in it where there is none such.
        image_id: key of the picture's id; `imgid` where a picture lacks it.
        splits: the JSON's splits by name, and what each becomes; others are left out.

    Returns:
        Pictures by split, in the order of the file.

    Raises:
        InputError: this is no JSON of that form; the first wrong picture is named.
    """
    try:
        images = read_json(file)["images"]
        names = {_filepath(image) for image in images}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is not a Karpathy JSON: it holds no list of 'images'.") from error
    found: dict[str, list[Picture]] = {name: [] for name in dict.fromkeys(splits.values())}
    below = {path: path if (folder / path).is_dir() else "" for path in names}
    for number, image in enumerate(images):
        try:
            if image["split"] not in splits:
                continue
            sentences = image["sentences"]
            picture = Picture(
                image.get(image_id, image["imgid"]),
                str(Path(below[_filepath(image)], image["filename"])),
                [sentence["raw"] for sentence in sentences],
                [sentence["sentid"] for sentence in sentences],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"In {file}, image {number} lacks {error}.") from error
        found[splits[image["split"]]].append(picture)
    return found


def read_scan_split(folder: Path, names: list[str], captions_per_picture: int | None) -> dict[str, list[Picture]]:
    """Reads `{train,dev,test}_caps.txt` and `_ids.txt`, the layout of NPC (SCAN's split with pictures).

    The captions of one picture follow each other; a line is the caption, or `key<TAB>caption` if all lines are. A line
    of ids names a picture: its file, that without the ending, or MSCOCO's number (of COCO_train2014_000000000009.jpg).
    There are equally many captions for each line of ids; a picture may be named on several lines. The authors do not
    document the files: what is read here is our reading of their folder tree.

    Args:
        folder: `annotations/scan_split`.
        names: of the pictures' files.
        captions_per_picture: so many captions for each line of ids; any number if None.

    Returns:
        Pictures by split, in the order of the files; an id stands where it is named first.

    Raises:
        InputError: a file is missing, or the numbers of lines do not fit.
    """
    place = _places(names)
    found = {}
    for split, short in _SCAN_FILES.items():
        captions_file, ids_file = folder / f"{short}_caps.txt", folder / f"{short}_ids.txt"
        if not captions_file.is_file() and not ids_file.is_file():
            continue
        captions, ids = _lines(captions_file), _lines(ids_file)
        if all(_KEYED.match(line) for line in captions):
            captions = [line.split("\t", 1)[1] for line in captions]
        each = len(captions) // max(len(ids), 1)
        if not ids or each * len(ids) != len(captions) or each != (captions_per_picture or each):
            raise InputError(
                f"{captions_file} has {len(captions)} lines and {ids_file.name} {len(ids)}: "
                f"there must be {captions_per_picture or 'equally many'} captions for each id."
            )
        pictures: dict[str, Picture] = {}
        for number, caption in enumerate(captions):
            name = ids[number // each].strip()
            picture = pictures.setdefault(name, Picture(name, place.get(name, f"{name}.jpg"), [], []))
            picture.captions.append(caption)
            picture.caption_ids.append(number)
        found[split] = list(pictures.values())
    return found


def _filepath(image: object) -> str:
    return str(image.get("filepath", "")) if isinstance(image, dict) else ""


def _places(names: list[str]) -> dict[str, str]:
    """The file that each id may mean; a whole name wins over a name without ending, that over a number."""
    place = {}
    for pattern in (r"COCO_\w+_0*(\d+)\.\w+", r"(.+)\.\w+", r"(.+)"):
        matches = ((re.fullmatch(pattern, name), name) for name in sorted(names))
        place |= {match[1]: name for match, name in matches if match}
    return place


def _lines(file: Path) -> list[str]:
    """The lines of a text file; only line feeds end a line, since captions may hold any other character."""
    if not file.is_file():
        raise InputError(f"There is no file {file}.")
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: {error}.") from error
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
