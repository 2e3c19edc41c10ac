"""Parquet shards: what is in them, how large they are, and where they are cut."""

import os
from dataclasses import replace

import datasets
import pyarrow.parquet as pq
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, shards
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.shards import pair_features, pair_rows, picture_features, picture_rows, write_shards

from .test_load import rows


def read(paths):
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def captions_of(pictures, each=5, size=20_000):
    """Rows of pictures of random bytes, `each` captions to a picture."""
    for number in range(pictures):
        cell = {"bytes": os.urandom(size), "path": None}
        for place in range(each):
            yield {
                "image": cell,
                "caption": f"{number} {place}",
                "image_id": number,
                "caption_id": number * each + place,
                "is_noisy": False,
                "noise_source": number,
            }


def test_a_picture_of_five_captions_is_stored_once(tmp_path):
    given = list(captions_of(50))
    (path,) = write_shards(tmp_path, "train", pair_features("int64"), given, 2**30)
    assert path.name == "train-00000-of-00001.parquet"
    assert path.stat().st_size < 1.02 * 50 * 20_000
    assert read([path]) == given
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features == pair_features("int64")
    loaded = loaded.cast_column("image", datasets.Image(decode=False))
    assert loaded[249]["image"]["bytes"] == given[249]["image"]["bytes"]


def test_row_groups_and_shards_are_bounded_and_cut_between_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_GROUP_BYTES", 250_000)  # a picture spread over five captions has 100 kB
    given = list(captions_of(20))
    paths = write_shards(tmp_path, "train", pair_features("int64"), iter(given), 150_000)
    assert [path.name for path in paths] == [f"train-{k:05}-of-00003.parquet" for k in range(3)]
    assert read(paths) == given
    for path in paths:
        assert path.stat().st_size < 200_000
        metadata = pq.ParquetFile(path).metadata
        groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        assert all(size == 15 for size in groups[:-1])


def test_a_picture_of_very_many_captions_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_GROUP_BYTES", 100_000)
    (path,) = write_shards(tmp_path, "train", pair_features("int64"), captions_of(1, each=100), 2**30)
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [10] * 10


@pytest.mark.parametrize(("captions", "sizes"), [(5, [45, 45, 10]), (100, [80, 20])])
def test_small_pictures_do_not_fill_the_memory_with_rows(tmp_path, monkeypatch, captions, sizes):
    monkeypatch.setattr(shards, "_GROUP_ROWS", 40 if captions > 5 else 43)
    rows = captions_of(100 // captions, each=captions)
    (path,) = write_shards(tmp_path, "train", pair_features("int64"), rows, 2**30)
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == sizes


def test_rows_of_any_columns_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_GROUP_BYTES", 2000)
    features = datasets.Features(
        {
            "features": datasets.List(datasets.Value("float32"), length=16),
            "label": datasets.ClassLabel(names=["a", "b"]),
            "tags": datasets.List({"name": datasets.Value("string"), "weight": datasets.Value("float64")}),
            "left": datasets.Image(),
            "right": datasets.Image(),
        }
    )
    given = [
        {
            "features": [k / 2] * 16,
            "label": k % 2,
            "tags": [{"name": f"t{k}", "weight": 0.5}] * (k % 3),
            "left": {"bytes": os.urandom(50), "path": None},
            "right": None if k % 5 else {"bytes": b"x" * 50, "path": None},
        }
        for k in range(60)
    ]
    paths = write_shards(tmp_path, "train", features, given, 6000)
    assert len(paths) > 1
    assert read(paths) == given
    files = [str(path) for path in paths]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features == features


@pytest.mark.parametrize("cell", [lambda k: 7 * k, lambda k: f"{k:03}"])
def test_rows_have_the_ids_and_the_bytes_of_the_source(tmp_path, cell):
    pairs = replace(to_pairs(table := rows(3, image_id=cell), DataArguments(), "training"), pedigree={"kind": "none"})
    kind = shards.id_type_of(pairs.name)
    contents = [row["image"]["bytes"] for row in table.cast_column("image", datasets.Image(decode=False))]
    got = list(pair_rows(pairs, kind))
    assert [row["image"]["bytes"] for row in got] == [contents[k] for k in (0, 0, 1, 1, 2, 2)]
    assert [row["image_id"] for row in got] == [row["noise_source"] for row in got] == [cell(k // 2) for k in range(6)]
    assert [row["caption_id"] for row in got] == list(range(6))
    untold = list(pair_rows(replace(pairs, pedigree=None), kind))  # nobody has looked
    assert {(row["is_noisy"], row["noise_source"]) for row in untold} == {(None, None)}
    (path,) = write_shards(tmp_path, "test", picture_features(kind), picture_rows(pairs, kind), 2**30)
    expected = [(contents[k], [f"{k} one", f"{k} two"], cell(k)) for k in range(3)]
    assert [(row["image"]["bytes"], row["captions"], row["image_id"]) for row in read([path])] == expected


def test_a_row_that_does_not_fit_is_refused(tmp_path):
    given = [*captions_of(1), {**next(captions_of(1)), "image_id": "b"}]
    with pytest.raises(InputError, match="A row of the split 'train' does not fit the others"):
        write_shards(tmp_path, "train", pair_features("int64"), given, 2**30)


def test_a_picture_that_is_gone_is_named(tmp_path):
    table = rows(2).cast_column("image", datasets.Image(decode=False))
    (tmp_path / "0.png").write_bytes(table[0]["image"]["bytes"])
    cells = [{"bytes": None, "path": str(tmp_path / "0.png")}, table[1]["image"]]
    table = table.remove_columns("image").add_column("image", cells, feature=datasets.Image())
    pairs = to_pairs(table, DataArguments(), "training")
    assert next(pair_rows(pairs, "int64"))["image"]["bytes"] == (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match="picture in row 0 cannot be read"):
        list(pair_rows(pairs, "int64"))
