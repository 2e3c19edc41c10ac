import io
import os
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers.models.clip import CLIPImageProcessorPil

from hf_noisy_itm.data import PairCollator
from hf_noisy_itm.data._picture_cache import PictureCache
from hf_noisy_itm.data._pixels import Pixels
from hf_noisy_itm.errors import InputError

ROWS = np.arange(24)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_pixels_are_those_without_a_cache_and_decoded_once(processor, pairs, counted, tmp_path):
    counting, decoded = counted
    expected = PairCollator(processor, pairs).images(ROWS)
    for _ in range(2):
        images = PairCollator(processor, counting, picture_cache=tmp_path / "new").images(ROWS)
        assert torch.equal(images, expected)
    assert decoded == list(ROWS)
    assert len(files(tmp_path)) == 24
    assert {path.suffix for path in files(tmp_path)} == {".npy"}


def test_other_settings_do_not_share_pictures(processor, counted, tmp_path):
    counting, decoded = counted
    PairCollator(processor, counting, picture_cache=tmp_path).images(ROWS)
    processor.image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}
    )
    other = PairCollator(processor, counting, picture_cache=tmp_path).images(ROWS)
    assert torch.equal(other, PairCollator(processor, counting).images(ROWS))
    assert len(files(tmp_path)) == 48


def test_a_picture_that_changed_in_its_place_is_seen(processor, pairs, tmp_path):
    turned = replace(pairs, pictures=pairs.pictures.select(ROWS[::-1]))
    for each in (pairs, turned):
        images = PairCollator(processor, each, picture_cache=tmp_path).images(ROWS)
        assert torch.equal(images, PairCollator(processor, each).images(ROWS))
    assert len(files(tmp_path)) == 24


def saved(save, *given, **more):
    file = io.BytesIO()
    save(file, *given, **more)
    return file.getvalue()


DAMAGE = {
    "nothing": b"",
    "head": b"\x93NUMPY",
    "garbage": b"garbage",
    "half": None,
    "zip": saved(np.savez, np.zeros((16, 16, 3), np.uint8)),
    "size": saved(np.save, np.zeros((8, 16, 3), np.uint8)),
    "channels": saved(np.save, np.zeros((16, 16, 4), np.uint8)),
    "type": saved(np.save, np.zeros((16, 16, 3), np.float32)),
    "flat": saved(np.save, np.zeros(16 * 16 * 3, np.uint8)),
    "objects": saved(np.save, np.array([{}], dtype=object)),
    "column by column": saved(np.save, np.zeros((16, 16, 3), np.uint8, order="F")),
    "huge": b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 16, 3), }".ljust(117)
    + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_broken_file_is_made_anew(processor, pairs, counted, tmp_path, damage):
    counting, decoded = counted
    collator = PairCollator(processor, counting, picture_cache=tmp_path)
    expected = collator.images(ROWS[:1])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert torch.equal(collator.images(ROWS[:1]), expected)
    assert path.read_bytes() == whole
    assert decoded == [0, 0]


def test_a_folder_in_the_place_of_a_file_is_left(processor, pairs, counted, tmp_path):
    counting, decoded = counted
    collator = PairCollator(processor, counting, picture_cache=tmp_path)
    expected = collator.images(ROWS[:1])
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    assert torch.equal(collator.images(ROWS[:1]), expected)
    assert decoded == [0, 0]
    assert path.is_dir()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_center_crop": False},
        {"do_center_crop": False, "size": {"height": 20, "width": 12}},
        {"do_center_crop": False, "do_resize": False},
        {"do_pad": True, "pad_size": {"height": 300, "width": 300}},  # called as it is: floats
    ],
)
def test_what_is_made_fits_with_any_processor(settings):
    pixels = Pixels(CLIPImageProcessorPil(**settings))
    shrunk = pixels.shrink(Image.new("RGB", (40, 30), "red"))
    assert pixels.fits(shrunk)
    assert not pixels.fits(shrunk.astype(np.float64))
    assert not pixels.fits(shrunk[0])
    assert not pixels.fits(shrunk[:0])


def test_workers_fill_and_read_it_at_once(processor, pairs, tmp_path):
    collator = PairCollator(processor, pairs, picture_cache=tmp_path)
    expected = PairCollator(processor, pairs).images(ROWS)
    for _ in range(2):
        loader = DataLoader(
            np.tile(ROWS, 2), 6, collate_fn=lambda rows: collator.images(np.array(rows)), num_workers=2
        )
        assert torch.equal(torch.cat(list(loader)), torch.cat([expected, expected]))
    assert len(files(tmp_path)) == 24


def test_pictures_by_path_are_kept_too(processor, pairs, tmp_path):
    names = [str(tmp_path / f"{row}.png") for row in ROWS]
    for row, name in zip(ROWS, names):
        pairs.picture(row).save(name)
    table = datasets.Dataset.from_list([{"image": {"bytes": None, "path": name}} for name in names])
    by_path = replace(pairs, pictures=table.cast_column("image", datasets.Image(decode=False)))
    collator = PairCollator(processor, by_path, picture_cache=tmp_path / "cache")
    assert torch.equal(collator.images(ROWS), PairCollator(processor, pairs).images(ROWS))
    assert len(files(tmp_path / "cache")) == 24
    os.remove(names[3])
    with pytest.raises(InputError, match="picture in row 3 does not decode .*No such file"):
        collator.images(ROWS)


def test_a_broken_picture_is_named_and_leaves_nothing(processor, pairs, tmp_path):
    table = datasets.Dataset.from_list([{"image": {"bytes": b"words", "path": None}}])
    broken = replace(pairs, pictures=table.cast_column("image", datasets.Image(decode=False)))
    with pytest.raises(InputError, match="picture in row 0 does not decode"):
        PairCollator(processor, broken, picture_cache=tmp_path).images(ROWS[:1])
    assert not files(tmp_path)


def test_a_folder_that_is_a_file_is_refused(processor, pairs, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match="picture_cache .* is a file; give a folder"):
        PairCollator(processor, pairs, picture_cache=tmp_path / "cache")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(InputError, match=r"cannot write .*\.npy \(No space left on device\); make room"):
        PictureCache(tmp_path, "settings", lambda pixels: True).fetch(b"picture", lambda: np.zeros(3))
    assert not files(tmp_path)
