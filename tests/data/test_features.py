import datasets
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import (
    BadRows,
    DataArguments,
    FeatureCollator,
    FeatureProcessor,
    FeatureRows,
    Labels,
    _feature_load,
    load_test,
)
from hf_noisy_itm.data import table as table_of
from hf_noisy_itm.noisy_set.make import NoisySetArguments, make_noisy_set

from .test_wikipedia import wikipedia

COLUMNS = {"feature_columns": "image_features,text_features", "label_column": "label"}


def arguments(tmp_path, train=12, test=9, **more):
    folder = wikipedia(tmp_path, train, test)
    own = {"dataset_config": "paper", "eval_split": "validation", "data_dir": str(folder), **COLUMNS}
    return DataArguments("wikipedia", **{**own, **more})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def parquet(tmp_path, **columns):
    table = {"a_features": [[float(row), 1.0] for row in range(6)], "sound": [[row] * 3 for row in range(6)]}
    table |= {"b_features": [[0.5 * row] for row in range(6)], "label": ["x", "y"] * 3} | columns
    for split in ("train", "test"):
        datasets.Dataset.from_dict(table).to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    return DataArguments(str(tmp_path / "data"), feature_columns="a_features,sound,b_features", label_column="label")


def test_vectors_and_labels_of_a_builder(tmp_path):
    args = arguments(tmp_path, test_split="test")
    train, held_out = load_pairs(args)
    assert train.facts == {"class_names": ["art", "warfare"], "feature_widths": {"image": 128, "text": 10}}
    assert train.features["image"].dtype == np.float32
    assert train.features["text"][5].tolist() == [5.25] * 10
    assert train.labels.given["image"].tolist() == [0, 1] * 6
    assert (len(train), len(held_out), len(load_test(args, train))) == (12, 3, 6)
    assert held_out.features["image"][0, 0] == 0.5
    assert train.told == "12 samples of image and text vectors in 2 classes"
    assert "captions" not in str(train.report)


def test_three_modalities_of_a_table(tmp_path):
    train, _ = load_pairs(parquet(tmp_path))
    assert {name: each.shape for name, each in train.features.items()} == {"a": (6, 2), "sound": (6, 3), "b": (6, 1)}
    assert train.labels.names == ["x", "y"]


def test_noise_is_drawn_for_each_modality_and_evaluation_is_clean(tmp_path):
    noise = {"noise_kind": "label_symmetric", "noise_rate": 0.5, "noise_keep_none": True}
    train, held_out = load_pairs(arguments(tmp_path, 40, **noise))
    wrong = train.labels.is_wrong
    assert [each.sum() for each in wrong.values()] == [20, 20]
    assert (wrong["image"] != wrong["text"]).any()
    assert (train.label_is_noisy == wrong["image"] | wrong["text"]).all()
    assert not held_out.is_noisy.any()
    joint, _ = load_pairs(arguments(tmp_path, 40, **noise, noise_joint=True))
    assert (joint.labels.given["image"] == joint.labels.given["text"]).all()
    assert joint.fingerprint != train.fingerprint


def test_a_noisy_set_of_the_same_words_has_the_labels_of_a_joint_draw(tmp_path):
    args = arguments(tmp_path, 40, feature_columns=None, label_column=None, eval_split=None)
    make_noisy_set(NoisySetArguments(str(tmp_path / "noisy"), "label_symmetric", 0.5, 7), args)
    stored = DataArguments(str(tmp_path / "noisy"), eval_split="validation", **COLUMNS)
    noise = {"noise_kind": "label_symmetric", "noise_rate": 0.5, "noise_seed": 7, "noise_joint": True}
    drawn, _ = load_pairs(arguments(tmp_path, 40, **noise))
    read, _ = load_pairs(stored)
    assert all((read.labels.given[name] == drawn.labels.given[name]).all() for name in ("image", "text"))
    assert all((read.labels.true[name] == drawn.labels.true[name]).all() for name in ("image", "text"))
    assert read.fingerprint == drawn.fingerprint
    assert read.pedigree["kind"] == "label_symmetric"


def test_the_collator_standardises_by_the_training_rows(tmp_path):
    train, held_out = load_pairs(arguments(tmp_path))
    processor = FeatureProcessor.of(train)
    batch = FeatureCollator(processor, held_out)([held_out[0], held_out[2]])
    spread = np.arange(12).std()
    wanted = [(0.5 - 6.0) / spread, (2.5 - 6.0) / spread]  # rows k hold k + 0.5; the training rows' mean is 6
    torch.testing.assert_close(batch["features"]["image"][:, 0], torch.tensor(wanted, dtype=torch.float32))
    assert {name: each.tolist() for name, each in batch["category"].items()} == {"image": [0, 0], "text": [0, 0]}
    assert batch["index"].tolist() == [0, 2]
    plain = FeatureCollator(FeatureProcessor.of(train, standardize=False), held_out)
    assert plain([held_out[2]])["features"]["text"].tolist() == [[2.25] * 10]
    with pytest.raises(InputError, match="of other data than this collator"):
        plain([train[0]])


