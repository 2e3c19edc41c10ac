"""Each kind of bad row: counted, and with the outcome that data/_check.py documents."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from hf_noisy_itm.data import BadRows, DataArguments, check_rows, load_pairs, table
from hf_noisy_itm.data._paths import REFUSED
from hf_noisy_itm.data._report import RowReport
from hf_noisy_itm.data.load import to_pairs

from .local_copies import picture, write

SIZE = 5


def rows(images=None, **columns):
    """Row k has a picture of shade k and the caption 'caption k', but for cells given by number."""
    images = {k: {"bytes": picture(k), "path": None} for k in range(SIZE)} | (images or {})
    captions = {k: f"caption {k}" for k in range(SIZE)} | columns.pop("captions", {})
    every = {name: [column[k] for k in range(SIZE)] for name, column in columns.items()}
    table = {"image": [images[k] for k in range(SIZE)], "caption": [captions[k] for k in range(SIZE)], **every}
    features = {"image": datasets.Image(), "caption": datasets.Value("string")}
    others = datasets.Dataset.from_dict(every).features if every else {}
    return datasets.Dataset.from_dict(table, features=datasets.Features({**features, **others}))


def stopped(table):
    with pytest.raises(BadRows) as stop:
        to_pairs(table, DataArguments(), "training")
    assert "\n" not in str(stop.value)
    return stop.value


def skipped(table):
    return to_pairs(table, DataArguments(on_bad_row="skip"), "training")


BMP = io.BytesIO()
Image.new("L", (2, 2), 3).save(BMP, "BMP")
BAD_PICTURES = {
    "no picture": (None, "missing"),
    "no file": ({"bytes": None, "path": "/nowhere/a.png"}, "missing"),
    "refused": ({"bytes": REFUSED + b"../a.png", "path": None}, "outside"),
    "text": ({"bytes": b"not a picture", "path": "a.jpg"}, "no_image"),
    "nothing": ({"bytes": b"", "path": "a.jpg"}, "no_image"),
    "drawing": ({"bytes": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "path": None}, "no_image"),
}


@pytest.mark.parametrize(("cell", "kind"), BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_a_row_without_a_usable_picture(cell, kind):
    error = stopped(rows({3: cell}))
    assert error.reports[0].found == {kind: [3]}
    assert "row 3" in str(error)
    pairs = skipped(rows({3: cell}))
    assert pairs.captions == [f"caption {k}" for k in (0, 1, 2, 4)]
    assert pairs.report.found == {kind: [3]}


def test_a_file_that_is_missing_or_a_text_is_named(tmp_path):
    text = write(tmp_path / "text.jpg", "not a picture")
    table = rows({1: {"bytes": None, "path": str(text)}, 4: {"bytes": None, "path": str(tmp_path / "none.jpg")}})
    message = str(stopped(table))
    assert f"first in row 1 ({text})" in message
    assert f"first in row 4 ({tmp_path / 'none.jpg'})" in message


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_wrong_ending_is_fine(format, tmp_path):
    named = write(tmp_path / "a.jpg", picture(7, format))
    pairs = to_pairs(rows({0: {"bytes": None, "path": str(named)}}), DataArguments(), "training")
    assert pairs.report.found == {}
    assert abs(pairs.picture(0).getpixel((0, 0))[0] - 7) < 3


def test_no_picture_is_decoded(monkeypatch):
    table = rows({2: {"bytes": picture(2)[:45], "path": None}})
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert to_pairs(table, DataArguments(), "training").report.found == {}


def test_a_picture_that_does_not_decode_is_found_by_skip_alone():
    short = {"bytes": picture(2)[:45], "path": None}
    pairs = skipped(rows({2: short}))
    assert pairs.report.found == {"broken": [2]}
    assert len(pairs) == 4


@pytest.mark.parametrize("caption", ["", " ", "\t\n\u3000", None])
def test_an_empty_caption(caption):
    assert stopped(rows(captions={2: caption})).reports[0].found == {"empty": [2]}
    assert skipped(rows(captions={2: caption})).captions == [f"caption {k}" for k in (0, 1, 3, 4)]


@pytest.mark.parametrize("caption", ["😀", "👩‍🚀 🚀", "!?", "\u200b"])
def test_a_caption_of_emoji_only_is_used_and_counted(caption):
    pairs = to_pairs(rows(captions={2: caption}), DataArguments(), "training")
    assert pairs.captions[2] == caption
    assert pairs.report.found == {"wordless": [2]}
    assert pairs.report.bad == 0


@pytest.mark.parametrize(("words", "found"), [(10_000, {"cut": [2]}), (76, {"cut": [2]}), (75, {})])
def test_a_long_caption_is_used_and_counted(words, found):
    pairs = to_pairs(rows(captions={2: "a " * words}), DataArguments(), "training")
    assert len(pairs.captions[2].split()) == words
    assert pairs.report.found == found
    assert "cut by the tokenizer" in str(pairs.report) or not found


def test_a_long_caption_is_cut_by_the_collator(processor):
    from hf_noisy_itm.data import PairCollator

    pairs = to_pairs(rows(captions={2: "a picture " * 5000}), DataArguments(), "training")
    batch = PairCollator(processor, pairs, max_length=24)([pairs[2], pairs[3]])
    assert batch["input_ids"].shape == (2, 24)


def same(k):
    return {"bytes": picture(k), "path": None}


def test_an_image_id_with_another_picture():
    table = rows({1: same(0), 2: same(9)}, image_id=["a", "a", "a", "b", "c"])
    error = stopped(table)
    assert error.reports[0].found == {"other_picture": [2]}
    assert "image id with another picture" in str(error)
    pairs = skipped(table)
    assert pairs.captions == ["caption 0", "caption 1", "caption 3", "caption 4"]
    assert pairs.image_row.tolist() == [0, 0, 1, 2]


def test_an_image_id_at_several_paths(tmp_path):
    files = [write(tmp_path / name, picture(shade)) for name, shade in (("a", 1), ("copy of a", 1), ("b", 2))]
    cells = {k: {"bytes": None, "path": str(file)} for k, file in enumerate(files)}
    pairs = skipped(rows({**cells, 3: cells[0], 4: same(1)}, image_id=[7] * 5))
    assert pairs.report.found == {"other_picture": [2]}
    assert len(pairs.image_id) == 1


def test_the_first_good_picture_of_an_image_id_counts():
    pairs = skipped(rows({0: None, 1: same(5), 2: same(6)}, image_id=["a", "a", "a", "b", "c"]))
    assert pairs.report.found == {"missing": [0], "other_picture": [2]}
    assert pairs.captions == ["caption 1", "caption 3", "caption 4"]
    assert pairs.picture(0).getpixel((0, 0)) == (5, 5, 5)


def test_pictures_of_one_length_that_share_head_and_tail_are_told_apart():
    contents = [bytearray(picture(0) + bytes(1000)) for _ in range(3)]
    contents[1][len(contents[1]) // 2] = 1
    table = rows(
        {k: {"bytes": bytes(content), "path": None} for k, content in enumerate(contents)}, image_id=list("aaabc")
    )
    assert skipped(table).report.found == {"other_picture": [1]}


def test_what_is_kept_is_told_caption_by_caption():
    pictures = rows({3: None}).cast_column("image", datasets.Image(decode=False))
    captions, row_of = ["a", "", "b", "c", "d"], np.array([0, 0, 1, 3, 4])  # row 2 has none
    report, keep = check_rows(pictures, captions, row_of, np.arange(SIZE) + 100, "training")
    assert keep.tolist() == [True, False, True, False, True]
    assert report.found == {"empty": [102, 100], "missing": [103]}


def test_a_caption_id_with_another_text_and_one_repeated():
    table = rows(captions={1: "caption 0", 2: "other"}, caption_id=[5, 5, 5, 6, 7])
    assert stopped(table).reports[0].found == {"repeated": [1], "other_caption": [2]}
    pairs = skipped(table)
    assert pairs.captions == ["caption 0", "caption 0", "caption 3", "caption 4"]
    assert pairs.caption_id.tolist() == [5, 5, 6, 7]


def test_rows_are_named_as_they_are_numbered_in_the_file(tmp_path):
    table = rows({3: None}, kind=["x", "y", "y", "y", "y"]).add_column("image_id", ["0", "1", "2", "3", "4"])
    table.to_parquet(str(tmp_path / "a.parquet"))
    arguments = DataArguments(str(tmp_path / "a.parquet"), where="kind=y", holdout_every=2)
    with pytest.raises(BadRows, match="row 3"):
        load_pairs(arguments)


def test_one_table_for_both_splits_names_what_becomes_of_the_rows():
    training = RowReport("training", 20, "train", {"missing": [3, 9, 11, 12], "cut": [1]}, {}, 4, 16)
    evaluation = RowReport("evaluation", 5, "test", {"missing": [0]}, {}, 2, 4)
    lines = [line.split("  ") for line in table([training, evaluation]).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["rows", "training", "evaluation", "outcome", "first rows"],
        ["split", "train", "test"],
        ["rows", "20", "5"],
        ["pictures used", "4", "2"],
        ["captions used", "16", "4"],
        ["row(s) of a missing picture", "4", "1", "left out", "training 3, 9, 11; evaluation 0"],
        ["caption(s) of more than 75 words", "1", "0", "used, cut by the tokenizer", "training 1"],
    ]


def test_both_splits_are_reported_when_one_stops_the_run(tmp_path):
    folder = tmp_path / "saved"
    splits = {"train": rows({3: None}), "test": rows(captions={1: " "})}
    datasets.DatasetDict(splits).save_to_disk(folder)
    with pytest.raises(BadRows) as stop:
        load_pairs(DataArguments(str(folder)))
    found = [report.found for report in stop.value.reports]
    assert found == [{"missing": [3]}, {"empty": [1]}]
    assert "training rows, first in row 3, and 1 empty caption(s) among the evaluation rows" in str(stop.value)


def test_a_split_that_does_not_exist_is_told_of(tmp_path):
    rows().save_to_disk(tmp_path / "saved")
    train, held_out = load_pairs(DataArguments(str(tmp_path / "saved"), holdout_every=5))
    assert held_out.report.split == "every 5th picture of train (no test, no validation)"
    assert train.report.split == "train, less the other"
