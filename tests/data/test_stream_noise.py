"""Noise on a stream is the noise of the same rows in memory, row by row."""

import datasets
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.stream_noise import clean_pairs, damaged_pairs, stream_pictures
from hf_noisy_itm.functional.noise import TEXT_KINDS, draw_noise

from .test_load import rows

COLUMNS = {
    "captions": lambda k: [f"two black dogs number {k}", f"a red car beside tree {k}", f"{k} cats"][: 1 + k % 3],
    "image_id": lambda k: f"p{k}",
}


def stream(table, limit=None, **arguments):
    args = DataArguments("test", **arguments)
    return stream_pictures(table.to_iterable_dataset(3), args, None, limit)


def damaged(table, kind="truncated", rate=0.5, **arguments):
    return list(damaged_pairs(clean_pairs(stream(table, **arguments)), kind, rate, 4))


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_a_stream_gets_the_noise_of_the_whole(kind):
    table = rows(150, **COLUMNS)  # more captions than are damaged at once
    pairs = to_pairs(table, DataArguments(), "training")
    noise = draw_noise(kind, 0.5, 4, pairs.image_row, pairs.captions)
    got = damaged(table, kind)
    assert [row["caption"] for row, _ in got] == noise.captions
    assert [row["is_noisy"] for row, _ in got] == noise.is_noisy.tolist()
    assert [before for _, before in got] == pairs.captions
    assert [row["caption_id"] for row, _ in got] == list(range(len(pairs)))
    assert [row["image_id"] for row, _ in got] == pairs.name[pairs.image_row].tolist()
    assert all(row["noise_source"] == row["image_id"] for row, _ in got)
    assert got[-1][0]["image"]["bytes"] == pairs.encoded(149)


def test_rows_are_read_as_they_are_needed():
    table = rows(100, **COLUMNS)
    read = []
    watched = (read.append(k) or row for k, row in enumerate(stream(table)))
    noisy = damaged_pairs(clean_pairs(watched), "partial", 0.5, 0)
    next(noisy)
    assert len(read) < 40


def test_rows_without_ids_are_numbered_as_they_stand():
    table = rows(9, kind=lambda k: "ab"[k % 2])
    got = list(stream(table, where="kind=b", limit=3))
    assert [row["image_id"] for row in got] == [1, 3, 5]
    assert [row["captions"] for row in got] == [[f"{k} one", f"{k} two"] for k in (1, 3, 5)]


def test_bad_rows_stop_or_are_left_out():
    table = rows(5, captions=lambda k: [" "] if k == 2 else [f"caption {k}"])
    with pytest.raises(InputError, match="no caption"):
        list(stream(table))
    assert [row["image_id"] for row in stream(table, on_bad_row="skip")] == [0, 1, 3, 4]
    nameless = rows(3, image_id=lambda k: None if k == 1 else k)
    with pytest.raises(InputError, match="'image_id' is empty in row 1"):
        list(stream(nameless))


@pytest.mark.parametrize(
    "columns",
    [
        {"is_noisy": lambda k: k == 1},
        {"is_noisy": lambda k: [False, k == 1]},
        {"noise_source": lambda k: f"p{k // 2}"},
    ],
)
def test_rows_that_are_noisy_already_are_refused(columns):
    with pytest.raises(InputError, match="Row 1 of the stream is noisy already"):
        list(stream(rows(3, image_id=lambda k: f"p{k}", **columns)))


def test_columns_that_say_that_all_is_right_are_fine():
    known = {"is_noisy": lambda k: False, "noise_source": lambda k: f"p{k}"}
    assert len(list(stream(rows(3, image_id=lambda k: f"p{k}", **known)))) == 3


def test_a_kind_that_needs_all_rows_is_refused():
    with pytest.raises(
        InputError, match="'shuffle' depends on all rows.* or take one of partial, truncated, duplicated"
    ):
        damaged(rows(3), "shuffle")
    with pytest.raises(InputError, match="between 0 and 1"):
        damaged(rows(3), rate=2)


def test_pictures_of_paths_are_read_and_may_not_leave_their_folder(tmp_path):
    table = rows(2).cast_column("image", datasets.Image(decode=False))
    contents = [row["image"]["bytes"] for row in table]
    for name, content in zip(("in/0.png", "out.png"), contents):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    texts = datasets.Dataset.from_dict({"image": ["0.png", "../out.png"], "caption": ["a", "b"]})
    args = DataArguments("test", image_root=str(tmp_path / "in"))
    got = stream_pictures(texts.to_iterable_dataset(), args, args.image_root, None)
    assert next(got)["image"] == {"bytes": contents[0], "path": None}
    with pytest.raises(InputError, match="leaves its folder"):
        next(got)
    (tmp_path / "in" / "0.png").unlink()
    with pytest.raises(InputError, match="picture in row 0 cannot be read"):
        next(stream_pictures(texts.to_iterable_dataset(), args, args.image_root, None))
