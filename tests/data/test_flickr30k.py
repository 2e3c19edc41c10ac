import shutil

import datasets
import pytest

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import DataArguments, Flickr30k

from .local_copies import build, karpathy, picture, scan_split, write

JSON = "dataset_flickr30k.json"


def flickr(tmp_path, splits=("train", "test", "train", "val")):
    return karpathy(tmp_path / "flickr", JSON, splits)


def undecoded(rows):
    return rows.cast_column("image", datasets.Image(decode=False))


def test_the_rows_of_pairs(tmp_path):
    splits = build(Flickr30k, flickr(tmp_path), tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 4, "validation": 2, "test": 2}
    assert undecoded(splits["train"])[3] == {
        "image": {"bytes": None, "path": str(tmp_path / "flickr" / "images" / "2.jpg")},
        "image_id": 2,
        "caption": "2 b",
        "caption_id": 5,
        "is_noisy": False,
        "noise_source": 2,
    }
    assert splits["train"][3]["image"].getpixel((0, 0)) == 2
    assert splits["train"].features["image_id"] == datasets.Value("int64")


@pytest.mark.parametrize("make", [flickr, lambda tmp_path: scan_split(tmp_path / "scan", 5)])
def test_a_byte_order_mark_is_no_text(tmp_path, make):
    """Windows' editors put one before UTF-8: before a JSON, before the first caption and the first id."""
    folder = make(tmp_path)
    expected = load_pairs(DataArguments("flickr30k", data_dir=str(folder)))
    for file in folder.rglob("*.[jt][sx][ot]*"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    marked = load_pairs(DataArguments("flickr30k", data_dir=str(folder)))
    for old, new in zip(expected, marked):
        assert new.captions == old.captions
        assert new.name.tolist() == old.name.tolist()
        assert new.picture(0).getpixel((0, 0)) == old.picture(0).getpixel((0, 0))


def test_the_rows_of_pictures(tmp_path):
    splits = build(Flickr30k, flickr(tmp_path), tmp_path, config_name="pictures")
    row = undecoded(splits["test"])[0]
    assert row.pop("image")["path"].endswith("images/1.jpg")
    assert row == {"captions": ["1 a", "1 b"], "image_id": 1}


@pytest.mark.parametrize(
    "layout",
    [
        lambda folder: folder,
        lambda folder: (folder / "images").rename(folder / "flickr30k-images").parent,
        lambda folder: (
            (folder / "annotations").mkdir() or (folder / JSON).rename(folder / "annotations" / JSON).parent.parent
        ),
        lambda folder: (
            [shutil.move(file, folder) for file in (folder / "images").iterdir()]
            and ((folder / "images").rmdir() or folder)
        ),
    ],
    ids=["images", "flickr30k-images", "annotations", "flat"],
)
def test_pictures_are_found_where_people_put_them(tmp_path, layout):
    train, test = load_pairs(DataArguments("flickr30k", data_dir=str(layout(flickr(tmp_path)))))
    assert train.captions == ["0 a", "0 b", "2 a", "2 b"]
    assert train.caption_id.tolist() == [0, 1, 4, 5]
    assert [train.picture(row).getpixel((0, 0))[0] for row in range(2)] == [0, 2]
    assert test.captions == ["1 a", "1 b"]
    assert not train.is_noisy.any()
    assert (train.report.split, test.report.split) == ("train", "test")


def test_the_folder_of_pictures_may_lie_elsewhere_or_be_a_link(tmp_path):
    folder = flickr(tmp_path)
    (folder / "images").rename(tmp_path / "elsewhere")
    train, _ = load_pairs(DataArguments("flickr30k", data_dir=str(folder), image_root=str(tmp_path / "elsewhere")))
    assert len(train) == 4
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    assert len(load_pairs(DataArguments("flickr30k", data_dir=str(folder)))[0]) == 4


def test_a_file_that_changes_is_read_anew(tmp_path):
    folder = flickr(tmp_path)
    before = build(Flickr30k, folder, tmp_path)["train"]["caption"]
    file = folder / JSON
    file.write_text(file.read_text().replace("2 b", "2 c"))  # the same size and, mostly, time
    after = build(Flickr30k, folder, tmp_path)["train"]["caption"]
    assert (before[3], after[3]) == ("2 b", "2 c")


def test_fields_and_content_make_the_key_of_the_cache(tmp_path):
    folder, other = flickr(tmp_path), tmp_path / "other"
    shutil.copytree(folder, other)

    def key(*args, **options):
        return Flickr30k(*args, data_dir=folder, cache_dir=str(tmp_path), **options).cache_dir

    keys = [key(), key(config_name="pictures"), key(image_root=str(other)), key(config_name="pairs")]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]
    assert Flickr30k(data_dir=other, cache_dir=str(tmp_path)).cache_dir not in keys  # rows hold paths
    assert str(Flickr30k.VERSION) in keys[0]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda text: "{", "is not a Karpathy JSON"),
        (lambda text: "[]", "is not a Karpathy JSON"),
        (lambda text: text.replace('"filename"', '"name"', 1), "image 0 lacks 'filename'"),
        (lambda text: text.replace('"train"', '"other"'), "not one picture"),
    ],
)
def test_a_broken_json_gets_one_sentence(tmp_path, spoil, sentence):
    folder = flickr(tmp_path, ["train"])
    (folder / JSON).write_text(spoil((folder / JSON).read_text()))
    with pytest.raises(InputError, match=sentence):
        load_pairs(DataArguments("flickr30k", data_dir=str(folder)))


