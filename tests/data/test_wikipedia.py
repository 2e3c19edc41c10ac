import datasets
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import DataArguments, Wikipedia

from .local_copies import build, write

WIDTHS = {"I": 128, "T": 10}


def wikipedia(tmp_path, train=4, test=6, **arrays):
    """Row k of a split has features k + 0.5 and k + 0.25, and the category (k modulo 2) + 1."""
    folder = tmp_path / "wikipedia"
    write(folder / "categories.list", "art\nwarfare\n")
    for part, name, size in (("tr", "train", train), ("te", "test", test)):
        lines = [f"{name}-text-{k}\t{name}-image-{k}\t{k % 2 + 1}\n" for k in range(size)]
        write(folder / f"{name}set_txt_img_cat.list", "".join(lines))
        for modality, extra in (("I", 0.5), ("T", 0.25)):
            values = np.repeat(np.arange(size)[:, None] + extra, WIDTHS[modality], axis=1)
            arrays.setdefault(f"{modality}_{part}", values)
    scipy.io.savemat(folder / "raw_features.mat", arrays)
    return folder


@pytest.mark.parametrize(
    ("config", "sizes"),
    [("original", {"train": 4, "test": 6}), ("paper", {"train": 4, "validation": 2, "test": 4}), (None, None)],
)
def test_the_splits(tmp_path, config, sizes):
    splits = build(Wikipedia, wikipedia(tmp_path), tmp_path, config_name=config)
    assert {name: len(rows) for name, rows in splits.items()} == (sizes or {"train": 4, "test": 6})
    texts = [text for name in splits if name != "train" for text in splits[name]["text_id"]]
    assert texts == [f"test-text-{k}" for k in range(6)]  # the first third validates


def test_a_byte_order_mark_is_no_text(tmp_path):
    folder = wikipedia(tmp_path)
    for file in folder.glob("*.list"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    train = build(Wikipedia, folder, tmp_path)["train"]
    assert train.features["label"].names == ["art", "warfare"]
    assert train[0]["text_id"] == "train-text-0"


def test_a_row(tmp_path):
    train = build(Wikipedia, wikipedia(tmp_path), tmp_path)["train"]
    assert train[1] == {
        "image_features": [1.5] * 128,
        "text_features": [1.25] * 10,
        "label": 1,
        "text_id": "train-text-1",
        "image_id": "train-image-1",
    }
    assert train.features["label"].names == ["art", "warfare"]
    assert train.features["image_features"] == datasets.List(datasets.Value("float32"), length=128)


def test_features_that_change_are_read_anew(tmp_path):
    folder = wikipedia(tmp_path)
    build(Wikipedia, folder, tmp_path)
    changed = build(Wikipedia, wikipedia(tmp_path, T_tr=np.full((4, 10), 7.0)), tmp_path)
    assert changed["train"][0]["text_features"] == [7.0] * 10


VERSION_73 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)


def saved(folder, **changed):
    arrays = scipy.io.loadmat(folder / "raw_features.mat") | changed
    scipy.io.savemat(folder / "raw_features.mat", {name: arrays[name] for name in arrays if name[0] != "_"})


def damaged(file):
    """A compressed file, some bytes of which are others: it does not unpack."""
    arrays = scipy.io.loadmat(file)
    scipy.io.savemat(file, {name: arrays[name] for name in arrays if name[0] != "_"}, do_compression=True)
    content = file.read_bytes()
    file.write_bytes(content[:160] + bytes(8) + content[168:])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "categories.list").unlink(), "lacks categories.list"),
        (lambda folder: write(folder / "raw_features.mat", b"text"), "is not a whole MATLAB file"),
        (lambda folder: damaged(folder / "raw_features.mat"), "is not a whole MATLAB file: Error -"),
        (
            lambda folder: write(folder / "raw_features.mat", VERSION_73),
            "is of MATLAB 7.3, which is not read: save it",
        ),
        (lambda folder: saved(folder, T_te=np.full((6, 10), 1j)), "holds features of type complex128, which are no"),
        (lambda folder: saved(folder, T_te=scipy.sparse.eye_array(6, 10)), r"of shape \(0,\) where"),
        (lambda folder: write(folder / "testset_txt_img_cat.list", "a b c"), "do not hold a text id"),
        (lambda folder: write(folder / "testset_txt_img_cat.list", "a\tb\t1"), r"\(6, 128\) where .* \(1, 128\)"),
    ],
)
def test_broken_files_get_one_sentence(tmp_path, spoil, sentence):
    folder = wikipedia(tmp_path)
    spoil(folder)
    with pytest.raises(InputError, match=sentence):
        build(Wikipedia, folder, tmp_path)


def test_it_has_no_pictures_to_train_clip_on(tmp_path):
    with pytest.raises(InputError, match="no column 'image'; there are image_features, text_features"):
        load_pairs(DataArguments("wikipedia", data_dir=str(wikipedia(tmp_path))))
