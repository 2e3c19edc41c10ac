"""recipes/make_noise.py on labels: features without pictures, pictures without captions, in memory and as a stream."""

import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import BadRows, DataArguments, load_pairs
from hf_noisy_itm.functional.noise import LABEL_KINDS, draw_label_noise
from hf_noisy_itm.noisy_set import told

from ..data.test_load import shade
from ..data.test_wikipedia import wikipedia
from .test_make import hashes, make


def split_of(folder, split="train"):
    loaded = datasets.load_dataset(str(folder), split=split)
    return loaded.cast_column("image", datasets.Image(decode=False)) if "image" in loaded.column_names else loaded


def pictures(size, label=lambda k: k % 3, feature=None, **columns):
    table = {"image": [shade(k % 250) for k in range(size)], "label": [label(k) for k in range(size)]}
    rows = datasets.Dataset.from_dict(table | {name: [cell(k) for k in range(size)] for name, cell in columns.items()})
    rows = rows.cast_column("image", datasets.Image())
    return rows.cast_column("label", feature) if feature else rows


def saved(tmp_path, name="source", **splits):
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / name))
    return str(tmp_path / name)


CLASSES = datasets.ClassLabel(names=["cat", "dog", "owl"])


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_the_labels_of_wikipedia(tmp_path, kind):
    words = ["--data_dir", str(wikipedia(tmp_path, train=60)), "--seed", "3"]
    for name in ("one", "two"):
        content, made = make("wikipedia", tmp_path / name, *words, kind=kind, rate="0.5")
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert not make("wikipedia", tmp_path / "one", *words, kind=kind, rate="0.5")[1]
    noise = draw_label_noise(kind, 0.5, 3, np.arange(60) % 2, 2)
    rows = split_of(tmp_path / "one")
    assert rows["label"][:] == noise.labels.tolist()
    assert rows["true_label"][:] == [k % 2 for k in range(60)]
    assert rows["label_is_noisy"][:] == noise.is_noisy.tolist()
    assert rows.features["label"] == rows.features["true_label"] == datasets.ClassLabel(names=["art", "warfare"])
    assert rows[7]["image_features"] == [7.5] * 128
    assert rows[7]["text_id"] == "train-text-7"
    test = split_of(tmp_path / "one", "test")
    assert test["label"][:] == test["true_label"][:] == [k % 2 for k in range(6)]
    assert not any(test["label_is_noisy"])
    assert content["evaluation"] == {"test": {"of": "test", "rows": 6}}
    pedigree = {"kind": kind, "nominal": 0.5, "realised": noise.realised, "seed": 3, "family": None, "labels": 60}
    pedigree |= {"classes": 2, "sha256": noise.sha256} | ({} if kind == "label_asymmetric" else {"keep_none": False})
    assert content["pedigree"] == pedigree
    assert [rate["count"] for rate in content["rates"]] == [60, noise.is_noisy.sum()]
    card = (tmp_path / "one" / "README.md").read_text()
    assert f"SHA-256 `{noise.sha256}`" in card
    assert "Rows with class labels of which a known part is wrong on purpose" in card
    assert "noisy-labels" in card
    first = int(np.flatnonzero(noise.is_noisy)[0])
    names = ["art", "warfare"]
    assert f"| {first} | {names[first % 2]} | {names[noise.labels[first]]} |" in card
    assert "train.py" not in card


@pytest.mark.parametrize("keep_none", ["false", "true"])
def test_a_stream_gives_the_rows_that_memory_gives(tmp_path, keep_none):
    source = saved(tmp_path, train=pictures(150, feature=CLASSES), val=pictures(5, feature=CLASSES))
    words = (
        ["--keep_none", keep_none, "--where", "label=1"] if keep_none == "true" else ["--max_train_pictures", "140"]
    )
    contents = [
        make(source, tmp_path / f"out_{streaming}", "--streaming", streaming, *words, kind="label_symmetric_by_row")[0]
        for streaming in ("false", "true")
    ]
    assert contents[0] | {"arguments": []} == contents[1] | {"arguments": []}
    assert list(contents[0]["evaluation"]) == ["validation"]
    for split in ("train", "validation"):
        memory, stream = (split_of(tmp_path / f"out_{streaming}", split) for streaming in ("false", "true"))
        assert memory.to_list() == stream.to_list()
        assert memory.features == stream.features
    assert not make(source, tmp_path / "out_true", "--streaming", "true", *words, kind="label_symmetric_by_row")[1]


