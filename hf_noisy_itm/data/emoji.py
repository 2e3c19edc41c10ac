"""`emoji`: 3,172 pictures of 1,586 emoji in two styles, five captions each, made of public packages that you have.

    npm install emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 emojibase-data@17.0.0 openmoji@17.0.0

    from hf_noisy_itm.data.emoji import Emoji

    builder = Emoji(data_dir="node_modules")

| package | what is read | licence |
|---|---|---|
| emoji-datasource-google 16 | emoji.json, pictures of 64 pixels: style `noto`, Noto Emoji | MIT, pictures Apache-2.0 |
| emoji-datasource-twitter 16 | pictures of 64 pixels: style `twemoji`, Twemoji | MIT, pictures CC BY 4.0 |
| emojibase-data 17 | CLDR's label and tags, en/data.json | MIT |
| openmoji 17 | OpenMoji's tags, data/openmoji.json | CC BY-SA 4.0 |

The five captions, in small letters: the label; its tags; the short name; OpenMoji's tags, CLDR's among them; the label
and its first tag. Of tags the first six are used. Rows follow the order of emoji.json, a concept's two styles in turn;
`concept` is its code points, `group` its category. Left out: flags, components, emoji after version 15.0, characters
below U+0100 (keycaps, copyright and registered sign) and the eye in a speech bubble.
"""

from collections.abc import Iterator
from pathlib import Path

import datasets

from ..errors import InputError
from ..files import read_json
from ._local import LocalBuilder, LocalConfig
from ._paths import PictureFolder

_VERSION = datasets.Version("1.0.0")  # of the rows: raise it when the code makes others of the same files
_INDEX = Path("emoji-datasource-google", "emoji.json")
_LABELS = Path("emojibase-data", "en", "data.json")
_TAGS = Path("openmoji", "data", "openmoji.json")
STYLES = {
    "noto": Path("emoji-datasource-google", "img", "google", "64"),
    "twemoji": Path("emoji-datasource-twitter", "img", "twitter", "64"),
}
_NEWEST = 15.0  # version of Emoji
_LEFT_OUT = {"1F441-FE0F-200D-1F5E8-FE0F"}
_TAGS_PER_CAPTION = 6


class Emoji(LocalBuilder):
    """Emoji in two styles with five captions each; see the module's text."""

    VERSION = _VERSION
    BUILDER_CONFIGS = [LocalConfig(name="default", version=_VERSION)]

    @classmethod
    def input_files(cls, root: Path) -> list[Path]:  # noqa: D102
        for path in (_INDEX, _LABELS, _TAGS, *STYLES.values()):
            if not (root / path).exists():
                raise InputError(
                    f"{root} lacks {path}: install with npm the packages named in data/emoji.py, and give "
                    f"their node_modules as --data_dir."
                )
        pictures = (file for folder in STYLES.values() for file in sorted((root / folder).glob("*.png")))
        return [root / _INDEX, root / _LABELS, root / _TAGS, *pictures]

    def _info(self) -> datasets.DatasetInfo:
        string = datasets.Value("string")
        return datasets.DatasetInfo(
            description=__doc__,
            license="pictures Apache-2.0 (noto) and CC BY 4.0 (twemoji); captions MIT and CC BY-SA 4.0",
            features=datasets.Features(
                {
                    "image": datasets.Image(),
                    "captions": datasets.List(string),
                    "image_id": datasets.Value("int64"),
                    "concept": string,
                    "group": string,
                    "style": string,
                }
            ),
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(datasets.Split.TRAIN)]

    def rows(self) -> Iterator[dict]:  # noqa: D102
        labels, tags = (_by_code(_read(self.root / path)) for path in (_LABELS, _TAGS))
        folders = {style: PictureFolder(self.root / folder) for style, folder in STYLES.items()}
        row = 0
        for emoji in filter(_is_used, _read(self.root / _INDEX)):
            captions = write_captions(emoji, _look_up(emoji, labels), _look_up(emoji, tags))
            for style, folder in folders.items():
                picture = folder.cell(emoji["image"])
                if picture["bytes"] is not None:
                    raise InputError(
                        f"{self.root / _INDEX} names the picture {emoji['image']!r} outside of its folder."
                    )
                yield {
                    "image": {"bytes": Path(picture["path"]).read_bytes(), "path": None},
                    "captions": captions,
                    "image_id": row,
                    "concept": emoji["unified"],
                    "group": emoji["category"],
                    "style": style,
                }
                row += 1


def write_captions(emoji: dict, label: dict, tags: dict) -> list[str]:
    """The five captions of an emoji, from its entries in emoji.json, emojibase and OpenMoji."""
    words = label.get("tags") or [""]
    others = [word.strip() for key in ("tags", "openmoji_tags") for word in tags[key].split(",") if word.strip()]
    captions = [
        label["label"],
        ", ".join(words[:_TAGS_PER_CAPTION]),
        emoji["short_name"].replace("_", " ").replace("-", " "),
        ", ".join(others[:_TAGS_PER_CAPTION]),
        f"{label['label']}: {words[0]}",
    ]
    return [caption.lower() for caption in captions]


def _is_used(emoji: dict) -> bool:
    return (
        emoji["category"] not in ("Flags", "Component")
        and float(emoji["added_in"]) <= _NEWEST
        and int(emoji["unified"].split("-")[0], 16) >= 0x100
        and emoji["unified"] not in _LEFT_OUT
    )


def _by_code(entries: list[dict]) -> dict[str, dict]:
    return {entry["hexcode"]: entry for entry in entries}


def _look_up(emoji: dict, entries: dict[str, dict]) -> dict:
    """The entry of an emoji; the packages differ in whether they write the variation selector."""
    code = emoji["unified"]
    for written in (code, code.replace("-FE0F", "")):
        if written in entries:
            return entries[written]
    raise InputError(f"There is no entry for {code} beside emoji.json: take the versions named in emoji.py.")


def _read(file: Path) -> list[dict]:
    try:
        return read_json(file)
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}.") from error
