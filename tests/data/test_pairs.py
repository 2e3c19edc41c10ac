import io
from dataclasses import replace

import datasets
import numpy as np
import pytest
from PIL import Image

from hf_noisy_itm.data import Pairs
from hf_noisy_itm.errors import InputError

from .moving import moved_by


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return {"bytes": file.getvalue(), "path": None}


def small_pairs(cells=None, image_id=None):
    """Pictures 0, 1, 2 with 2, 1, 3 captions; picture k is grey of shade 10 k."""
    cells = cells or [encoded(Image.new("RGB", (4, 4), (10 * row,) * 3)) for row in range(3)]
    rows = datasets.Dataset.from_list([{"image": cell} for cell in cells])
    return Pairs(
        rows.cast_column("image", datasets.Image(decode=False)),
        ["a", "b", "c", "d", "e", "f"],
        np.array([0, 0, 1, 2, 2, 2]),
        np.array(ids := image_id or [0, 1, 2]),
        np.array(ids)[[0, 0, 1, 2, 2, 2]],
    )


def colours(pairs, row):
    picture = pairs.picture(row)
    assert picture.mode == "RGB"
    return np.asarray(picture).reshape(-1, 3).tolist()


def test_rows_are_pairs_and_hold_nothing_about_noise():
    pairs = moved_by(small_pairs(), np.array([5, 1, 2, 3, 4, 0]))
    assert len(pairs) == 6
    assert pairs[0] == {"index": 0, "image_row": 0, "caption": "f"}
    assert [row["caption"] for row in pairs] == ["f", "b", "c", "d", "e", "a"]
    assert [row["image_row"] for row in pairs] == [0, 0, 1, 2, 2, 2]


def test_is_noisy_by_hand():
    # Captions 0 and 1 (both of picture 0) change places: right. Captions 2 and 5 (pictures 1 and 2): wrong.
    pairs = moved_by(small_pairs(), np.array([1, 0, 5, 3, 4, 2]))
    assert pairs.captions == ["b", "a", "f", "d", "e", "c"]
    assert pairs.is_noisy.tolist() == [False, False, True, False, False, True]
    assert not small_pairs().is_noisy.any()


def test_a_caption_of_another_row_with_the_same_image_id_is_no_noise():
    # Pictures 0 and 2 are the same picture.
    pairs = moved_by(small_pairs(image_id=[7, 8, 7]), np.array([5, 2, 1, 3, 4, 0]))
    assert pairs.is_noisy.tolist() == [False, True, True, False, False, False]


def test_noise_upon_noise_remembers_where_each_caption_came_from():
    rng = np.random.default_rng(0)
    once, twice = rng.permutation(6), rng.permutation(6)
    pairs = moved_by(moved_by(small_pairs(), once), twice)
    original = small_pairs()
    source = once[twice]
    assert pairs.captions == [original.captions[row] for row in source]
    assert pairs.caption_image_id.tolist() == original.caption_image_id[source].tolist()
    back = moved_by(pairs, np.argsort(source))
    assert back.captions == original.captions
    assert not back.is_noisy.any()


def test_noise_makes_new_pairs_and_leaves_the_old():
    pairs = small_pairs()
    moved_by(pairs, np.array([5, 4, 3, 2, 1, 0]))
    assert pairs.captions == ["a", "b", "c", "d", "e", "f"]
    assert pairs.caption_image_id.tolist() == [0, 0, 1, 2, 2, 2]


def test_the_fingerprint_is_that_of_captions_pairing_and_ids():
    pairs = small_pairs()
    others = [
        moved_by(pairs, np.array([1, 0, 2, 3, 4, 5])),
        replace(pairs, captions=["ab", "", "c", "d", "e", "f"]),
        replace(pairs, captions=["é", "b", "c", "d", "e", "f"]),
        replace(pairs, image_row=np.array([0, 0, 1, 1, 2, 2])),
        replace(pairs, image_id=np.array([0, 1, 1])),
        pairs.keep_pictures(np.array([0, 1])),
    ]
    fingerprints = [each.fingerprint for each in (pairs, *others)]
    assert len(set(fingerprints)) == len(fingerprints)
    assert small_pairs().fingerprint == pairs.fingerprint


def test_keep_pictures_keeps_their_captions_and_numbers_anew():
    kept = small_pairs(image_id=[7, 8, 9]).keep_pictures(np.array([0, 2]))
    assert kept.captions == ["a", "b", "d", "e", "f"]
    assert kept.image_row.tolist() == [0, 0, 1, 1, 1]
    assert kept.image_id.tolist() == [7, 9]
    assert [colours(kept, row)[0] for row in range(2)] == [[0, 0, 0], [20, 20, 20]]


def test_keep_pictures_does_not_forget_which_captions_are_wrong():
    # Captions 0 and 1 of picture 0 change places with captions 3 and 4 of picture 2; both pictures stay.
    noisy = moved_by(small_pairs(), np.array([3, 4, 2, 0, 1, 5]))
    kept = noisy.keep_pictures(np.array([0, 2]))
    assert kept.captions == ["d", "e", "a", "b", "f"]
    assert kept.is_noisy.tolist() == [True, True, True, True, False]


def test_a_picture_may_be_a_path(tmp_path):
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "picture.png")
    cell = {"bytes": None, "path": str(tmp_path / "picture.png")}
    assert colours(small_pairs([cell]), 0) == [[1, 2, 3]] * 4


@pytest.mark.parametrize("kind", ["no picture", "half a picture", "nothing", "no file"])
def test_a_picture_that_does_not_decode_is_named(kind):
    whole = encoded(Image.effect_noise((32, 32), 50))["bytes"]
    content = {"no picture": b"text", "half a picture": whole[: len(whole) // 2], "nothing": b"", "no file": None}
    cells = [encoded(Image.new("L", (2, 2))), {"bytes": content[kind], "path": "missing.png"}]
    pairs = small_pairs(cells)
    assert colours(pairs, 0) == [[0, 0, 0]] * 4
    with pytest.raises(InputError, match="picture in row 1 does not decode .* --on_bad_row skip"):
        pairs.picture(1)