@pytest.mark.parametrize("label", [lambda k: 10 * (k % 3), lambda k: "abc"[k % 3]])
def test_labels_of_any_form_keep_it(tmp_path, label):
    source = saved(tmp_path, train=pictures(40, label), test=pictures(9, label))
    make(source, tmp_path / "noisy", "--keep_none", "true", kind="label_symmetric", rate="1")
    rows = split_of(tmp_path / "noisy")
    values = [label(k) for k in range(3)]
    noise = draw_label_noise("label_symmetric", 1.0, 0, np.arange(40) % 3, 3, exclude_true=True)
    assert rows["label"][:] == [values[k] for k in noise.labels]
    assert rows["true_label"][:] == [values[k % 3] for k in range(40)]
    assert all(rows["label_is_noisy"])
    assert rows[5]["image"]["bytes"] == shade(5)["bytes"]


def test_noise_on_noise_keeps_the_true_labels(tmp_path):
    source = saved(tmp_path, train=pictures(60, feature=CLASSES))
    first, _ = make(source, tmp_path / "once", kind="label_symmetric", rate="0.5")
    second, _ = make(str(tmp_path / "once"), tmp_path / "twice", kind="label_asymmetric", rate="0.5")
    rows = split_of(tmp_path / "twice")
    assert second["pedigree"]["before"] == first["pedigree"]
    assert rows["true_label"][:] == [k % 3 for k in range(60)]
    assert rows["label_is_noisy"][:] == [a != b for a, b in zip(rows["label"], rows["true_label"])]
    assert rows["label"][:] != split_of(tmp_path / "once")["label"][:]
    assert second["rates"][1]["count"] == sum(rows["label_is_noisy"])


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_bad_pictures_stop_or_are_left_out(tmp_path, streaming, capsys):
    table = pictures(9, feature=CLASSES).cast_column("image", datasets.Image(decode=False)).to_list()
    table[4]["image"] = {"bytes": b"text", "path": None}
    rows = datasets.Dataset.from_list(table).cast_column("label", CLASSES).cast_column("image", datasets.Image())
    source = saved(tmp_path, train=rows)
    words = ["--streaming", streaming]
    with pytest.raises(BadRows, match="file that is no image among the training rows, first in row 4"):
        make(source, tmp_path / "noisy", *words, kind="label_symmetric_by_row")
    content, _ = make(source, tmp_path / "noisy", *words, "--on_bad_row", "skip", kind="label_symmetric_by_row")
    assert "a file that is no image" in capsys.readouterr().out
    assert content["pedigree"]["labels"] == 8
    noise = draw_label_noise("label_symmetric_by_row", 0.4, 0, np.delete(np.arange(9) % 3, 4), 3)
    assert split_of(tmp_path / "noisy")["label"][:] == noise.labels.tolist()


@pytest.mark.parametrize("streaming", ["false", "true"])
@pytest.mark.parametrize("column", ["label", "true_label"])
def test_rows_without_a_label_stop_or_are_left_out(tmp_path, streaming, column, capsys):
    cells = [None if k == 4 else k % 3 for k in range(9)]
    rows = {"label": [k % 3 for k in range(9)], "true_label": [k % 3 for k in range(9)], "x": list(range(9))}
    rows = datasets.Dataset.from_dict(rows | {column: cells}).cast_column("label", CLASSES)
    source = saved(tmp_path, train=rows.cast_column("true_label", CLASSES), test=rows.select([0, 1, 4]))
    words = ["--streaming", streaming]
    with pytest.raises(BadRows, match="of a missing label among the training rows, first in row 4"):
        make(source, tmp_path / "noisy", *words, kind="label_symmetric_by_row")
    make(source, tmp_path / "noisy", *words, "--on_bad_row", "skip", kind="label_symmetric_by_row")
    told = capsys.readouterr().out
    assert "row(s) of a missing label" in told
    assert "pictures used" not in told
    noise = draw_label_noise("label_symmetric_by_row", 0.4, 0, np.delete(np.arange(9) % 3, 4), 3)
    made = split_of(tmp_path / "noisy")
    assert made["label"][:] == noise.labels.tolist()
    assert made["x"][:] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert split_of(tmp_path / "noisy", "test")["x"][:] == [0, 1]