def test_numbers_that_never_vary_are_centred(tmp_path):
    processor = FeatureProcessor.of(load_pairs(parquet(tmp_path))[0])
    assert processor("a", np.array([[2.5, 1.0]], dtype=np.float32)).tolist() == [[0.0, 0.0]]


def test_a_processor_comes_back_as_it_was_saved(tmp_path):
    train, _ = load_pairs(arguments(tmp_path))
    FeatureProcessor.of(train).save_pretrained(tmp_path / "model")
    again = FeatureProcessor.from_pretrained(tmp_path / "model")
    assert (
        again("image", train.features["image"]) == FeatureProcessor.of(train)("image", train.features["image"])
    ).all()
    with pytest.raises(InputError, match=r"lacks a whole feature_processor\.safetensors"):
        FeatureProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"deviation.text": None}, "lacks a whole feature_processor"),
        ({"mean.text": None}, "and nothing else; copy it there anew"),
        ({"mode.text": np.ones(2)}, "and nothing else"),
        ({"other": np.ones(2)}, "and nothing else"),
        ({"deviation.text": np.ones(3)}, "of one width"),
        ({"deviation.text": np.ones((1, 2))}, "of one width"),
        ({"deviation.text": np.array([1.0, 0.0])}, "a deviation above 0"),
        ({"deviation.text": np.array([1.0, np.nan])}, "a deviation above 0"),
    ],
)
def test_a_processor_of_something_else_is_refused(tmp_path, changed, sentence):
    tensors = {f"{part}.{name}": np.ones(2) for part in ("mean", "deviation") for name in ("image", "text")} | changed
    save_file(
        {name: tensor for name, tensor in tensors.items() if tensor is not None},
        tmp_path / "feature_processor.safetensors",
    )
    with pytest.raises(InputError, match=sentence):
        FeatureProcessor.from_pretrained(tmp_path)


def test_equal_vectors_are_embedded_once(tmp_path):
    args = parquet(tmp_path, a_features=[[1.0, 1.0], [2.0, 1.0]] * 3)
    train, _ = load_pairs(args)
    modality = FeatureCollator(FeatureProcessor.of(train), train).modalities()["a"]
    assert len(modality) == 2
    assert modality.place.tolist() == [0, 1] * 3
    assert modality.collate([1, 0])["features"][0, 0] > modality.collate([1, 0])["features"][1, 0]


