"""Noise on a stream is the noise of the same rows in memory, row by row."""

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_noisy_itm import InputError
from hf_noisy_itm.data import BadRows, DataArguments
from hf_noisy_itm.data._passing import PassingRows
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.stream_noise import clean_pairs, damaged_pairs, stream_pictures
from hf_noisy_itm.functional.noise import TEXT_KINDS, draw_noise

from .test_load import rows, shade

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


BAD = {
    "missing": {"image": lambda k: None if k == 2 else shade(k)},
    "no_image": {"image": lambda k: {"bytes": b"text", "path": None} if k == 2 else shade(k)},
    "other_picture": {"image_id": lambda k: f"p{min(k, 1)}", "image": lambda k: shade(5 if k == 2 else min(k, 1))},
    "empty": {"captions": lambda k: [" "] if k == 2 else [f"caption {k}"]},
    "one of two": {"captions": lambda k: [f"caption {k}", "" if k == 2 else "more"]},
    "other_caption": {"captions": lambda k: [f"caption {k}"], "caption_id": lambda k: [1 if k == 2 else k]},
    "broken": {"image": lambda k: {"bytes": shade(k)["bytes"][:45], "path": None} if k == 2 else shade(k)},
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_stop_or_are_left_out_as_in_memory(kind):
    table = rows(5, **BAD[kind])
    kind = "empty" if kind == "one of two" else kind
    if kind != "broken":  # which only those who skip look for
        with pytest.raises(BadRows, match="first in row 2") as error:
            list(stream(table))
        assert error.value.reports[0].found == {kind: [2]}
    passing = PassingRows("training")
    got = list(stream_pictures(table.to_iterable_dataset(), DataArguments(on_bad_row="skip"), None, None, passing))
    pairs = to_pairs(table, DataArguments(on_bad_row="skip"), "training")
    assert passing.report.found == pairs.report.found == {kind: [2]}
    assert passing.report.rows == 5
    assert passing.report.captions == len(pairs)
    assert [row["caption"] for row in clean_pairs(got)] == pairs.captions
    assert [row["caption_id"] for row in clean_pairs(got)] == pairs.caption_name.tolist()


def test_captions_without_ids_are_numbered_as_loaded_whatever_is_kept():
    table = rows(6).add_column("tag", ["x", "y"] * 3)
    got = stream_pictures(table.to_iterable_dataset(), DataArguments(where="tag=y"), None, None)
    numbers = [row["caption_id"] for row in clean_pairs(got)]
    assert numbers == [2, 3, 6, 7, 10, 11]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, None, "text"]),  # picture
            st.integers(0, 3),  # image id
            st.lists(st.tuples(st.sampled_from(["a", "b", "", "!", "w " * 80]), st.integers(0, 9)), max_size=3),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_rows_that_pass_are_judged_as_rows_in_memory(cells):
    pictures = {None: None, "text": {"bytes": b"text", "path": None}} | {k: shade(k) for k in range(3)}
    table = datasets.Dataset.from_dict(
        {
            "image": [pictures[picture] for picture, _, _ in cells],
            "image_id": [image_id for _, image_id, _ in cells],
            "captions": [[caption for caption, _ in pairs] for _, _, pairs in cells],
            "caption_id": [[number for _, number in pairs] for _, _, pairs in cells],
        },
        features=datasets.Features(
            {
                "image": datasets.Image(),
                "image_id": datasets.Value("int64"),
                "captions": datasets.List(datasets.Value("string")),
                "caption_id": datasets.List(datasets.Value("int64")),
            }
        ),
    )
    args, passing = DataArguments(on_bad_row="skip"), PassingRows("training")
    got = list(clean_pairs(stream_pictures(table.to_iterable_dataset(), args, None, None, passing)))
    try:
        pairs = to_pairs(table, args, "training")
    except InputError:
        assert not got
        return
    assert {kind: sorted(found) for kind, found in passing.report.found.items()} == {
        kind: sorted(found) for kind, found in pairs.report.found.items()
    }
    assert [(row["caption"], row["caption_id"]) for row in got] == list(zip(pairs.captions, pairs.caption_id.tolist()))


def test_ids_are_what_they_are_in_memory():
    table = rows(4, image_id=lambda k: float(k), caption_id=lambda k: [f"c{2 * k}", f"c{2 * k + 1}"])
    assert [row["image_id"] for row in stream(table)] == [0, 1, 2, 3]
    assert [row["caption_id"] for row in clean_pairs(stream(table))] == [f"c{k}" for k in range(8)]
    numbered = rows(3, caption_id=lambda k: [70 + k, 80 + k])
    assert [row["caption_id"] for row in clean_pairs(stream(numbered))] == [70, 80, 71, 81, 72, 82]
    floats = rows(3, image_id=lambda k: k, noise_source=lambda k: float(k) if k else float("nan"))
    assert len(list(stream(floats))) == 3


def test_rows_without_a_name_are_refused():
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
    with pytest.raises(InputError, match=r"leaves its folder .*first in row 1 \(\.\./out.png\)"):
        next(got)
    (tmp_path / "in" / "0.png").unlink()
    with pytest.raises(InputError, match=r"1 row\(s\) of a missing picture among the streamed rows, first in row 0"):
        next(stream_pictures(texts.to_iterable_dataset(), args, args.image_root, None))
