import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import DataArguments, PairCollator, load_test
from hf_noisy_itm.data._noise import add_drawn
from hf_noisy_itm.data.scenes import draw_row

KINDS = ["red", "green", "blue"]


def rows_of(count, start=0, **columns):
    rows = [
        {name: draw_row("street", (0, 1, 0), start + row)[name] for name in ("image", "captions", "image_id")}
        for row in range(count)
    ]
    table = {name: [row[name] for row in rows] for name in rows[0]} | columns
    return datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures of three classes to train on, six to evaluate and six to report on; and labels of captions."""
    for split, count in (("train", 12), ("validation", 6), ("test", 6)):
        label = [KINDS[row % 3] for row in range(count)]
        words = [
            KINDS[(row + (row == 0)) % 3] for row in range(count)
        ]  # the first row's captions are of another class
        rows_of(count, label=label, words_label=words).to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    return tmp_path / "data"


def arguments(folder, **more):
    return DataArguments(str(folder), **{"label_column": "label", "eval_split": "validation", **more})


def test_labels_of_pictures_and_captions(folder):
    train, held_out = load_pairs(arguments(folder))
    assert train.labels.names == sorted(KINDS)
    given = [train.labels.names[number] for number in train.labels.given["image"]]
    assert given == [KINDS[row % 3] for row in range(12)]
    assert (train.labels.given["text"] == np.repeat(train.labels.given["image"], 5)).all()
    assert train.facts == {"class_names": sorted(KINDS)}
    assert len(held_out.labels.given["image"]) == 6
    assert not train.is_noisy.any()
    assert load_pairs(arguments(folder, label_column=None))[0].fingerprint != train.fingerprint


def test_a_column_for_each_modality(folder):
    train, _ = load_pairs(arguments(folder, label_column="label,words_label"))
    differ = train.labels.given["text"] != train.labels.given["image"][train.image_row]
    assert np.flatnonzero(differ).tolist() == list(range(5))


def test_the_batch_holds_given_labels_and_nothing_of_the_true_ones(folder, processor):
    train, _ = load_pairs(
        arguments(folder, noise_kind="label_symmetric", noise_rate=0.5, noise_keep_none=True, noise_seed=3)
    )
    batch = PairCollator(processor, train)([train[row] for row in (0, 7, 59)])
    assert batch["category"]["image"].tolist() == train.labels.given["image"][[0, 1, 11]].tolist()
    assert batch["category"]["text"].tolist() == train.labels.given["text"][[0, 7, 59]].tolist()
    assert set(batch) == {"pixel_values", "input_ids", "attention_mask", "index", "image_id", "category"}


def test_label_noise_is_exact_in_each_modality_and_has_a_pedigree(folder):
    clean, _ = load_pairs(arguments(folder))
    noise = {"noise_kind": "label_symmetric", "noise_rate": 0.5, "noise_keep_none": True, "noise_seed": 3}
    noisy, held_out = load_pairs(arguments(folder, **noise))
    assert {name: wrong.sum() for name, wrong in noisy.labels.is_wrong.items()} == {"image": 6, "text": 30}
    assert all((noisy.labels.true[name] == clean.labels.given[name]).all() for name in ("image", "text"))
    assert noisy.captions == clean.captions
    wrong = noisy.labels.is_wrong
    assert (noisy.label_is_noisy == (wrong["image"][noisy.image_row] | wrong["text"])).all()
    assert not noisy.is_noisy.any()  # which is of captions
    assert "noisy" not in noisy.report.found
    assert noisy.pedigree["by_modality"] == {"image": 0.5, "text": 0.5}
    assert (noisy.pedigree["kind"], noisy.pedigree["realised"], noisy.pedigree["labels"]) == (
        "label_symmetric",
        0.5,
        72,
    )
    assert noisy.fingerprint != clean.fingerprint
    assert not held_out.label_is_noisy.any()
    again, _ = load_pairs(arguments(folder, **noise))
    assert again.fingerprint == noisy.fingerprint
    assert again.pedigree == noisy.pedigree


def test_a_joint_draw_gives_captions_the_label_of_their_picture(folder):
    noise = {"noise_kind": "label_symmetric", "noise_rate": 0.5, "noise_joint": True}
    noisy, _ = load_pairs(arguments(folder, **noise))
    assert (noisy.labels.given["text"] == noisy.labels.given["image"][noisy.image_row]).all()
    with pytest.raises(InputError, match="noise_joint is for one label per row, but those of image and text differ"):
        load_pairs(arguments(folder, label_column="label,words_label", **noise))


@pytest.mark.parametrize("kind", ["label_asymmetric", "label_symmetric_by_row"])
def test_the_other_kinds(folder, kind):
    noisy, _ = load_pairs(arguments(folder, noise_kind=kind, noise_rate=0.5))
    assert 0 < noisy.labels.is_wrong["text"].mean() < 1
    assert ("keep_none" in noisy.pedigree) == (kind != "label_asymmetric")


def test_labels_of_captions_move_with_them(folder):
    train, _ = load_pairs(arguments(folder))
    moved = add_drawn(train, "shuffle", 0.5, 0)
    assert (moved.labels.given["text"] == train.labels.given["text"][moved.caption_id]).all()
    assert (moved.labels.given["image"] == train.labels.given["image"]).all()
    assert not any(wrong.any() for wrong in moved.labels.is_wrong.values())  # true of the caption, wherever it stands
    some = moved.keep_captions(np.arange(3, 60, 4)).keep_pictures(np.array([1, 2, 5]))
    owner = [moved.caption_id.tolist().index(number) for number in some.caption_id]
    assert (some.labels.given["text"] == moved.labels.given["text"][owner]).all()
    assert some.labels.given["image"].tolist() == train.labels.given["image"][some.row].tolist()


def test_what_a_noisy_set_says_of_true_labels_is_believed(folder):
    true = [KINDS[row % 3] for row in range(12)]
    given = [KINDS[0], *true[1:]]
    given[4] = KINDS[0]
    noisy = [one != other for one, other in zip(given, true)]
    rows_of(12, label=given, true_label=true, label_is_noisy=noisy).to_parquet(str(folder / "train.parquet"))
    for split in ("validation", "test"):
        labels = [KINDS[row % 3] for row in range(6)]
        rows_of(6, label=labels, true_label=labels, label_is_noisy=[False] * 6).to_parquet(
            str(folder / f"{split}.parquet")
        )
    train, _ = load_pairs(arguments(folder))
    assert np.flatnonzero(train.labels.is_wrong["image"]).tolist() == [4]
    assert np.flatnonzero(train.label_is_noisy).tolist() == list(range(20, 25))
    assert not train.is_noisy.any()  # the label is wrong, the caption is not
    wrong = datasets.Dataset.from_parquet(str(folder / "train.parquet"))
    wrong.to_parquet(str(folder / "validation.parquet"))
    held_out = load_pairs(arguments(folder))[1]  # true labels are evaluated on, and no row is left out
    assert [held_out.labels.names[number] for number in held_out.labels.given["image"]] == true


def test_the_test_split_is_read_apart(folder):
    args = arguments(folder, test_split="test", noise_kind="label_symmetric", noise_rate=0.5)
    train, _ = load_pairs(args)
    test = load_test(args, train)
    assert len(test.image_id) == 6
    assert not test.label_is_noisy.any()
    assert test.report.split == "test"
    assert load_test(arguments(folder), train) is None
    assert load_pairs(arguments(folder, eval_split=None, test_split="test"))[1].report.split == "validation"


ASYMMETRIC = {"noise_kind": "label_asymmetric", "noise_rate": 0.1, "noise_keep_none": True}


@pytest.mark.parametrize(
    ("columns", "more", "sentence"),
    [
        ({"label": [["red", "blue"], *[["red"]] * 11]}, {}, "holds several labels in row 0: .* one class"),
        (
            {"label": ["red", None, *KINDS, *KINDS, *KINDS, "red"]},
            {},
            "1 row.s. of a missing label among the training rows, first in row 1",
        ),
        ({"label": [0.5] * 12}, {}, "holds no classes"),
        ({"other": [0] * 12}, {}, "no column 'label'; there are image"),
        (
            {"label": KINDS * 4, "words_label": ["red", "green", "violet"] * 4},
            {"label_column": "label,words_label"},
            "The column 'label' and the column 'words_label' have other classes: 'blue' in the column 'label' alone "
            "and 'violet' in the column 'words_label' alone",
        ),
        ({"label": KINDS * 4}, {"label_column": "label,label,label"}, "names 3 columns for 2 modalities"),
        ({"label": KINDS * 4}, {"test_split": "validation"}, "serves for something else"),
        ({"label": KINDS * 4}, {"test_split": "tset"}, "has no split 'tset'"),
        ({"label": KINDS * 4}, {"label_column": None, "noise_kind": "label_symmetric"}, "say with --label_column"),
        ({"label": KINDS * 4}, {"noise_joint": True}, "noise_joint is for noise on labels"),
        ({"label": KINDS * 4}, ASYMMETRIC, "exclude_true is for symmetric noise"),
        ({"label": KINDS * 4, "image_id": [0] * 12}, {}, "Rows 0 and 1 are of one picture"),
    ],
)
def test_labels_that_do_not_fit_get_one_sentence(tmp_path, columns, more, sentence):
    rows = rows_of(12)
    table = {name: rows.with_format("arrow")[:][name].to_pylist() for name in rows.column_names} | columns
    table["image"] = table["image"][:1] * 12 if "image_id" in columns else table["image"]
    for split in ("train", "validation"):
        whole = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
        whole.to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    with pytest.raises(InputError, match=sentence) as error:
        load_pairs(arguments(tmp_path / "data", **more))
    assert "\n" not in str(error.value)


def test_pairs_without_a_label_are_skipped(tmp_path):
    labels = [*KINDS[:1], None, *KINDS, *KINDS, *KINDS, ""]
    for split in ("train", "validation"):
        rows_of(12, label=labels).to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    train, held_out = load_pairs(arguments(tmp_path / "data", on_bad_row="skip"))
    assert train.report.found == held_out.report.found == {"no_label": [1, 11]}
    assert (len(train.image_id), len(train)) == (10, 50)
    assert [train.labels.names[number] for number in train.labels.given["image"]] == ["red", *KINDS, *KINDS, *KINDS]


def test_splits_of_other_classes_are_refused(folder):
    words = [KINDS[0], KINDS[1]] * 6
    rows_of(12, label=words, words_label=words).to_parquet(str(folder / "train.parquet"))
    with pytest.raises(InputError, match="'train' and the split 'validation' have other classes: 'blue' in the split"):
        load_pairs(arguments(folder))


def test_rows_that_are_held_out_have_the_classes_of_their_split(tmp_path):
    """Every tenth picture is held out, the only blue one among them; true labels count where noise left no other."""
    given, true = ["red", "green"] * 10, ["red", "green"] * 10
    given[9] = true[9] = true[0] = "blue"
    true[1] = "violet"
    rows_of(20, label=given, true_label=true).to_parquet(str(tmp_path / "data" / "train.parquet"))
    train, held_out = load_pairs(arguments(tmp_path / "data", eval_split=None))
    assert train.labels.names == held_out.labels.names == ["blue", "green", "red", "violet"]
    assert [held_out.labels.names[number] for number in held_out.labels.given["image"]] == ["blue", "green"]
    assert np.flatnonzero(train.labels.is_wrong["image"]).tolist() == [0, 1]


def test_a_draw_that_makes_few_labels_wrong_says_so(folder, caplog):
    load_pairs(arguments(folder, noise_kind="label_symmetric_by_row", noise_rate=0.5))
    assert not caplog.messages
    load_pairs(arguments(folder, noise_kind="label_symmetric_by_row", noise_rate=0.001))
    assert "at rate 0.001 made 0.00% of the labels wrong" in caplog.text


def test_classes_that_are_declared_need_not_all_occur(tmp_path):
    declared = datasets.ClassLabel(names=[*KINDS, "violet"])
    for split, count in (("train", 12), ("validation", 3)):
        rows = rows_of(count, label=[row % 3 for row in range(count)]).cast_column("label", declared)
        rows.to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    assert load_pairs(arguments(tmp_path / "data"))[0].labels.names == [*KINDS, "violet"]


def test_a_stream_has_no_labels(folder):
    from hf_noisy_itm.data import load_stream

    with pytest.raises(InputError, match="label_column is for data that are read at once"):
        load_stream(arguments(folder, streaming=True))
