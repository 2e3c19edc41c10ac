import pytest

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import CC120K, DataArguments

from .local_copies import build, scan_split


def test_one_caption_a_picture_and_nobody_knows_which_are_wrong(tmp_path):
    train = build(CC120K, scan_split(tmp_path / "cc", 1), tmp_path)["train"].remove_columns("image")
    row = {"image_id": "2", "caption": "2 0", "caption_id": 2, "is_noisy": None, "noise_source": None}
    assert train[2] == row


def test_more_captions_than_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="6 lines and train_ids.txt 3: there must be 1 captions for each id"):
        build(CC120K, scan_split(tmp_path / "cc", 2), tmp_path)


def test_it_is_loaded_by_name(tmp_path):
    train, test = load_pairs(DataArguments("cc120k", data_dir=str(scan_split(tmp_path / "cc", 1))))
    assert (train.captions, test.captions) == (["0 0", "1 0", "2 0"], ["4 0"])
    assert not train.is_noisy.any()
