import os
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers.models.clip import CLIPImageProcessorPil

from hf_noisy_itm.data import PairCollator
from hf_noisy_itm.data._picture_cache import PictureCache
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


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"garbage", None])
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
        PictureCache(tmp_path, "settings").fetch(b"picture", lambda: np.zeros(3))
    assert not files(tmp_path)
