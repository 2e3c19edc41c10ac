"""Any form in which people keep pairs: tables of paths, shards, folders."""

import io
import json
import tarfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.data import BadRows, DataArguments
from hf_noisy_itm.data._sources import load_splits, open_stream
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.stream_noise import stream_pictures

from .local_copies import picture, write
from .test_load import rows as table_of_rows

SIZE = 10  # row k has the caption 'caption k' and a picture of shade k; the last is held out


def pictures(folder):
    for k in range(SIZE):
        write(folder / f"{k}.png", picture(k))


def load(dataset, **arguments):
    train, held_out = load_pairs(DataArguments(str(dataset), **arguments))
    for pairs in (train, held_out):
        shades = [pairs.picture(row).getpixel((0, 0))[0] for row in range(len(pairs.image_id))]
        assert pairs.captions == [f"caption {shades[row]}" for row in pairs.image_row]
    return train, held_out


def csv(file, sep=",", below="pictures", rows=range(SIZE)):
    lines = [sep.join(["image", "caption"]), *(sep.join([f"{below}/{k}.png", f"caption {k}"]) for k in rows)]
    return write(file, "\n".join(lines))


def jsonl(file):
    return write(
        file, "\n".join(json.dumps({"image": f"pictures/{k}.png", "caption": f"caption {k}"}) for k in range(SIZE))
    )


def strings(file):
    rows = {"image": [f"pictures/{k}.png" for k in range(SIZE)], "caption": [f"caption {k}" for k in range(SIZE)]}
    datasets.Dataset.from_dict(rows).to_parquet(str(file))
    return file