@pytest.mark.parametrize(
    ("rows", "words", "sentence"),
    [
        (
            pictures(5, lambda k: None if k == 3 else k),
            (),
            r"There are 1 row\(s\) of a missing label among the training rows, first in row 3; mend them",
        ),
        (pictures(5, lambda k: [k]), (), "'label' holds no classes: integers, strings or a ClassLabel"),
        (pictures(5, lambda k: k / 2 + 0.1), (), "'label' holds no classes"),
        (pictures(5, lambda k: float(k)), (), "'label' holds floating-point numbers, and a class is an integer"),
        (pictures(5, lambda k: -1 if k == 2 else 0, CLASSES), (), "'label' holds -1 in row 2, which is none"),
        (pictures(5).rename_column("label", "kind"), (), "There is no column 'label'; there are image, kind"),
        (pictures(5), ("--streaming", "true"), "depends on all rows, which a stream does not know"),
        (pictures(5, lambda k: 0), ("--keep_none", "true"), "at least 2 classes to draw from, got 1"),
        (pictures(5), ("--kind", "label_symmetric_by_row", "--streaming", "true"), "'label' is no ClassLabel: leave"),
        (pictures(5), ("--kind", "label_asymmetric", "--keep_none", "true"), "keep_none is for --kind shuffle, "),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, rows, words, sentence):
    source = saved(tmp_path, train=rows)
    with pytest.raises(InputError, match=sentence) as error:
        make(source, tmp_path / "noisy", *words, kind="label_symmetric")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_wrong_labels_are_not_copied_as_clean(tmp_path, streaming):
    rows = pictures(5, feature=CLASSES, true_label=lambda k: 0)
    source = saved(tmp_path, train=rows, test=rows)
    with pytest.raises(InputError, match="only clean ones are copied"):
        make(source, tmp_path / "noisy", "--streaming", streaming, kind="label_symmetric_by_row")


CAPTIONED = {"caption": lambda k: f"picture {k}", "image_id": lambda k: k}


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_rows_with_captions_and_labels_keep_their_columns_alone(tmp_path, streaming):
    source = saved(tmp_path, train=pictures(40, feature=CLASSES, **CAPTIONED))
    words = ["--streaming", streaming]
    make(source, tmp_path / "once", *words, kind="label_symmetric_by_row", rate="0.5")
    rows = split_of(tmp_path / "once")
    assert rows.column_names == ["image", "label", "caption", "image_id", "true_label", "label_is_noisy"]
    train, held_out = load_pairs(DataArguments(str(tmp_path / "once")))
    assert (len(train), len(held_out)) == (36, 4)
    make(str(tmp_path / "once"), tmp_path / "twice", *words, kind="label_symmetric_by_row")
    assert split_of(tmp_path / "twice").column_names == rows.column_names


def test_what_is_said_of_captions_is_not_of_labels_and_the_other_way_round(tmp_path):
    """`is_noisy` is of captions, `label_is_noisy` of labels: each draw counts, and changes, its own."""
    wrong = [2, 5, 9]
    columns = {**CAPTIONED, "is_noisy": lambda k: k in wrong}
    source = saved(tmp_path, train=pictures(20, feature=CLASSES, **columns))
    for streaming, kind in (("false", "label_asymmetric"), ("true", "label_symmetric_by_row")):
        none, _ = make(source, tmp_path / f"none_{kind}", "--streaming", streaming, kind=kind, rate="0")
        assert none["rates"][1] == {"what": "wrong labels", "count": 0, "share": 0.0}
    content, _ = make(source, tmp_path / "labels", kind="label_symmetric", rate="0.5")
    rows = split_of(tmp_path / "labels")
    assert np.flatnonzero(rows["is_noisy"][:]).tolist() == wrong
    assert rows["label_is_noisy"][:] == [a != b for a, b in zip(rows["label"], rows["true_label"])]
    assert content["rates"][1]["count"] == sum(rows["label_is_noisy"]) > 0
    train, _ = load_pairs(DataArguments(str(tmp_path / "labels")))
    assert train.pedigree is None  # nothing was done to the captions on purpose
    assert train.is_noisy.sum() == 2  # row 9 is held out, and not evaluated on
    shuffled, _ = make(str(tmp_path / "labels"), tmp_path / "captions", rate="0")
    assert shuffled["rates"][1]["count"] == 3
    assert "before" not in shuffled["pedigree"]


def test_noise_on_labels_over_noise_on_captions_keeps_both(tmp_path):
    source = saved(tmp_path, train=pictures(40, feature=CLASSES, **CAPTIONED))
    captions, _ = make(source, tmp_path / "captions", rate="0.5")
    rows = split_of(tmp_path / "captions")
    rows = rows.add_column("label", [k % 3 for k in range(40)]).cast_column("image", datasets.Image())
    rows.to_parquet(str(tmp_path / "both.parquet"))
    both, _ = make(str(tmp_path / "both.parquet"), tmp_path / "both", kind="label_symmetric", rate="0.5")
    train, held_out = load_pairs(DataArguments(str(tmp_path / "both")))
    assert train.is_noisy.sum() == np.delete(rows["is_noisy"][:], np.arange(9, 40, 10)).sum()
    assert not held_out.is_noisy.any()
    assert both["pedigree"]["labels"] == 40


def several_rows(tmp_path, pictures_of=12, each=3, label=lambda k: k % 3):
    """Every picture in several rows that lie apart, each with a caption of its own."""
    of = [k % pictures_of for k in range(pictures_of * each)]
    table = {"image": [shade(k) for k in of], "caption": [f"picture {k}, {row}" for row, k in enumerate(of)]}
    table |= {"image_id": [f"id{k}" for k in of], "label": [label(k) for k in of]}
    rows = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image()).cast_column("label", CLASSES)
    return saved(tmp_path, train=rows, test=pictures(6, feature=CLASSES, **CAPTIONED))


