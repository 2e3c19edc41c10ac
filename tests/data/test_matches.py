from dataclasses import replace

import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, known_matches, load_pairs, load_stream
from hf_noisy_itm.data.scenes import draw_row, true_pairs

from .moving import moved_by


def folder_of(tmp_path, rows):
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "pairs.parquet"))
    return DataArguments(dataset=str(tmp_path / "pairs.parquet"), holdout_every=4, match_by="kind")


def test_of_scenes_every_true_pair_is_known(monkeypatch):
    """Also where noise moved captions, and where only the first pictures are used."""
    args = DataArguments(max_train_pictures=40, max_eval_pictures=5)
    scenes = datasets.Dataset.from_list([draw_row("street", (0, 0, 0), row, 0.9) for row in range(60)])
    scenes = scenes.cast_column("image", datasets.Image())
    monkeypatch.setattr(
        "hf_noisy_itm.data._splits.load_splits", lambda _: {"train": scenes, "test": scenes.select(range(5))}
    )
    pairs, _ = load_pairs(args)
    source = np.random.default_rng(0).permutation(len(pairs))
    noisy = moved_by(pairs, source)
    is_match = known_matches(args, noisy)
    truth = np.zeros((300, 60), dtype=bool)
    truth[tuple(true_pairs(scenes).T)] = True
    captions, pictures = (each.ravel() for each in np.meshgrid(np.arange(200), np.arange(200)))
    wanted = truth[source[captions], pictures // 5]
    assert 0.01 < wanted.mean() < 0.5
    assert wanted.sum() > 200 * 5  # of other pictures too
    assert np.array_equal(is_match(captions, pictures), wanted)


def test_pictures_of_one_kind_share_their_captions(tmp_path):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": "abc"[row % 3]} for row in range(12)]
    args = folder_of(tmp_path, rows)
    pairs, _ = load_pairs(args)
    is_match = known_matches(args, moved_by(pairs, np.roll(np.arange(len(pairs)), 5)))  # those of the picture before
    kind = np.array([row["kind"] for row in rows])[pairs.row][pairs.image_row]
    captions, pictures = (each.ravel() for each in np.meshgrid(np.arange(len(pairs)), np.arange(len(pairs))))
    assert np.array_equal(is_match(captions, pictures), np.roll(kind, 5)[captions] == kind[pictures])


def test_a_damaged_caption_fits_nothing(tmp_path):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": "a"} for row in range(8)]
    args = folder_of(tmp_path, rows)
    pairs, _ = load_pairs(args)
    pairs.damaged[3] = True
    every = np.arange(len(pairs))
    assert known_matches(args, pairs)(every, every).tolist() == [row != 3 for row in every]


def test_of_other_data_nobody_knows(tmp_path):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": "a"} for row in range(8)]
    args = folder_of(tmp_path, rows)
    pairs, _ = load_pairs(args)
    args.match_by = None
    assert known_matches(args, pairs) is None


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("kinds", "There is no column 'kinds'; there are image, "),
        ("captions", "The column 'captions' holds list in row 0, not a text or a number"),
        ("image", "The column 'image' holds dict in row 0"),
    ],
)
def test_a_column_that_says_nothing_is_refused_with_the_rows(tmp_path, column, sentence):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": "a"} for row in range(8)]
    with pytest.raises(InputError, match=sentence):
        load_pairs(replace(folder_of(tmp_path, rows), match_by=column))


def test_a_stream_keeps_no_negatives(tmp_path):
    with pytest.raises(InputError, match="leave --streaming or --match_by out"):
        load_stream(replace(folder_of(tmp_path, [draw_row("street", (0, 1, 0), 0)]), streaming=True))


@pytest.mark.parametrize("kinds", [["a", None, "", None, "a", ""], [1.0, None, float("nan"), None, 1.0, None]])
def test_an_empty_cell_matches_its_own_picture_alone(tmp_path, kinds):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": kind} for row, kind in enumerate(kinds)]
    args = replace(folder_of(tmp_path, rows), holdout_every=6)
    pairs, _ = load_pairs(args)
    captions, pictures = (each.ravel() for each in np.meshgrid(np.arange(len(pairs)), np.arange(len(pairs))))
    row = pairs.row[pairs.image_row]
    wanted = (row[captions] == row[pictures]) | (np.isin(row[captions], [0, 4]) & np.isin(row[pictures], [0, 4]))
    assert wanted.sum() > len(pairs)
    assert np.array_equal(known_matches(args, pairs)(captions, pictures), wanted)


@pytest.mark.parametrize("other", ["b", None])
def test_rows_of_one_picture_say_the_same(tmp_path, other):
    rows = [{**draw_row("street", (0, 1, 0), row), "kind": "a", "image_id": row} for row in range(8)]
    rows.append({**rows[0], "kind": other})
    with pytest.raises(
        InputError, match=rf"Rows 0 and 8 are of one picture, but kind is 'a' there and {other!r} here"
    ):
        load_pairs(folder_of(tmp_path, rows))
    rows[-1]["kind"] = "a"
    load_pairs(folder_of(tmp_path, rows))