def test_rows_that_are_not_finite_stop_the_run_or_are_skipped(tmp_path):
    args = parquet(tmp_path, a_features=[[1.0, 2.0], [float("nan"), 1.0], *[[1.0, float(row)] for row in range(4)]])
    with pytest.raises(BadRows, match="vectors that are not finite among the training rows, first in row 1"):
        load_pairs(args)
    args.on_bad_row = "skip"
    train, _ = load_pairs(args)
    assert (len(train), train.labels.given["a"].tolist()) == (5, [0, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("columns", "more", "sentence"),
    [
        ({}, {"feature_columns": "a_features"}, "two different modalities or more"),
        ({}, {"feature_columns": "a_features,a_features"}, "two different modalities or more"),
        ({}, {"feature_columns": "a_features,c_features"}, "no column 'c_features'; there are a_features, sound"),
        ({}, {"label_column": None}, "say with --label_column where that is"),
        (
            {"sound": [[1], [1, 2], *[[1]] * 4]},
            {},
            r"'sound' holds 2 numbers in row 1, .* one width, .* \(1 in row 0\)",
        ),
        (
            {"sound": [None, [1, 2], *[[1]] * 4]},
            {},
            r"'sound' holds 1 numbers in row 2, .* one width, .* \(2 in row 1\)",
        ),
        ({"sound": [[]] * 3 + [[1.0]] * 3}, {}, r"'sound' holds 0 numbers in row 0, .* 1 or more"),
        ({"sound": [1.0] * 6}, {}, "'sound' does not hold vectors of numbers but double: a vector is a list"),
        ({"sound": [["0.31"]] * 6}, {}, "'sound' does not hold vectors of numbers but list<.*string>"),
        ({"sound": [[True]] * 6}, {}, "'sound' does not hold vectors of numbers but list<.*bool>"),
        ({"sound": [None] * 6}, {}, "'sound' does not hold vectors of numbers but null"),
        ({"sound": [[[1.0, 2.0], [3.0, 4.0]]] * 6}, {}, "'sound' does not hold vectors of numbers but list<.*list<"),
        ({"label": [1.0, 2.0] * 3}, {}, "'label' holds floating-point numbers, and a class is an integer, a string"),
        ({}, {"match_by": "sound"}, "match_by is of pictures with captions, not of vectors: leave it out"),
        ({}, {"weight_column": "sound"}, "weight_column is of pictures with captions, not of vectors"),
        ({}, {"noise_rate": 0.2}, "Vectors have no captions to make wrong: noise_kind is one of label_symmetric"),
        ({"label": ["x"] * 6}, {}, None),
    ],
)
def test_columns_that_are_no_vectors_get_one_sentence(tmp_path, columns, more, sentence):
    args = parquet(tmp_path, **columns)
    for name, value in more.items():
        setattr(args, name, value)
    if sentence is None:
        assert load_pairs(args)[0].labels.names == ["x"]  # the method says that two are needed
        return
    with pytest.raises(InputError, match=sentence) as error:
        load_pairs(args)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("batch", [2, 3, 100])
@pytest.mark.parametrize("form", [None, datasets.List(datasets.Value("float16"), length=2)], ids=["list", "fixed"])
def test_rows_without_a_vector_or_a_label_stop_the_run_or_are_skipped(tmp_path, monkeypatch, batch, form):
    """Of nine rows four can be used, and each keeps what is its own, wherever the reading is cut."""
    monkeypatch.setattr(_feature_load, "_ROWS", batch)
    vectors = [[float(row), 1.0] for row in range(9)]
    vectors[0] = vectors[4] = None
    vectors[5] = [None, 1.0]
    table = {"a_features": vectors, "b_features": [[row] for row in range(9)]}
    table["b_features"][4] = table["b_features"][7] = None
    table["label"] = [*"xyxyxyxy", None]
    rows = datasets.Dataset.from_dict(table)
    rows = rows if form is None else rows.cast_column("a_features", form)
    for split in ("train", "test"):
        rows.to_parquet(str(tmp_path / "data" / f"{split}.parquet"))
    args = DataArguments(str(tmp_path / "data"), feature_columns="a_features,b_features", label_column="label")
    with pytest.raises(
        BadRows, match="3 row.s. of a missing vector among the training rows, first in row 0, and"
    ) as error:
        load_pairs(args)
    for told in (str(error.value), table_of(error.value.reports)):
        assert "missing label" in told
        assert "not finite" in told
    args.on_bad_row = "skip"
    train, _ = load_pairs(args)
    assert train.report.found == {"no_vector": [0, 4, 7], "not_finite": [5], "no_label": [8]}
    assert train.features["a"].tolist() == [[row, 1.0] for row in (1, 2, 3, 6)]
    assert train.features["b"].tolist() == [[row] for row in (1, 2, 3, 6)]
    assert [train.labels.names[number] for number in train.labels.given["b"]] == ["y", "x", "y", "x"]


def test_a_label_that_pandas_made_a_float_is_an_integer(tmp_path):
    args = parquet(tmp_path, label=[1.0, None, 2.0, 1.0, 2.0, 1.0])
    args.on_bad_row = "skip"
    train, _ = load_pairs(args)
    assert train.labels.names == ["1", "2"]
    assert train.labels.given["a"].tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("split", ["eval", "test"])
def test_vectors_of_other_widths_are_refused_when_they_are_loaded(tmp_path, split):
    args = parquet(tmp_path)
    for name, width in (("validation", 2 if split == "eval" else 3), ("test", 3 if split == "eval" else 2)):
        table = {"a_features": [[1.0, 2.0]], "sound": [[1] * width], "b_features": [[1.0]], "label": ["x"]}
        datasets.Dataset.from_dict(
            {each: cells * 6 for each, cells in table.items()} | {"label": ["x", "y"] * 3}
        ).to_parquet(str(tmp_path / "data" / f"{name}.parquet"))
    args.eval_split, args.test_split = "validation", "test"
    name = {"eval": "validation", "test": "test"}[split]
    with pytest.raises(
        InputError, match=f"The vectors of the split '{name}' are of widths .*'sound': 2.* 'train' of .*3"
    ):
        load_test(args, load_pairs(args)[0])


def test_statistics_are_those_of_double_precision_to_the_last_bit():
    features = np.random.default_rng(0).normal(3, 2, (1000, 21)).astype(np.float32)
    labels = dict.fromkeys("xy", np.zeros(1000, dtype=int))
    processor = FeatureProcessor.of(FeatureRows({"x": features, "y": features[:, :1]}, Labels(["a"], labels, labels)))
    exact = features.astype(np.float64)
    assert (processor.mean["x"] == exact.mean(axis=0).astype(np.float32)).all()
    assert (processor.deviation["x"] == exact.std(axis=0).astype(np.float32)).all()


def test_rows_must_agree():
    labels = Labels(["a"], {"x": np.zeros(3, dtype=int), "y": np.zeros(3, dtype=int)}, {})
    with pytest.raises(ValueError, match="equally many"):
        FeatureRows({"x": np.zeros((3, 2)), "y": np.zeros((2, 2))}, labels)