@pytest.mark.parametrize(
    ("kind", "streaming"), [*((kind, "false") for kind in LABEL_KINDS), (LABEL_KINDS[-1], "true")]
)
def test_rows_of_one_picture_have_one_draw_which_is_that_of_training(tmp_path, kind, streaming):
    source = several_rows(tmp_path)
    content, _ = make(source, tmp_path / "noisy", "--streaming", streaming, "--seed", "5", kind=kind, rate="0.5")
    read, _ = load_pairs(DataArguments(str(tmp_path / "noisy"), label_column="label"))
    noise = {"noise_kind": kind, "noise_rate": 0.5, "noise_seed": 5, "noise_joint": True}
    drawn, _ = load_pairs(DataArguments(source, label_column="label", **noise))
    for name in ("image", "text"):
        assert (read.labels.given[name] == drawn.labels.given[name]).all()
        assert (read.labels.true[name] == drawn.labels.true[name]).all()
    assert read.labels.is_wrong["image"].any()
    wanted = draw_label_noise(kind, 0.5, 5, np.arange(12) % 3, 3).labels
    assert split_of(tmp_path / "noisy")["label"][:] == [*wanted] * 3
    pedigree = content["pedigree"]
    assert (pedigree["labels"], pedigree["pictures"]) == (36, 12)
    assert pedigree["realised"] == drawn.pedigree["by_modality"]["image"]


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_rows_of_one_picture_have_one_class(tmp_path, streaming):
    rows = pictures(6, feature=CLASSES, image_id=lambda k: None if k < 2 else k // 4)
    source = saved(tmp_path, train=rows)
    with pytest.raises(InputError, match="Rows 2 and 3 are of one picture, but of the classes 'owl' and 'cat'"):
        make(source, tmp_path / "noisy", "--streaming", streaming, kind="label_symmetric_by_row")


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_options_that_labels_have_no_use_for_are_refused(tmp_path, streaming):
    source = saved(tmp_path, train=pictures(9, feature=CLASSES, **CAPTIONED))
    for name, sentence in (
        ("match_by", "match_by does nothing for label_symmetric_by_row: leave it out"),
        ("caption_column", "caption_column does nothing"),
        ("image_id_column", "image_id_column does nothing"),
        ("image_column", "There is no column 'other'; there are image, label, caption, image_id."),
    ):
        words = ["--streaming", streaming, f"--{name}", "other"]
        with pytest.raises(InputError, match=sentence):
            make(source, tmp_path / "noisy", *words, kind="label_symmetric_by_row")


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_labels_alone_are_told_the_kinds_for_labels(tmp_path, streaming):
    kind = "truncated" if streaming == "true" else "shuffle"
    source = saved(tmp_path, train=pictures(9, feature=CLASSES))
    sentence = r"labels but no captions \(columns: image, label\): take one of --kind label_symmetric, "
    with pytest.raises(InputError, match=sentence):
        make(source, tmp_path / "noisy", "--streaming", streaming, kind=kind)
    words = ["--data_dir", str(wikipedia(tmp_path, train=6)), "--streaming", streaming]
    with pytest.raises(InputError, match="wikipedia has labels but no images .*: take one of --kind label_symmetric"):
        make("wikipedia", tmp_path / "noisy", *words, kind=kind)


def test_missing_labels_name_the_columns_of_the_data_alone(tmp_path):
    source = saved(tmp_path, train=pictures(5, **CAPTIONED).remove_columns("label"))
    with pytest.raises(InputError, match="There is no column 'label'; there are image, caption, image_id.$"):
        make(source, tmp_path / "noisy", kind="label_symmetric")


def test_one_class_cannot_be_wrong_and_a_warning_says_so(tmp_path):
    source = saved(tmp_path, train=pictures(20, lambda k: 0, datasets.ClassLabel(names=["cat"])))
    content, made = make(source, tmp_path / "one", kind="label_symmetric", rate="1")
    assert "warning: Noise of the kind label_symmetric at rate 1.0 made 0.00% of the labels wrong" in told(
        content, "one", made
    )
    source = saved(tmp_path, "three", train=pictures(40, feature=CLASSES))
    content, made = make(source, tmp_path / "some", kind="label_symmetric", rate="0.5")
    assert "warning" not in told(content, "some", made)
