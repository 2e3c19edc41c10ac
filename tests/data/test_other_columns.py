"""Columns beside picture and caption, row by row beside a slow look into the table."""

import csv
import datetime
import io
import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.data.other_columns import OtherColumns
from hf_noisy_itm.data.shards import write_shards


def png(row):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (row, 90, 160)).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": None}


def told(others, pairs):
    """What comes out for each pair, all of them and every second one."""
    rows = list(others.rows(np.arange(len(pairs))))
    assert list(others.rows(np.arange(0, len(pairs), 2))) == rows[::2]
    return rows


@pytest.fixture
def lists(tmp_path):
    """40 rows with 0 to 3 captions each, and columns that name row and caption; a caption and a picture are bad."""
    counts = [1 + row % 3 for row in range(40)]
    counts[5] = 0
    captions = [[f"caption {row} {number}" for number in range(count)] for row, count in enumerate(counts)]
    captions[7][1] = ""  # row 7 has two
    cells = [png(row // 2) for row in range(40)]
    cells[11] = {"bytes": b"no picture", "path": None}
    table = {
        "image": cells,
        "captions": captions,
        "photo": [f"p{row // 2}" for row in range(40)],
        "source": [f"site {row % 5}" if row % 7 else None for row in range(40)],
        "writers": [[f"{row} {number}" for number in range(count)] if row % 6 else None
                    for row, count in enumerate(counts)],
        "vector": [[float(row), 1.0] for row in range(40)],
        "tags": [["a"] * (row % 4) for row in range(40)],
        "facts": [{"bytes": row, "day": datetime.date(2020, 1, 1)} for row in range(40)],
        "thumb": cells,
        "caption": [f"machine's {row}" for row in range(40)],
    }  # fmt: skip
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "captions": datasets.List(datasets.Value("string")),
            "photo": datasets.Value("string"),
            "source": datasets.Value("string"),
            "writers": datasets.List(datasets.Value("string")),
            "vector": datasets.List(datasets.Value("float32"), length=2),
            "tags": datasets.List(datasets.Value("string")),
            "facts": {"bytes": datasets.Value("int64"), "day": datasets.Value("date32")},
            "thumb": datasets.Image(),
            "caption": datasets.Value("string"),
        }
    )
    file = tmp_path / "p.parquet"
    datasets.Dataset.from_dict(table, features=features).to_parquet(file)
    return table, DataArguments(dataset=str(file), caption_column="captions", on_bad_row="skip", holdout_every=4)


@pytest.mark.parametrize(
    "more",
    [{}, {"where": "source=site 3"}, {"holdout_by": "source"}, {"image_id_column": "photo"}, {"max_train_pictures": 9}]
    + [{"noise_rate": 0.5}, {"noise_rate": 0.5, "noise_kind": "truncated", "image_id_column": "photo"}],
    ids=str,
)
def test_every_pair_has_the_cells_of_its_row_and_of_its_caption(lists, more):
    table, data = lists
    if more.get("holdout_by"):
        table["source"] = [site or "none" for site in table["source"]]
        rows = datasets.load_dataset("parquet", data_files=data.dataset, split="train")
        rows = rows.remove_columns("source").add_column("source", table["source"])
        rows.to_parquet(data.dataset)
    clean, _ = load_pairs(DataArguments(**{**vars(data), **more, "noise_rate": None, "noise_kind": "shuffle"}))
    pairs, _ = load_pairs(DataArguments(**{**vars(data), **more}))
    others = OtherColumns(data := DataArguments(**{**vars(data), **more}), pairs)
    assert others.clashes == ["caption"]
    rows = told(others, pairs)
    assert len(rows) == len(pairs) > 3
    for text, cells in zip(clean.captions, rows):  # noise moves captions, and nothing else
        row, number = map(int, text.split()[1:])
        expected = {name: table[name][row] for name in ("photo", "source", "vector", "tags", "facts", "thumb")}
        writer = table["writers"][row]
        assert cells == expected | {"writers": None if writer is None else writer[number]}
        assert (row, number) not in {(7, 1), (11, 0), (11, 1), (11, 2)}
    assert others.features["writers"] == datasets.Value("string")
    assert others.features["vector"].length == 2
    assert others.features["tags"] == datasets.List(datasets.Value("string"))


