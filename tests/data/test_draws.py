"""Published draws. The files are not here: set NOISE_INDEX_DIR to a folder that has them to check them too."""

import hashlib
import json
import os
import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm import InputError
from hf_noisy_itm.data.draws import KNOWN, Family, load_draw, save_draw
from hf_noisy_itm.functional.noise import damage_captions, shuffle_captions, shuffle_images, swap_semantic

SUMMARY = json.loads((Path(__file__).parent.parent / "fixtures" / "noise_index.json").read_text())["families"]
FOLDER = os.environ.get("NOISE_INDEX_DIR")


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def save(path, array, **kwargs):
    np.save(path, array, **kwargs)
    return path


def index_by_hand(noise, c):
    """Picture that each caption is paired with: the picture of the row in which it stands."""
    return [int(np.flatnonzero(noise.source == caption)[0]) // c for caption in range(len(noise.source))]


def test_the_known_families_are_those_of_the_summary():
    known = {family.name: (sha256, family.level, family.nominal) for sha256, family in KNOWN.items()}
    assert known == {name: (each["sha256"], each["level"], each["nominal"]) for name, each in SUMMARY.items()}
    for each in SUMMARY.values():  # shuffles with fixed points lose a few, and never exceed the rate
        assert -5 <= each["noisy_entries"] - int(each["nominal"] * each["entries"]) <= 0


@pytest.mark.skipif(not FOLDER, reason="set NOISE_INDEX_DIR to the folder of the published .npy files to check them")
@pytest.mark.parametrize("name", SUMMARY)
def test_the_published_files_are_what_the_summary_says(name, tmp_path):
    path = Path(FOLDER or "") / f"{name}.npy"
    draw, expected = load_draw(path, family=name), SUMMARY[name]
    assert (draw.family, draw.sha256, draw.level, draw.layout) == (
        name,
        expected["sha256"],
        expected["level"],
        expected["layout"],
    )
    per_entry = 5 if expected["layout"] == "image_permutation" else 1
    assert draw.noise.is_noisy.sum() == expected["noisy_entries"] * per_entry
    assert len(draw.noise.source) == expected["entries"] * per_entry
    save_draw(tmp_path / "again.npy", draw.noise, layout=draw.layout)
    assert (np.load(tmp_path / "again.npy") == np.load(path)).all()


def test_a_caption_level_index_by_hand(tmp_path):
    # Captions 0, 1 (of picture 0), 2, 3 (of 1), 4, 5 (of 2). Captions 1, 2 and 4 go round: 1 -> 1, 2 -> 2, 4 -> 0.
    draw = load_draw(save(tmp_path / "index.npy", np.array([0, 1, 2, 1, 0, 2])), captions_per_image=2)
    assert (draw.level, draw.layout, draw.family) == ("caption", "image_of_caption", None)
    assert draw.noise.source.tolist() == [0, 4, 1, 3, 2, 5]
    assert draw.noise.noise_source.tolist() == [0, 2, 0, 1, 1, 2]
    assert draw.noise.is_noisy.tolist() == [False, True, True, False, True, False]
    assert draw.noise.nominal is None
    assert draw.provenance["realised"] == 0.5


def test_an_image_level_index_by_hand(tmp_path):
    # Both captions of picture 0 go to 1, of 1 to 2, of 2 to 0.
    draw = load_draw(save(tmp_path / "index.npy", np.array([1, 1, 2, 2, 0, 0, 3, 3])), captions_per_image=2)
    assert draw.level == "image"
    assert draw.noise.source.tolist() == [4, 5, 0, 1, 2, 3, 6, 7]


def test_an_image_permutation_by_hand(tmp_path):
    # The captions of picture 0 come from 2, of 1 from 0, of 2 from 1: as above.
    draw = load_draw(save(tmp_path / "index.npy", np.array([2, 0, 1, 3])), captions_per_image=2)
    assert (draw.level, draw.layout) == ("image", "image_permutation")
    assert draw.noise.source.tolist() == [4, 5, 0, 1, 2, 3, 6, 7]
    assert draw.noise.noise_source.tolist() == [2, 2, 0, 0, 1, 1, 3, 3]


@given(st.integers(2, 12), st.integers(2, 5), st.floats(0, 1), st.integers(0, 99))
def test_pairs_survive_writing_and_reading(tmp_path_factory, pictures, c, rate, seed):
    path = tmp_path_factory.mktemp("draw") / "index.npy"
    ids = np.arange(pictures * c) // c
    for shuffle, layouts in ((shuffle_captions, 1), (shuffle_images, 2)):
        noise = shuffle(ids, rate, generator(seed))
        for layout in ("image_of_caption", "image_permutation")[:layouts]:
            save_draw(path, noise, c, layout)
            got = load_draw(path, c, layout=layout).noise
            pairs = [Counter(zip(ids.tolist(), each.source.tolist())) for each in (noise, got)]
            assert pairs[0] == pairs[1] or shuffle is shuffle_captions
            wrong = [sorted(zip(ids[each.is_noisy], each.source[each.is_noisy])) for each in (noise, got)]
            assert wrong[0] == wrong[1]
            if layout == "image_of_caption":
                assert np.load(path).tolist() == index_by_hand(noise, c)


@pytest.mark.parametrize(("shuffle", "level"), [(shuffle_captions, "caption"), (shuffle_images, "image")])
def test_a_family_made_like_the_published_ones_is_told_apart(shuffle, level, tmp_path, monkeypatch):
    """Of the size and rate of Flickr30K's: level, rate and name are found."""
    ids = np.arange(145_000) // 5
    save_draw(tmp_path / "index.npy", shuffle(ids, 0.2, generator()))
    draw = load_draw(tmp_path / "index.npy", level=level, nominal=0.2)
    assert draw.level == level
    assert 0.1995 < draw.noise.realised <= 0.2
    assert np.load(tmp_path / "index.npy").dtype == np.int64
    monkeypatch.setitem(KNOWN, draw.sha256, Family("ours", level, 0.2, "here"))
    again = load_draw(tmp_path / "index.npy", family="ours")
    assert (again.family, again.noise.nominal) == ("ours", 0.2)
    other = {"caption": "image", "image": "caption"}[level]
    with pytest.raises(InputError, match=f"is a draw of {level} level, not of {other} level"):
        load_draw(tmp_path / "index.npy", level=other)
    with pytest.raises(InputError, match=r"has (19.99|20.00)% of wrong captions, but a rate of 40.00% is claimed"):
        load_draw(tmp_path / "index.npy", nominal=0.4)
    with pytest.raises(InputError, match="is the draw ours, not 'f30k_ncr_0.2'"):
        load_draw(tmp_path / "index.npy", family="f30k_ncr_0.2")


def test_a_clean_draw_has_both_levels(tmp_path):
    path = save(tmp_path / "clean.npy", np.arange(20) // 5)
    for level in ("caption", "image"):
        draw = load_draw(path, level=level, nominal=0.0)
        assert (draw.level, draw.noise.realised) == (level, 0)


def test_the_hash_is_that_of_the_entries_whatever_the_type(tmp_path):
    array = np.array([1, 0, 0, 1])
    draws = [load_draw(save(tmp_path / "a.npy", array.astype(kind)), 2) for kind in ("<i8", ">i4", "u1")]
    assert len({draw.sha256 for draw in draws}) == 1
    assert draws[0].sha256 == hashlib.sha256(struct.pack("<4q", 1, 0, 0, 1)).hexdigest()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}, {}]), "holds Python objects, which are not unpickled"),
        (np.array([0.0, 1.0]), "holds float64, but indices are integers"),
        (np.array([[0, 1]]), r"has shape \(1, 2\), but indices are one vector"),
        (np.array([], int), r"has shape \(0,\), but"),
        (np.array([0, -3, 1, 1]), "has the entry -3 at place 1; pictures count from 0"),
        (np.array([0, 0, 4, 1]), "names picture 4 at place 2, but has 4 entries"),
        (np.array([0, 0, 1, 1, 1]), "has 5 entries, which are not 2 to a picture"),
        (np.array([0, 0, 1, 3]), "names picture 3, but 4 captions are of pictures 0 to 1"),
        (np.array([0, 0, 0, 1]), "no permutation of captions: picture 0 has 3 of them, not 2"),
    ],
)
def test_arrays_that_are_no_draw_are_named(array, message, tmp_path):
    path = save(tmp_path / "index.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=f"index.npy.*{message}"):
        load_draw(path, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "image_permutation"}, "is no permutation: picture 0 stands there twice"),
        ({"layout": "rows"}, "no layout 'rows'; there are image_of_caption and image_permutation"),
        ({"family": "f30k_ncr_0.2"}, "is no draw that we know, not 'f30k_ncr_0.2'"),
        ({"captions_per_image": 0}, "captions_per_image must be at least 1, got 0"),
        ({"captions_per_image": 1}, "With one caption per picture, say which layout"),
        ({"captions_per_image": 3}, "has 4 entries, which are not 3 to a picture"),
    ],
)
def test_claims_that_do_not_hold_are_named(arguments, message, tmp_path):
    path = save(tmp_path / "index.npy", np.array([0, 1, 0, 1]))
    with pytest.raises(InputError, match=message):
        load_draw(path, **{"captions_per_image": 2, **arguments})


