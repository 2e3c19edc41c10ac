"""Columns that say which captions are wrong, and what becomes of that in `Pairs`."""

import datasets
import numpy as np
import pyarrow as pa
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data.load import to_pairs

from .local_copies import picture
from .moving import moved_by


def pairs_of(**columns):
    """Rows of the pictures a, a, b, c with captions 0 to 3."""
    shades = [0, 0, 1, 2]
    table = {"image": [{"bytes": picture(shade), "path": None} for shade in shades], "caption": list("0123")}
    rows = datasets.Dataset(pa.table({**table, "image_id": ["a", "a", "b", "c"], **columns}))
    return to_pairs(rows.cast_column("image", datasets.Image()), DataArguments(), "training")


def test_captions_of_other_pictures_are_noisy():
    pairs = pairs_of(noise_source=["a", "b", "b", "z"], is_noisy=[False, True, False, True])
    assert pairs.is_noisy.tolist() == [False, True, False, True]
    assert pairs.caption_image_id.tolist() == [0, 1, 1, 3]  # z is no picture here, so it is one beyond
    assert not pairs.damaged.any()


def test_a_source_alone_says_what_is_noisy():
    pairs = pairs_of(noise_source=["a", None, "c", "c"])
    assert pairs.is_noisy.tolist() == [False, False, True, False]


def test_damaged_captions_are_noisy_for_their_own_picture():
    pairs = pairs_of(noise_source=["a", "a", "b", "c"], is_noisy=[False, True, False, True])
    assert pairs.damaged.tolist() == pairs.is_noisy.tolist() == [False, True, False, True]


@pytest.mark.parametrize("cells", [[True, False, False, None], [1, 0, 0, 0], ["True", "false", "0", None]])
def test_noise_without_a_source_is_noise(cells):
    pairs = pairs_of(is_noisy=cells)
    assert pairs.is_noisy.tolist() == [True, False, False, False]


def test_what_is_known_moves_with_the_captions():
    pairs = pairs_of(is_noisy=[False, True, False, False], caption_id=[10, 11, 12, 13])
    moved = moved_by(pairs, np.array([1, 0, 3, 2]))  # the damaged caption stays with its picture; b and c swap
    assert moved.caption_id.tolist() == [11, 10, 13, 12]
    assert moved.is_noisy.tolist() == [True, False, True, True]
    kept = moved.keep_pictures(np.array([0, 2]))
    assert kept.caption_id.tolist() == [11, 10, 12]
    assert kept.is_noisy.tolist() == [True, False, True]


def test_nothing_is_known_without_columns():
    pairs = pairs_of()
    assert not pairs.is_noisy.any()
    assert pairs.caption_id.tolist() == [0, 1, 2, 3]


def test_caption_ids_that_are_no_numbers_are_numbered():
    assert pairs_of(caption_id=["x", "y", "z", "w"]).caption_id.tolist() == [0, 1, 2, 3]


def test_lists_of_captions_may_have_lists_of_ids():
    table = {"image": [{"bytes": picture(k), "path": None} for k in (0, 1)], "captions": [["a", "b"], ["c"]]}
    table |= {"caption_id": [[5, 6], [7]], "is_noisy": [[False, True], [False]]}
    rows = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    pairs = to_pairs(rows, DataArguments(), "training")
    assert pairs.caption_id.tolist() == [5, 6, 7]
    assert pairs.is_noisy.tolist() == [False, True, False]
    rows = rows.remove_columns("caption_id").add_column("caption_id", [[5], [7]])
    with pytest.raises(InputError, match="Row 0 has 2 captions but 1 of 'caption_id'"):
        to_pairs(rows, DataArguments(), "training")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"is_noisy": ["maybe", "no", "1", "0"]}, "neither true nor false in row 0: 'maybe'"),
        ({"is_noisy": [False] * 4, "noise_source": ["a", "a", "c", "c"]}, "Row 2 has the caption of picture c"),
        ({"caption_id": [1, None, 2, 3]}, "'caption_id' is empty in row 1"),
        ({"caption_id": [2.0, float("nan"), 3.0, 4.0]}, "'caption_id' is empty in row 1"),
        ({"caption_id": [{"a": k} for k in range(4)]}, "'caption_id' holds dict in row 0, not a value"),
        ({"caption_id": pa.array([0, 1, 2**63, 3], pa.uint64())}, "'caption_id' holds 9223372036854775808 in row 2"),
        ({"is_noisy": [{"a": 1}] * 4}, "'is_noisy' holds dict in row 0, not a value"),
        ({"is_noisy": [[[True]]] * 4}, "'is_noisy' holds list in row 0, not a value"),
        ({"image_id": [[1], [2, 3], [4], [5]]}, "'image_id' holds list in row 0, not a text or a number"),
        ({"image_id": [0.0, 0.0, 1.0, float("nan")]}, "'image_id' is empty in row 3: fill it"),
    ],
)
def test_columns_that_make_no_sense_are_refused(columns, sentence):
    with pytest.raises(InputError, match=sentence):
        pairs_of(**columns)


def test_ids_that_a_table_turned_into_floats_are_the_numbers_they_were():
    """As pandas does where one is missing, and with or without a missing one in the other column."""
    for own in ([0, 0, 1, 2], [0.0, 0.0, 1.0, 2.0]):
        pairs = pairs_of(image_id=own, noise_source=[0.0, 1.0, float("nan"), 2.0], caption_id=[3.0, 4.0, 5.0, 6.0])
        assert pairs.is_noisy.tolist() == [False, True, False, False]
        assert pairs.name.tolist() == [0, 1, 2]
        assert pairs.name.dtype == np.int64
        assert pairs.noise_source.tolist() == [0, 1, 1, 2]
        assert pairs.caption_id.tolist() == [3, 4, 5, 6]
    known = pairs_of(is_noisy=[0.0, 1.0, float("nan"), 0.0])
    assert known.is_noisy.tolist() == [False, True, False, False]
    odd = pairs_of(image_id=[0.5, 0.5, 1.0, 2.0])
    assert odd.name.tolist() == ["0.5", "1", "2"]


def test_a_source_needs_ids():
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": picture(0), "path": None}], "caption": ["a"], "noise_source": ["b"]}
    )
    with pytest.raises(InputError, match="names pictures, so there must be their ids"):
        to_pairs(rows.cast_column("image", datasets.Image()), DataArguments(), "training")