TABLES = {
    "pairs.csv": csv,
    "pairs.tsv": lambda file: csv(file, "\t"),
    "pairs.CSV": csv,
    "pairs.jsonl": jsonl,
    "pairs.json": jsonl,
    "pairs.parquet": strings,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_paths_start_from_their_own_folder(tmp_path, name):
    pictures(tmp_path / "pictures")
    train, held_out = load(TABLES[name](tmp_path / name))
    assert (len(train), len(held_out)) == (9, 1)


def test_paths_may_start_elsewhere(tmp_path):
    pictures(tmp_path / "elsewhere" / "pictures")
    train, held_out = load(csv(tmp_path / "pairs.csv"), image_root=str(tmp_path / "elsewhere"))
    assert (len(train), len(held_out)) == (9, 1)
    assert train.report.bad == 0
    assert train.picture(0).mode == "RGB"


def test_absolute_paths_need_a_root_that_holds_them(tmp_path):
    pictures(tmp_path / "elsewhere")
    (tmp_path / "tables").mkdir()
    file = csv(tmp_path / "tables" / "pairs.csv", below=tmp_path / "elsewhere")
    with pytest.raises(BadRows, match=r"9 row\(s\) of a picture path that leaves its folder .*elsewhere/0\.png"):
        load(file)
    load(file, image_root=str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl", "pairs.parquet"])
def test_paths_do_not_lead_out_of_the_folder(tmp_path, name):
    pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "3.png").unlink()
    (tmp_path / "pictures" / "3.png").symlink_to(write(tmp_path.parent / f"{tmp_path.name}.png", picture(3)))
    file = TABLES[name](tmp_path / name)
    with pytest.raises(BadRows, match=r"leaves its folder .* first in row 3 \(pictures/3.png\)"):
        load(file)
    train, _ = load(file, on_bad_row="skip")
    assert train.report.found == {"outside": [3]}


def test_words_of_a_table_are_what_they_are(tmp_path):
    """Neither missing values nor numbers: NA, null, 007."""
    pictures(tmp_path / "pictures")
    words = ["NA", "null", "None", "nan", "007", "7.0", "1e3", "True", "x", "y"]
    lines = [f"pictures/{k}.png,{word},0{k % 9}," for k, word in enumerate(words)]
    file = write(tmp_path / "pairs.csv", "\n".join(["image,caption,image_id,is_noisy", lines[0] + "1", *lines[1:9]]))
    train, held_out = load_pairs(DataArguments(str(file), holdout_every=9))
    assert train.captions + held_out.captions == words[:9]
    assert train.is_noisy.tolist() == [True] + [False] * 7
    assert not held_out.is_noisy.any()


def test_a_caption_may_hold_commas_quotes_and_line_feeds(tmp_path):
    pictures(tmp_path / "pictures")
    lines = ['pictures/0.png,"one, ""two""\nthree"', *(f"pictures/{k}.png,caption {k}" for k in range(1, SIZE))]
    train, _ = load_pairs(DataArguments(str(write(tmp_path / "pairs.csv", "\n".join(["image,caption", *lines])))))
    assert train.captions[0] == 'one, "two"\nthree'


def test_a_table_that_changes_is_read_anew(tmp_path):
    pictures(tmp_path / "pictures")
    file = csv(tmp_path / "pairs.csv")
    load(file)
    write(file, file.read_text().replace("caption 4", "another 4"))
    assert load_pairs(DataArguments(str(file)))[0].captions[4] == "another 4"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_pattern_names_several_files(tmp_path, suffix):
    for part in range(2):  # each in a folder with its own pictures
        folder = tmp_path / f"part {part}"
        pictures(folder / "pictures")
        half = range(5 * part, 5 * part + 5)
        file = csv(folder / "pairs.csv", rows=half)
        if suffix == "parquet":
            datasets.Dataset.from_csv(str(file)).to_parquet(str(folder / "pairs.parquet"))
    train, held_out = load(tmp_path / "part *" / f"pairs.{suffix}")
    assert (len(train), len(held_out)) == (9, 1)


def test_a_folder_of_parquet_shards_has_the_splits_of_their_names(tmp_path):
    rows = [{"image": {"bytes": picture(k), "path": None}, "caption": f"caption {k}"} for k in range(SIZE)]
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    for name, part in (
        ("train-00000-of-00002", range(4)),
        ("train-00001-of-00002", range(4, 7)),
        ("test", range(7, 10)),
    ):
        (tmp_path / "shards").mkdir(exist_ok=True)
        table.select(part).to_parquet(str(tmp_path / "shards" / f"{name}.parquet"))
    train, test = load(tmp_path / "shards")
    assert (len(train), len(test)) == (7, 3)


def tar(file, rows, **members):
    """A WebDataset shard; members are functions of k that make a file, by its ending."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for k in rows:
            for ending, content in {"png": picture, **members}.items():
                data = content(k)
                info = tarfile.TarInfo(f"{k:05}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return file


def text(k):
    return f"caption {k}".encode()


def record(k):
    return json.dumps({"caption": f"caption {k}", "image_id": k, "is_noisy": k == 2}).encode()


@pytest.mark.parametrize("members", [{"txt": text}, {"json": record}, {"json": record, "txt": text}])
@pytest.mark.parametrize("form", ["file", "pattern", "folder"])
def test_webdataset_shards(tmp_path, members, form):
    if form == "file":
        name = tar(tmp_path / "all.tar", range(SIZE), **members)
    else:
        for part in range(2):
            tar(tmp_path / "shards" / f"{part}.tar", range(5 * part, 5 * part + 5), **members)
        name = tmp_path / "shards" / ("*.tar" if form == "pattern" else "")
    train, held_out = load(name)
    assert (len(train), len(held_out)) == (9, 1)
    assert train.is_noisy.sum() == ("json" in members)


def test_columns_of_shards_may_have_names_of_ones_own(tmp_path):
    shard = tar(tmp_path / "a.tar", range(SIZE), json=lambda k: json.dumps({"legend": f"caption {k}"}).encode())
    train, _ = load(shard, caption_column="legend", image_column="png")
    assert len(train) == 9


def test_a_link_in_an_image_folder_does_not_lead_out(tmp_path):
    folder = tmp_path / "folder"
    pictures(folder)
    (folder / "3.png").unlink()
    (folder / "3.png").symlink_to(write(tmp_path / "secret.png", picture(3)))
    write(folder / "metadata.csv", "\n".join(["file_name,caption", *(f"{k}.png,caption {k}" for k in range(SIZE))]))
    with pytest.raises(BadRows, match="leaves its folder"):
        load(folder)
    assert load(folder, on_bad_row="skip")[0].report.found == {"outside": [3]}


def test_an_image_folder_whose_table_leads_out_is_refused_whole(tmp_path):
    folder = tmp_path / "folder"
    pictures(folder)
    write(tmp_path / "secret.png", picture(3))
    write(folder / "metadata.csv", "file_name,caption\n../secret.png,caption 3\n")
    with pytest.raises(InputError, match="cannot be read as a data set: Invalid metadata file_name '../secret.png'"):
        load(folder)


def test_a_saved_folder_holds_its_pictures(tmp_path):
    pictures(tmp_path / "pictures")
    rows = {"image": [str(tmp_path / "pictures" / f"{k}.png") for k in range(SIZE)]}
    table = datasets.Dataset.from_dict({**rows, "caption": [f"caption {k}" for k in range(SIZE)]})
    table.cast_column("image", datasets.Image()).save_to_disk(tmp_path / "saved")
    train, held_out = load(tmp_path / "saved")
    assert (len(train), len(held_out)) == (9, 1)
    assert train.pictures[0]["image"]["bytes"]
    assert train.picture(0).mode == "RGB"


def test_pictures_of_a_parquet_file_may_be_bytes_or_paths(tmp_path):
    """As `datasets` stores them; a path does not lead out, a row of bytes is left alone."""
    pictures(tmp_path / "pictures")
    cells = [{"bytes": None, "path": f"pictures/{k}.png"} for k in range(SIZE)]
    cells[2] = {"bytes": picture(2), "path": "/etc/passwd"}
    cells[3] = {"bytes": None, "path": "../secret.png"}
    cells[4] = None
    write(tmp_path.parent / "secret.png", picture(3))
    images = pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    rows = pa.table({"image": images, "caption": [f"caption {k}" for k in range(SIZE)]})
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = rows.replace_schema_metadata(features.arrow_schema.metadata)
    pq.write_table(rows, tmp_path / "pairs.parquet")
    train, _ = load(tmp_path / "pairs.parquet", on_bad_row="skip")
    assert train.report.found == {"outside": [3], "missing": [4]}
    assert len(train) == 7


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("nothing/*.parquet", "There is no file or folder .*nothing"),
        ("nothing.csv", "There is no file or folder .*nothing.csv"),
        ("mixed/*", "names files of several kinds, .csv, .jsonl; name one kind"),
        ("odd.xyz", "odd.xyz is no kind of file that can be read: .parquet, .csv"),
        ("empty.csv", "cannot be read as a data set|holds no rows"),
        ("broken.tar", "cannot be read as a data set"),
        ("broken.jsonl", "cannot be read as a data set"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(tmp_path, dataset, sentence):
    write(tmp_path / "mixed" / "a.csv", "image,caption\n")
    write(tmp_path / "mixed" / "b.jsonl", "{}\n")
    write(tmp_path / "odd.xyz", "?")
    write(tmp_path / "empty.csv", "image,caption\n")
    write(tmp_path / "broken.tar", b"not an archive")
    write(tmp_path / "broken.jsonl", "{")
    with pytest.raises(InputError, match=sentence) as error:
        load(tmp_path / dataset)
    assert "\n" not in str(error.value)


def no_rows(path):
    pq.write_table(pa.table({"image": pa.array([], pa.string()), "caption": pa.array([], pa.string())}), path)


BAD_FILES = {
    "latin.csv": "image,caption\na.png,café\n".encode("latin-1"),
    "ragged.csv": b"image,caption\na.png,x\nb.png,y,z,w\n",
    "empty.csv": b"",
    "header.csv": b"image,caption\n",
    "cut.jsonl": b'{"image": "a.png", "caption": "x"}\n{"image": "b.png", "capt',
    "latin.jsonl": '{"image": "a.png", "caption": "café"}\n'.encode("latin-1"),
    "empty.jsonl": b"",
    "list.json": b"[1, 2]",
    "empty.tar": b"",
    "text.tar": b"hello" * 500,
    "garbage.parquet": b"hello",
    "rows.parquet": no_rows,
}


def read_as_stream(args):
    splits, root = open_stream(args)
    if not list(stream_pictures(splits["train"], args, root, None)):  # a table of a head alone is a stream of nothing
        raise InputError("It cannot be read as a data set: nothing is in it.")


def read_whole(args):
    to_pairs(load_splits(args)["train"], args, "training")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_ends_with_one_sentence_however_it_is_read(tmp_path, name, streaming):
    content = BAD_FILES[name]
    content(tmp_path / name) if callable(content) else (tmp_path / name).write_bytes(content)
    read = read_as_stream if streaming else read_whole
    expected = r"cannot be read as a data set: |not UTF-8|no column"
    with pytest.raises(InputError, match="holds no rows" if name == "rows.parquet" else expected) as error:
        read(DataArguments(str(tmp_path / name)))
    assert "\n" not in str(error.value)


def test_shards_without_rows_among_others_are_passed_over(tmp_path):
    rows = datasets.Dataset.from_dict({"image": ["a.png"], "caption": ["x"]})
    for name in ("a", "c"):
        rows.to_parquet(tmp_path / f"{name}.parquet")
    no_rows(tmp_path / "b.parquet")
    args = DataArguments(str(tmp_path / "*.parquet"))
    assert len(load_splits(args)["train"]) == len(list(open_stream(args)[0]["train"])) == 2


def test_folders_that_datasets_cannot_open_are_named(tmp_path):
    table_of_rows(4).to_parquet(str(tmp_path / "a[1]" / "train.parquet"))
    for streaming in (False, True):
        with pytest.raises(InputError, match=r"The folder .*a\[1\] has brackets, \* or \? in its path"):
            (open_stream if streaming else load_splits)(DataArguments(str(tmp_path / "a[1]")))
    assert len(load_splits(DataArguments(str(tmp_path / "a[1]" / "train.parquet")))["train"]) == 4
    table = table_of_rows(4)
    datasets.DatasetDict(train=table, odd=table.select([])).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(InputError, match="^The split 'odd' of .*saved has no rows: save it without this split.$"):
        load_splits(DataArguments(str(tmp_path / "saved")))