def test_with_one_caption_per_picture_the_layouts_are_inverse_to_each_other(tmp_path):
    path = save(tmp_path / "index.npy", np.array([1, 2, 0]))
    assert load_draw(path, 1, layout="image_permutation").noise.source.tolist() == [1, 2, 0]
    assert load_draw(path, 1, layout="image_of_caption").noise.source.tolist() == [2, 0, 1]


def test_damaged_files_are_named(tmp_path):
    path = save(tmp_path / "index.npy", np.arange(20) // 5)
    whole = path.read_bytes()
    for length in (0, 4, 7, 60, len(whole) - 8):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="index.npy"):
            load_draw(path)
    path.write_bytes(whole + b"\0" * 8)
    with pytest.raises(InputError, match="should have 160 bytes after its header but has 168"):
        load_draw(path)
    path.write_bytes(whole.replace(b"(20,)", b"(10**", 1))
    with pytest.raises(InputError, match="is no .npy file, or its header is damaged"):
        load_draw(path)
    path.write_bytes(re.sub(rb"\(20,\), }  +", b"(9999999999999999999,), }        ", whole))
    with pytest.raises(InputError, match="index.npy"):  # nothing of that size is allocated
        load_draw(path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_draw(tmp_path / "missing.npy")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_draw(tmp_path)


def test_changed_headers_give_an_error_or_a_draw_and_nothing_else(tmp_path):
    path = save(tmp_path / "index.npy", np.arange(20) // 5)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    sentences = []
    for _ in range(1000):
        changed = bytearray(whole)
        for place in rng.integers(0, 80, rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            load_draw(path)
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > 500
    assert not any("\n" in sentence for sentence in sentences)


def test_draws_that_fit_no_layout_are_not_written(tmp_path):
    ids = np.arange(20) // 5
    with pytest.raises(InputError, match="Captions of one picture went different ways"):
        save_draw(tmp_path / "a.npy", shuffle_captions(ids, 1.0, generator()), layout="image_permutation")
    with pytest.raises(InputError, match="20 captions are not 3 to a picture"):
        save_draw(tmp_path / "a.npy", shuffle_captions(ids, 1.0, generator()), 3)
    with pytest.raises(InputError, match="Only a draw that permutes"):
        save_draw(tmp_path / "a.npy", swap_semantic(np.eye(20) + 0.1, ids, 1.0, 2, generator()))
    with pytest.raises(InputError, match="Only a draw that permutes"):
        save_draw(tmp_path / "a.npy", damage_captions(["a b"] * 20, ids, "truncated", 1.0, 0))
    assert not list(tmp_path.iterdir())
