import json

import datasets
import pytest

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import DataArguments, Emoji

from .local_copies import build, picture, write

# name, short name, category, version, tags of CLDR, of OpenMoji
EMOJI = {
    "1F30A": ("Water Wave", "ocean", "Travel & Places", "0.6", ["nature", "ocean"], "salty, Sea"),
    "1F3C3-200D-2642-FE0F": ("man running", "man-running", "People & Body", "4.0", list("abcdefgh"), ""),
    "1F1FD": ("flag: X", "x", "Flags", "0.6", ["flag"], ""),
    "1F3FB": ("light skin tone", "light_skin", "Component", "1.0", ["skin"], ""),
    "1FADF": ("splatter", "splatter", "Smileys & Emotion", "16.0", ["spill"], ""),
    "00A9-FE0F": ("copyright", "copyright", "Symbols", "0.6", ["c"], ""),
    "1F441-FE0F-200D-1F5E8-FE0F": ("eye in speech bubble", "eye", "Smileys & Emotion", "2.0", ["eye"], ""),
    "2B55": ("hollow red circle", "o", "Symbols", "0.6", ["circle", "red"], ""),
}


def packages(tmp_path, index=None):
    """node_modules with three usable emoji; the picture of emoji k is of shade 2 k in noto, 2 k + 1 in twemoji."""
    folder = tmp_path / "node_modules"
    entries, labels, tags = [], [], []
    for k, (code, (label, short, category, version, words, others)) in enumerate(EMOJI.items()):
        entry = {"unified": code, "image": f"{code.lower()}.png", "short_name": short, "category": category}
        entries.append({**entry, "added_in": version})
        labels.append({"hexcode": code.replace("-FE0F", ""), "label": label, "tags": words})
        tags.append({"hexcode": code, "tags": ", ".join(words), "openmoji_tags": others})
        for style, place in (("google", 0), ("twitter", 1)):
            file = folder / f"emoji-datasource-{style}" / "img" / style / "64" / entry["image"]
            write(file, picture(2 * k + place))
    write(folder / "emoji-datasource-google" / "emoji.json", json.dumps(index or entries))
    write(folder / "emojibase-data" / "en" / "data.json", json.dumps(labels))
    write(folder / "openmoji" / "data" / "openmoji.json", json.dumps(tags))
    return folder


def test_the_rows(tmp_path):
    rows = build(Emoji, packages(tmp_path), tmp_path)["train"]
    assert rows["concept"] == [code for code in list(EMOJI)[:2] + ["2B55"] for _ in range(2)]
    assert rows["style"] == ["noto", "twemoji"] * 3
    assert rows["image_id"] == list(range(6))
    assert rows.cast_column("image", datasets.Image(decode=False))[1] == {
        "image": {"bytes": picture(1), "path": None},
        "captions": ["water wave", "nature, ocean", "ocean", "nature, ocean, salty, sea", "water wave: nature"],
        "image_id": 1,
        "concept": "1F30A",
        "group": "Travel & Places",
        "style": "twemoji",
    }


def test_six_tags_are_used_and_hyphens_become_spaces(tmp_path):
    captions = build(Emoji, packages(tmp_path), tmp_path)["train"][2]["captions"]
    assert captions == ["man running", "a, b, c, d, e, f", "man running", "a, b, c, d, e, f", "man running: a"]


def test_a_picture_that_changes_is_read_anew(tmp_path):
    folder = packages(tmp_path)
    build(Emoji, folder, tmp_path)
    write(folder / "emoji-datasource-google" / "img" / "google" / "64" / "2b55.png", picture(77))
    assert build(Emoji, folder, tmp_path)["train"][4]["image"].getpixel((0, 0)) == 77


def test_it_is_loaded_by_name(tmp_path):
    arguments = DataArguments("emoji", data_dir=str(packages(tmp_path)), where="style=twemoji", holdout_every=3)
    train, held_out = load_pairs(arguments)
    assert (len(train), len(held_out)) == (10, 5)


def test_missing_packages_are_named(tmp_path):
    with pytest.raises(InputError, match="lacks emoji-datasource-google/emoji.json: install with npm"):
        Emoji(data_dir=tmp_path)


def test_packages_of_other_versions_are_refused(tmp_path):
    folder = packages(tmp_path)
    write(folder / "openmoji" / "data" / "openmoji.json", "[]")
    with pytest.raises(InputError, match="no entry for 1F30A beside emoji.json"):
        load_pairs(DataArguments("emoji", data_dir=str(folder)))


def test_no_picture_is_read_outside_of_the_packages(tmp_path):
    write(tmp_path / "secret.png", picture(9))
    entry = {"unified": "2B55", "image": "../../../../../secret.png", "short_name": "o", "category": "Symbols"}
    folder = packages(tmp_path, [{**entry, "added_in": "0.6"}])
    with pytest.raises(InputError, match="outside of its folder"):
        load_pairs(DataArguments("emoji", data_dir=str(folder)))