def test_a_place_must_be_given_and_hold_the_files(tmp_path):
    with pytest.raises(InputError, match="flickr30k is read from your own copy: .*--data_dir"):
        load_pairs(DataArguments("flickr30k"))
    with pytest.raises(InputError, match="There is no folder"):
        Flickr30k(data_dir=tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds neither dataset_flickr30k.json nor annotations/scan_split"):
        Flickr30k(data_dir=tmp_path)


@pytest.mark.parametrize("kind", ["..", "absolute", "link"])
def test_a_path_that_leaves_the_folder_is_refused_and_never_opened(tmp_path, kind):
    folder = flickr(tmp_path)
    secret = write(tmp_path / "secret.png", picture(99))
    if kind == "link":
        (folder / "images" / "2.jpg").unlink()
        (folder / "images" / "2.jpg").symlink_to(secret)
    else:
        written = "../../secret.png" if kind == ".." else str(secret)
        (folder / JSON).write_text((folder / JSON).read_text().replace('"2.jpg"', f'"{written}"'))
    arguments = DataArguments("flickr30k", data_dir=str(folder))
    with pytest.raises(InputError, match=r"2 row\(s\) of a picture path that leaves its folder .* first in row 2 \("):
        load_pairs(arguments)
    arguments.on_bad_row = "skip"
    train, _ = load_pairs(arguments)
    assert train.captions == ["0 a", "0 b"]
    assert train.report.found == {"outside": [2, 3]}
    cell = undecoded(build(Flickr30k, folder, tmp_path)["train"])[2]["image"]
    assert b"refused" in cell["bytes"]


@pytest.mark.parametrize("name", ["{}.jpg", "{}.png", "{}"])
def test_npcs_folders_are_read(tmp_path, name):
    splits = build(Flickr30k, scan_split(tmp_path / "npc", name=name), tmp_path)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 6, "validation": 2, "test": 2}
    row = undecoded(splits["train"])[3]
    assert row.pop("image")["path"] == str(tmp_path / "npc" / "images" / name.format(1))
    expected = {"image_id": "1", "caption": "1 1", "caption_id": 3, "is_noisy": False, "noise_source": "1"}
    assert row == expected


def test_npcs_lines_may_have_keys_and_ids_may_repeat(tmp_path):
    folder = scan_split(tmp_path / "npc")
    split = folder / "annotations" / "scan_split"
    write(split / "train_caps.txt", "0#0\tone\n0#1\ttwo\x85three\n1#0\tfour\tfive\n")
    write(split / "train_ids.txt", "0\r\n0\r\n1\r\n")
    train = build(Flickr30k, folder, tmp_path)["train"]
    assert train["caption"] == ["one", "two\x85three", "four\tfive"]
    assert train["image_id"] == ["0", "0", "1"]


def test_a_picture_that_comes_later_is_found(tmp_path):
    folder = scan_split(tmp_path / "npc")
    (folder / "images" / "1.jpg").rename(tmp_path / "1.png")
    arguments = DataArguments("flickr30k", data_dir=str(folder))
    with pytest.raises(InputError, match=r"2 row\(s\) of a missing picture .* row 2 \(.*images/1.jpg\)"):
        load_pairs(arguments)
    (tmp_path / "1.png").rename(folder / "images" / "1.png")
    assert len(load_pairs(arguments)[0]) == 6


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("train_ids.txt", "0\n1\n2\n3\n", "train_caps.txt has 6 lines and train_ids.txt 4"),
        ("train_ids.txt", "", "train_caps.txt has 6 lines and train_ids.txt 0"),
        ("train_caps.txt", b"\xff\xfe\n", "is not UTF-8 text"),
        ("dev_ids.txt", None, "There is no file .*dev_ids.txt"),
    ],
)
def test_files_of_npc_that_do_not_fit_get_one_sentence(tmp_path, name, content, sentence):
    folder = scan_split(tmp_path / "npc")
    file = folder / "annotations" / "scan_split" / name
    file.unlink() if content is None else write(file, content)
    with pytest.raises(InputError, match=sentence):
        load_pairs(DataArguments("flickr30k", data_dir=str(folder)))
