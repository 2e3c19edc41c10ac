import datasets
import pytest

from hf_noisy_itm.data import MSCOCO

from .local_copies import build, karpathy, picture, scan_split, write

SPLITS = ("restval", "train", "test", "val")


def coco(tmp_path, below="val2014"):
    ids = {"filepath": lambda k: "val2014", "cocoid": lambda k: 100 + k}
    return karpathy(tmp_path / "coco", "dataset_coco.json", SPLITS, below, **ids)


def test_the_rows(tmp_path):
    splits = build(MSCOCO, coco(tmp_path), tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 4, "validation": 2, "test": 2}
    assert splits["train"].cast_column("image", datasets.Image(decode=False))[1] == {
        "image": {"bytes": None, "path": str(tmp_path / "coco" / "images" / "val2014" / "0.jpg")},
        "image_id": 100,
        "caption": "0 b",
        "caption_id": 1,
        "is_noisy": False,
        "noise_source": 100,
    }


def test_restval_is_training_unless_told_otherwise(tmp_path):
    folder = coco(tmp_path)
    assert build(MSCOCO, folder, tmp_path)["train"]["image_id"] == [100, 100, 101, 101]
    assert build(MSCOCO, folder, tmp_path, restval=False)["train"]["image_id"] == [101, 101]


def test_pictures_may_all_lie_in_one_folder_and_move(tmp_path):
    folder = coco(tmp_path, below="")
    assert build(MSCOCO, folder, tmp_path)["test"][0]["image"].getpixel((0, 0)) == 2
    (folder / "images").rename(folder / "val2014")
    (folder / "images").mkdir()
    (folder / "val2014").rename(folder / "images" / "val2014")
    assert build(MSCOCO, folder, tmp_path)["test"][0]["image"].getpixel((0, 0)) == 2


@pytest.mark.parametrize("written", ["9", "COCO_train2014_000000000009", "COCO_train2014_000000000009.jpg"])
def test_npcs_ids_may_be_cocos_numbers(tmp_path, written):
    folder = scan_split(tmp_path / "npc")
    write(folder / "annotations" / "scan_split" / "test_ids.txt", written)
    write(folder / "images" / "COCO_train2014_000000000009.jpg", picture(9))
    write(folder / "images" / "COCO_val2014_000000000090.jpg", picture(90))
    assert build(MSCOCO, folder, tmp_path)["test"][0]["image"].getpixel((0, 0)) == 9