def test_what_a_column_is_does_not_depend_on_the_rows_that_are_used(tmp_path):
    """Only the last row has another number of tags than of captions."""
    table = {"image": [png(row) for row in range(12)], "captions": [["a", "b"]] * 12}
    table |= {"tags": [["x", "y"]] * 11 + [["x"]], "writers": [["v", "w"]] * 12}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4, max_train_pictures=4)
    others = OtherColumns(data, load_pairs(data)[0])
    assert others.taken_apart == ["writers"]
    assert next(others.rows(np.arange(2))) == {"tags": ["x", "y"], "writers": "v"}


def test_they_are_written_and_read_again_with_their_types(lists, tmp_path):
    _, data = lists
    pairs, _ = load_pairs(data)
    others = OtherColumns(data, pairs)
    (path,) = write_shards(tmp_path / "out", "train", others.features, others.rows(np.arange(len(pairs))), 2**30)
    rows = datasets.load_dataset("parquet", data_files=str(path), split="train")
    assert rows.features == others.features
    assert rows.cast_column("thumb", datasets.Image(decode=False)).to_list() == told(others, pairs)


def test_pictures_in_other_columns_are_not_read_from_their_paths(tmp_path):
    (tmp_path / "secret").write_text("dear")
    mask = {"bytes": None, "path": str(tmp_path / "secret")}
    table = {"image": [png(row) for row in range(8)], "caption": list("abcdefgh"), "mask": [mask] * 8}
    features = {"image": datasets.Image(), "caption": datasets.Value("string"), "mask": datasets.Image()}
    schema = datasets.Features(features).arrow_schema
    pq.write_table(pa.Table.from_pydict(table, schema=schema), tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4)
    pairs, _ = load_pairs(data)
    assert told(OtherColumns(data, pairs), pairs) == [{"mask": mask}] * 6


@pytest.mark.parametrize("kind", ["csv", "jsonl", "imagefolder", "saved"])
def test_all_kinds_of_sources_have_them(kind, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for row in range(6):
        (folder / f"{row}.png").write_bytes(png(row)["bytes"])
    rows = [
        {"image": f"{row // 2}.png", "caption": f"a {row}", "image_id": row // 2, "year": 1990 + row, "of": f"x{row}"}
        for row in range(12)
    ]
    dataset = folder
    if kind == "csv":
        with open(dataset := folder / "t.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "jsonl":
        dataset = folder / "t.jsonl"
        dataset.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "imagefolder":
        named = [{"file_name" if name == "image" else name: cell for name, cell in row.items()} for row in rows]
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, named)))
    else:
        table = [{**row, "image": png(number // 2)} for number, row in enumerate(rows)]
        dataset = tmp_path / "saved"
        datasets.Dataset.from_list(table).cast_column("image", datasets.Image()).save_to_disk(dataset)
    data = DataArguments(dataset=str(dataset), holdout_every=3)
    pairs, _ = load_pairs(data)
    others = OtherColumns(data, pairs)
    assert others.clashes == []
    numbers = [int(text.split()[1]) for text in pairs.captions]
    assert told(others, pairs) == [{"year": 1990 + row, "of": f"x{row}"} for row in numbers]


def test_names_of_ours(tmp_path):
    """What pairs are made of goes under our names; what has one of these and is something else is named."""
    table = pa.table(
        {"photo": [png(row // 2) for row in range(8)], "text": [f"a {row}" for row in range(8)]}
        | {"caption_id": range(8), "is_noisy": [False] * 8, "weight": [1.0] * 8, "sure": [0.5] * 8, "kept": range(8)}
        | {"key": list("aabbccdd"), "image_id": range(8), "captions": ["x"] * 8, "image": ["y"] * 8}
    )
    pq.write_table(table, tmp_path / "p.parquet")
    words = {"image_column": "photo", "caption_column": "text", "image_id_column": "key", "holdout_every": 4}
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), **words)
    pairs, _ = load_pairs(data)
    others = OtherColumns(data, pairs)
    assert others.clashes == ["image_id", "captions", "image"]
    assert list(others.features) == ["weight", "sure", "kept", "key"]
    others = OtherColumns(data, pairs, ["weight"])
    assert others.clashes == ["weight", "image_id", "captions", "image"]
    assert list(others.features) == ["sure", "kept", "key"]
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), weight_column="weight", **words)
    assert "weight" not in OtherColumns(data, pairs, ["weight"]).clashes


def test_data_without_others_have_none(tmp_path):
    table = {"image": [png(row) for row in range(8)], "caption": list("abcdefgh")}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4)
    pairs, _ = load_pairs(data)
    assert told(OtherColumns(data, pairs), pairs) == [{}] * len(pairs)
