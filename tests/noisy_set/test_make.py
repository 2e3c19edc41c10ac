"""recipes/make_noise.py: a folder, its pedigree, and what may go wrong."""

import hashlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.data import DataArguments, load_pairs, load_stream
from hf_noisy_itm.data.draws import save_draw
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.data.positives import read_positives
from hf_noisy_itm.functional.noise import KINDS, TEXT_KINDS, draw_noise
from hf_noisy_itm.noisy_set import make_noisy_set, parse_noisy_set, told
from hf_noisy_itm.noisy_set.content import written_splits
from hf_noisy_itm.run import train

from ..data.local_copies import scan_split
from ..data.test_load import parquet, rows
from ..data.test_sources import csv, pictures, tar, text

ROOT = Path(__file__).parent.parent.parent
COLOURS = ("red", "blue", "green", "black", "white")
COLUMNS = {
    "captions": lambda k: [
        f"a {COLOURS[k % 5]} dog beside tree number {k}",
        f"two {COLOURS[k % 3]} cats | <b>{k}</b>",
    ],
    "image_id": lambda k: f"p{k}",
}


@pytest.fixture
def source(tmp_path):
    """A folder with 40 pictures to train on and five to test on."""
    for split, size in (("train", 40), ("test", 5)):
        rows(size, **COLUMNS).to_parquet(str(tmp_path / "source" / f"{split}.parquet"))
    return str(tmp_path / "source")


def make(dataset, output, *words, kind="shuffle", rate="0.4"):
    return make_noisy_set(
        *parse_noisy_set(["--dataset", dataset, "--kind", kind, "--rate", rate, "--output", str(output), *words])
    )


def run(*words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["recipes/make_noise.py", *map(str, words)])
    runpy.run_path("recipes/make_noise.py", run_name="__main__")


def hashes(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table_of(folder, *config, split="train"):
    """The rows as `datasets` gives them to anyone, pictures as bytes."""
    loaded = datasets.load_dataset(str(folder), *config, split=split)
    return loaded.cast_column("image", datasets.Image(decode=False)).to_list()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_a_set_that_anyone_can_load(source, tmp_path, kind):
    content, made = make(source, tmp_path / "noisy", kind=kind)
    assert made
    got = table_of(tmp_path / "noisy")
    clean = to_pairs(datasets.load_dataset(source, split="train"), DataArguments(), "training")
    assert len(got) == len(clean) == 80
    assert list(got[0]) == ["image", "caption", "image_id", "caption_id", "is_noisy", "noise_source"]
    assert [row["image_id"] for row in got] == [f"p{k // 2}" for k in range(80)]
    by_id = dict(enumerate(clean.captions))
    for row in got:
        original = by_id[row["caption_id"]]
        if kind in TEXT_KINDS:
            assert row["noise_source"] == row["image_id"]
            assert row["is_noisy"] == (row["caption"] != original)
        else:
            assert row["caption"] == original
            assert row["noise_source"] == f"p{row['caption_id'] // 2}"
            assert row["is_noisy"] == (row["noise_source"] != row["image_id"])
    realised = np.mean([row["is_noisy"] for row in got])
    assert 0.2 < realised < 0.6
    assert content["pedigree"]["realised"] == pytest.approx(realised)
    pictures = table_of(tmp_path / "noisy", "pictures", split="test")
    expected = rows(5, **COLUMNS).cast_column("image", datasets.Image(decode=False)).to_list()
    assert [{**row, "image": row["image"]["bytes"]} for row in pictures] == [
        {**row, "image": row["image"]["bytes"], "caption_id": [2 * k, 2 * k + 1]} for k, row in enumerate(expected)
    ]


@pytest.mark.parametrize("kind", ["shuffle", "semantic"])
def test_the_draw_is_that_of_training_time_over_all_pictures(kind, source, tmp_path):
    make(source, tmp_path / "noisy", "--seed", "3", "--where", "image_id=p7", rate="1")
    assert {row["image_id"] for row in table_of(tmp_path / "noisy")} == {"p7"}
    content, _ = make(source, tmp_path / "more", "--seed", "3", "--max_train_pictures", "30", kind=kind)
    pairs, _ = load_pairs(
        DataArguments(source, noise_kind=kind, noise_rate=0.4, noise_seed=3, max_train_pictures=30)
    )  # nothing held out
    assert [row["caption"] for row in table_of(tmp_path / "more")] == pairs.captions
    assert content["pedigree"] == pairs.pedigree
    assert content["fingerprint"] == pairs.fingerprint


def test_two_runs_give_the_same_bytes_and_a_third_leaves_them(source, tmp_path, monkeypatch, capsys):
    words = ["--dataset", source, "--kind", "semantic", "--rate", "0.4", "--seed", "5", "--output"]
    for name in ("one", "two"):
        run(*words, tmp_path / name, monkeypatch=monkeypatch)
    assert "one holds semantic noise, SHA-256" in capsys.readouterr().out
    names = ["README.md", "data/train-00000-of-00001.parquet", "noise.json", "pictures/test-00000-of-00001.parquet"]
    assert list(hashes(tmp_path / "one")) == names
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    before = os.stat(tmp_path / "one")
    run(*words, tmp_path / "one", monkeypatch=monkeypatch)
    assert "was there already with the same content" in capsys.readouterr().out
    assert os.stat(tmp_path / "one") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "source", "two"]  # nothing temporary is left


def test_what_is_there_is_replaced_only_if_so_asked_and_ours(source, tmp_path):
    make(source, tmp_path / "noisy")
    before = hashes(tmp_path / "noisy")
    with pytest.raises(InputError, match=r"another noisy data set \(kind shuffle, rate 0.4, seed 0, made of source\)"):
        make(source, tmp_path / "noisy", "--seed", "1")
    assert hashes(tmp_path / "noisy") == before
    assert make(source, tmp_path / "noisy", "--seed", "1", "--overwrite", "true")[1]
    assert hashes(tmp_path / "noisy") != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy", "source"]
    (tmp_path / "mine").mkdir()
    make(source, tmp_path / "mine", "--overwrite", "true")  # an empty folder is nobody's
    for name in ("file", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        for path in (tmp_path / "file", tmp_path / "folder" / "diary.txt"):
            path.write_text("mine")
        with pytest.raises(InputError, match="something else at .* already, which is not replaced"):
            make(source, tmp_path / name, "--overwrite", "true")
    assert (tmp_path / "folder" / "diary.txt").read_text() == "mine"


def test_other_pictures_under_the_same_captions_are_other_data(source, tmp_path):
    for streaming in ("false", "true"):
        output = tmp_path / f"noisy_{streaming}"
        words = ["--streaming", streaming]
        make(source, output, *words, kind="truncated")
        before = hashes(output)
        assert not make(source, output, *words, kind="truncated")[1]
        pq_rows = datasets.Dataset.from_parquet(f"{source}/train.parquet").to_list()
        pq_rows[3]["image"]["bytes"] = pq_rows[3]["image"]["bytes"] + b"another end"
        changed = datasets.Dataset.from_list(pq_rows).cast_column("image", datasets.Image())
        changed.to_parquet(f"{tmp_path}/changed_{streaming}/train.parquet")
        shutil.copy(f"{source}/test.parquet", f"{tmp_path}/changed_{streaming}")
        shutil.copytree(f"{tmp_path}/changed_{streaming}", source, dirs_exist_ok=True)
        with pytest.raises(InputError, match="another noisy data set .*, made of source, with other pictures"):
            make(source, output, *words, kind="truncated")
        assert hashes(output) == before
        assert make(source, output, *words, "--overwrite", "true", kind="truncated")[1]
        assert hashes(output)["data/train-00000-of-00001.parquet"] != before["data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: next((folder / "data").iterdir()).unlink(), "data/train-00000-of-00001.parquet is not there"),
        (lambda folder: (folder / "README.md").unlink(), "README.md is not there"),
        (lambda folder: (folder / "pictures" / "test-00000-of-00001.parquet").write_bytes(b"cut"), "another content"),
        (
            lambda folder: (folder / "data" / "train-9.parquet").write_bytes(b"more"),
            "train-9.parquet is not in its li",
        ),
        (lambda folder: (folder / "noise.json").write_text('{"pedigree": null, "files": 3}'), "is not in its list"),
    ],
)
def test_a_damaged_folder_is_not_taken_for_what_it_was(source, tmp_path, damage, sentence):
    make(source, tmp_path / "noisy")
    whole = hashes(tmp_path / "noisy")
    damage(tmp_path / "noisy")
    damaged = hashes(tmp_path / "noisy")
    with pytest.raises(InputError, match=f"noisy is damaged, .*{sentence}.*--overwrite true"):
        make(source, tmp_path / "noisy")
    assert hashes(tmp_path / "noisy") == damaged
    assert make(source, tmp_path / "noisy", "--overwrite", "true")[1]
    assert hashes(tmp_path / "noisy") == whole


@pytest.mark.parametrize("output", ["/proc/noisy", "file/noisy", "x" * 300])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("hf_noisy_itm.noisy_set.make.PairsSource", lambda *given: pytest.fail("it was read"))
    with pytest.raises(InputError, match=f"{output} cannot be made: .*; name another --output") as error:
        make("no/such.parquet", output)
    assert "\n" not in str(error.value)


def test_a_full_disk_ends_with_a_sentence(source, tmp_path, monkeypatch):
    def write_table(*given, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", write_table)
    with pytest.raises(InputError, match="noisy cannot be made: .*No space left"):
        make(source, tmp_path / "noisy")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_is_made_anew_is_read_anew(source, tmp_path):
    """`datasets` keys its cache by the folder's name and card: another content must give another card."""
    for folder in (tmp_path / "a" / "noisy", tmp_path / "b" / "noisy"):
        seen = []
        for seed in ("1", "2"):
            make(source, folder, "--seed", seed, "--overwrite", "true")
            expected, _ = load_pairs(DataArguments(source, noise_rate=0.4, noise_seed=int(seed)))
            seen.append([row["caption"] for row in table_of(folder)])
            assert seen[-1] == load_pairs(DataArguments(str(folder)))[0].captions == expected.captions
        assert seen[0] != seen[1]


def test_a_run_that_fails_leaves_nothing(source, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_noisy_itm.noisy_set.make.write_dataset_card", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(source, tmp_path / "noisy")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


KILLED = """
import sys, time
import pyarrow.parquet as pq
from hf_noisy_itm.run import train
from hf_noisy_itm.noisy_set import make_noisy_set, parse_noisy_set

def write_table(self, *given, whole=pq.ParquetWriter.write_table, **more):
    whole(self, *given, **more)
    print("writing", flush=True)
    time.sleep(600)

pq.ParquetWriter.write_table = write_table
make_noisy_set(*parse_noisy_set(sys.argv[1:]))
"""


def test_a_run_that_is_killed_leaves_nothing_under_the_final_name(source, tmp_path):
    words = ["--dataset", source, "--kind", "shuffle", "--rate", "0.4", "--output", str(tmp_path / "noisy")]
    with subprocess.Popen([sys.executable, "-c", KILLED, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert any(line == "writing\n" for line in run.stdout)
        run.send_signal(signal.SIGKILL)
    names = {path.name for path in tmp_path.iterdir()}
    assert "noisy" not in names
    assert len(names) == 2  # a folder whose name begins with a dot
    assert make(source, tmp_path / "noisy")[1]
    assert {path.name for path in tmp_path.iterdir()} == {"noisy", "source"}


def test_training_on_the_folder_knows_its_pedigree_and_evaluates_on_clean_pictures(source, tmp_path):
    content, _ = make(source, tmp_path / "noisy", rate="0.5")
    train, held_out = load_pairs(DataArguments(str(tmp_path / "noisy")))
    assert (
        train.pedigree
        == content["pedigree"]
        == json.loads((tmp_path / "noisy" / "noise.json").read_text())["pedigree"]
    )
    assert train.fingerprint == content["fingerprint"]
    assert train.is_noisy.mean() == content["pedigree"]["realised"]
    assert train.name.tolist() == [f"p{k}" for k in range(40)]
    assert held_out.captions == load_pairs(DataArguments(source))[1].captions
    stream, held_out = load_stream(DataArguments(str(tmp_path / "noisy"), streaming=True, shuffle_buffer=1))
    assert stream.pedigree == content["pedigree"]
    assert [row["caption"] for row in stream.one_pass()] == train.captions
    assert len(held_out) == 10


def test_a_run_on_the_folder_tells_the_pedigree(source, tmp_path):
    content, _ = make(source, tmp_path / "noisy", kind="truncated")
    words = ["--dataset", str(tmp_path / "noisy"), "--model", "scenes-clip", "--max_steps", "1", "--save_steps", "1"]
    words += ["--per_device_train_batch_size", "4", "--disable_tqdm", "true", "--output_dir", str(tmp_path / "run")]
    metrics = train(parse_recipe(words))
    assert metrics["noise"] == content["pedigree"]
    assert metrics["pairs"]["fingerprint"] == content["fingerprint"]
    stored = json.loads((tmp_path / "run" / "checkpoint-1" / "noise.json").read_text())
    assert stored == {"pedigree": content["pedigree"], "fingerprint": content["fingerprint"]}
    stream = ["--streaming", "true", "--output_dir", str(tmp_path / "stream")]
    assert train(parse_recipe([*words, *stream]))["noise"] == content["pedigree"]
    assert f"SHA-256 `{content['pedigree']['sha256']}`" in (tmp_path / "stream" / "README.md").read_text()


@pytest.mark.parametrize("streaming", ["false", "true"])
@pytest.mark.parametrize(
    ("splits", "words", "expected"),
    [
        (("train", "val"), (), {"validation": "val"}),
        (("train", "test"), ("--train_split", "test"), {"test": "train"}),
        (("train", "dev", "test", "more"), (), {"validation": "dev", "test": "test", "more": "more"}),
        (("train", "odd", "more"), ("--eval_split", "more"), {"test": "more"}),
    ],
)
def test_training_evaluates_on_what_the_card_says(tmp_path, splits, words, expected, streaming):
    source = datasets.DatasetDict({name: rows(3 + k, **COLUMNS) for k, name in enumerate(splits)})
    source.save_to_disk(str(tmp_path / "source"))
    content, _ = make(str(tmp_path / "source"), tmp_path / "noisy", "--streaming", streaming, *words, kind="truncated")
    assert {name: part["of"] for name, part in content["evaluation"].items()} == expected
    first = "test" if "test" in expected else "validation"
    assert f"evaluates on the clean pictures of the split `{first}`" in (tmp_path / "noisy" / "README.md").read_text()
    train, held_out = load_pairs(DataArguments(str(tmp_path / "noisy")))
    stream, streamed_eval = load_stream(DataArguments(str(tmp_path / "noisy"), streaming=True))
    assert held_out.report.split == streamed_eval.report.split == first
    assert len(train) == content["pedigree"]["captions"] == sum(1 for _ in stream.one_pass())
    assert held_out.captions == streamed_eval.captions
    assert len(held_out.image_id) == 3 + splits.index(expected[first])
    for name, of in expected.items():
        assert len(table_of(tmp_path / "noisy", "pictures", split=name)) == 3 + splits.index(of)


def test_every_split_gets_a_name_of_its_own():
    for names in permutations(("train", "test", "validation", "val", "Dev", "source_train", "x"), 4):
        written = written_splits(names)
        assert list(written) == list(names)
        assert len(set(written.values())) == 4
        assert "train" not in written.values()
        assert {"test", "validation"} & set(written.values())
        assert all(written[name] == name for name in ("test", "validation") if name in names)
    assert written_splits(["x"]) == {"x": "test"}
    assert written_splits([]) == {}


def test_without_a_split_to_evaluate_on_right_captions_are_held_out(tmp_path):
    content, _ = make(parquet(tmp_path, rows(40, **COLUMNS)), tmp_path / "noisy", rate="0.5")
    assert content["evaluation"] == {}
    train, held_out = load_pairs(DataArguments(str(tmp_path / "noisy")))
    assert len(train) == 72
    assert 0 < len(held_out) < 8
    assert not held_out.is_noisy.any()
    assert all(
        caption.split()[-1].strip("</b>") == name[1:]
        for caption, name in zip(held_out.captions, held_out.name[held_out.image_row])
    )


def test_noise_on_noise_keeps_what_is_known(source, tmp_path):
    first, _ = make(source, tmp_path / "once")
    second, _ = make(str(tmp_path / "once"), tmp_path / "twice", kind="truncated")
    assert second["pedigree"]["before"] == first["pedigree"]
    once, twice = table_of(tmp_path / "once"), table_of(tmp_path / "twice")
    assert [row["noise_source"] for row in twice] == [row["noise_source"] for row in once]
    for old, new in zip(once, twice):
        assert new["is_noisy"] == (old["is_noisy"] or new["caption"] != old["caption"])
    assert "on top of kind `shuffle`, rate 0.4" in (tmp_path / "twice" / "README.md").read_text()
    make(source, tmp_path / "near", kind="semantic", rate="1")
    with pytest.raises(InputError, match="stand in several rows"):
        make(str(tmp_path / "near"), tmp_path / "none", kind="truncated")


def test_a_published_draw(source, tmp_path):
    noise = draw_noise("shuffle", 0.5, 1, np.arange(80) // 2)
    save_draw(tmp_path / "draw.npy", noise, 2)
    words = ["--dataset", source, "--noise_file", str(tmp_path / "draw.npy"), "--output", str(tmp_path / "noisy")]
    content, _ = make_noisy_set(*parse_noisy_set(words))
    assert [row["is_noisy"] for row in table_of(tmp_path / "noisy")] == noise.is_noisy.tolist()
    assert content["pedigree"]["file"] == "draw.npy"
    assert content["pedigree"]["seed"] is None
    assert "seed unknown" in (tmp_path / "noisy" / "README.md").read_text()


def test_the_captions_that_npc_published(tmp_path):
    """From NPC's folders: the data set and the noisy captions lie in one of them."""
    folder = scan_split(tmp_path / "npc", 5)
    noisy = folder / "annotations" / "scan_split" / "1.0_noise_train_caps.txt"
    clean = (noisy.parent / "train_caps.txt").read_text().splitlines()
    moved = clean[5:] + clean[:5]
    noisy.write_text("\n".join(moved) + "\n")
    words = ["--dataset", "flickr30k", "--data_dir", str(folder), "--noise_file", str(noisy)]
    content, _ = make_noisy_set(*parse_noisy_set([*words, "--output", str(tmp_path / "noisy")]))
    assert [row["caption"] for row in table_of(tmp_path / "noisy")] == moved
    assert all(row["is_noisy"] for row in table_of(tmp_path / "noisy"))
    assert content["pedigree"]["file"] == "1.0_noise_train_caps.txt"
    assert content["pedigree"]["nominal"] == 1.0


def test_semantic_noise_by_a_text_tower(source, tmp_path):
    content, _ = make(source, tmp_path / "noisy", "--text_model", "scenes-clip", "--k", "3", kind="semantic")
    assert (content["pedigree"]["near_by"], content["pedigree"]["k"]) == ("scenes-clip", 3)
    assert content["pedigree"]["realised"] == 0.4
    cosine = content["pedigree"]["mean_cosine"]
    assert 0.3 < cosine <= 1
    assert f"mean cosine to the caption that was replaced {cosine:.2f}" in (tmp_path / "noisy/README.md").read_text()
    assert told(content, "noisy", True).endswith(f" the one it replaced {cosine:>16.2f}")


def test_figures_count_what_is_in_the_rows(source, tmp_path):
    content, made = make(source, tmp_path / "noisy", rate="0.5")
    got = table_of(tmp_path / "noisy")
    wrong = np.array([row["is_noisy"] for row in got]).reshape(40, 2)
    right_text = sum(
        row["is_noisy"] and row["caption"] in COLUMNS["captions"](int(row["image_id"][1:])) for row in got
    )
    counts = [80, wrong.sum(), right_text, 40, wrong.any(axis=1).sum(), wrong.all(axis=1).sum()]
    assert [rate["count"] for rate in content["rates"]] == counts
    assert content["rates"][1]["share"] == wrong.mean()
    assert content["evaluation"]["test"]["pictures"] == 5
    assert f"wrong captions {wrong.sum():>55} {wrong.mean():7.2%}" in told(content, "noisy", made)


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize("form", ["csv", "webdataset", "parquet"])
def test_a_stream_gives_the_rows_that_memory_gives(tmp_path, source, kind, form):
    if form == "csv":
        pictures(tmp_path / "files" / "pictures")
        source = csv(tmp_path / "files" / "pairs.csv")
    elif form == "webdataset":
        source = tar(tmp_path / "files" / "pairs.tar", range(10), txt=text)
    for name, streaming in (("memory", "false"), ("stream", "true")):
        make(str(source), tmp_path / name, "--streaming", streaming, kind=kind, rate="0.6")
    memory, stream = (json.loads((tmp_path / name / "noise.json").read_text()) for name in ("memory", "stream"))
    assert table_of(tmp_path / "stream") == table_of(tmp_path / "memory")
    assert stream["files"] == memory["files"]
    assert stream["pedigree"] == memory["pedigree"]
    assert stream["rates"] == memory["rates"][:2]
    assert stream["examples"] == memory["examples"]
    assert stream["fingerprint"] is None
    assert not make(str(source), tmp_path / "stream", "--streaming", "true", kind=kind, rate="0.6")[1]


def test_bad_rows_of_a_stream_are_told_in_a_table(tmp_path, monkeypatch, capsys):
    captions = {3: ["a dog", " "], 5: ["!", "w " * 80]}
    columns = {"image_id": lambda k: k % 8, "captions": lambda k: captions.get(k, [f"red car {k}"])}
    table = rows(10, **columns)
    path = parquet(tmp_path, table)
    words = ["--dataset", path, "--streaming", "true", "--kind", "truncated", "--rate", "0.5"]
    with pytest.raises(SystemExit):
        run(*words, "--output", tmp_path / "no", monkeypatch=monkeypatch)
    told_of = capsys.readouterr()
    assert "There are 1 empty caption(s) among the training rows, first in row 3; mend them" in told_of.err
    tables = []
    for streaming in ("true", "false"):
        words[words.index("--streaming") + 1] = streaming
        output = tmp_path / streaming
        run(*words, "--output", output, "--on_bad_row", "skip", monkeypatch=monkeypatch)
        tables.append(capsys.readouterr().out.split(str(output))[0])
    assert tables[0] == tables[1]
    assert (
        "row(s) of an image id with another picture         2  left out                    training 8, 9" in tables[0]
    )
    assert table_of(tmp_path / "true") == table_of(tmp_path / "false")


def test_a_caption_in_several_rows_is_not_damaged_in_several_ways(tmp_path):
    path = parquet(tmp_path, rows(4, captions=lambda k: ["a red car"], caption_id=lambda k: [k // 2]))
    for streaming in ("true", "false"):
        with pytest.raises(InputError, match="stand in several rows"):
            make(path, tmp_path / "noisy", "--streaming", streaming, kind="truncated")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say which noise"),
        (["--kind", "shuffle"], "Say which noise"),
        (["--kind", "mirror", "--rate", "1"], "no kind 'mirror'; there are shuffle"),
        (["--kind", "shuffle", "--rate", "1.5"], "between 0 and 1, got 1.5"),
        (["--kind", "shuffle", "--rate", "0.4", "--seed", "-1"], "seed must be at least 0"),
        (["--kind", "shuffle", "--noise_rate", "0.4"], "say --rate here"),
        (["--kind", "partial", "--rate", "0.4", "--keep_none", "true"], "keep_none is for --kind shuffle"),
        (["--kind", "shuffle", "--rate", "0.4", "--text_model", "x"], "text_model is for --kind semantic"),
        (["--kind", "partial", "--noise_file", "x.npy"], "not of the kind partial"),
        (["--kind", "shuffle", "--rate", "0.4", "--k", "10"], "k is for --kind semantic"),
        (["--noise_file", "x.npy", "--streaming", "true"], "leave keep_none, seed and streaming out"),
        (["--noise_file", "x.npy", "--seed", "0"], "leave keep_none, seed and streaming out"),
        (["--kind", "shuffle", "--rate", "0.4", "--holdout_every", "5"], "leave holdout_every out"),
        (["--kind", "shuffle", "--rate", "0.4", "--shuffle_buffer", "5"], "leave shuffle_buffer out"),
        (["--kind", "shuffle", "--rate", "0.4", "--max_train_pictures", "0"], "must be at least 1, got 0"),
        (["--kind", "semantic", "--rate", "0.4", "--text_model", "./no-model"], "no model folder"),
        (["--kind", "shuffle", "--rate", "0.4", "--streaming", "true"], "depends on all rows"),
        (["--kind", "shuffle", "--rate", "0.4", "--train_split", "dev"], "no split 'dev'; it has"),
        (["--kind", "shuffle", "--rate", "0.4", "--eval_split", "dev"], "no split 'dev'; it has"),
        (["--kind", "shuffle", "--rat", "0.4"], "did you mean 'rate'"),
        (
            ["--kind", "shuffle", "--rate", "0.4", "--match_by", "zz"],
            "match_by does nothing for shuffle: leave it",
        ),
        (["--noise_file", "x.npy", "--match_by", "zz"], "match_by does nothing for a noise_file"),
        (
            ["--kind", "label_symmetric", "--rate", "0.4", "--label_column", "kind"],
            "label_column does nothing for label_symmetric: leave it out",
        ),
        (["--kind", "shuffle", "--rate", "0.4", "--test_split", "x"], "test_split does nothing for shuffle"),
        (["--kind", "shuffle", "--rate", "0.4", "--license", "a: b #x"], "license 'a: b #x' is no identifier of the"),
        (["--kind", "shuffle", "--rate", "0.4", "--license", "CC-BY"], "license 'CC-BY' is no identifier of the Hub"),
    ],
)
def test_wrong_input_ends_with_one_sentence(source, tmp_path, words, sentence, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run("--dataset", source, "--output", tmp_path / "noisy", *words, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "noisy").exists()


def test_wrong_captions_are_not_copied_as_clean(tmp_path):
    for split, noisy in (("train", False), ("test", True)):
        rows(5, is_noisy=lambda k, noisy=noisy: noisy).to_parquet(str(tmp_path / "source" / f"{split}.parquet"))
    with pytest.raises(InputError, match="split 'test' of .* has wrong captions"):
        make(str(tmp_path / "source"), tmp_path / "noisy")


@pytest.mark.parametrize("folder", ["noisy[4]", "a*b/noisy"])
def test_a_folder_that_nobody_could_open_is_not_made(tmp_path, folder):
    with pytest.raises(InputError, match=r"--output .* has brackets, \* or \? in its path"):
        make("no/such.parquet", tmp_path / folder)


CHINESE = {"captions": None, "caption": lambda k: f"第{k}张图片在房间里，有很多东西{k}"}


def test_captions_that_share_nothing_are_not_called_near(tmp_path):
    path = parquet(tmp_path, rows(40, **CHINESE))
    with pytest.raises(InputError, match="Of 40 captions only 0 have a near one .*but 40 are.*a --text_model"):
        make(path, tmp_path / "noisy", kind="semantic", rate="1")
    mixed = {**CHINESE, "caption": lambda k: f"a {COLOURS[k % 5]} dog" + " ran" * (k % 3) if k < 20 else f"图{k}"}
    mixed = parquet(tmp_path, rows(40, **mixed, image_id=lambda k: k))
    content, _ = make(mixed, tmp_path / "noisy", kind="semantic", rate="0.4")
    got = [row for row in table_of(tmp_path / "noisy") if row["is_noisy"]]
    assert len(got) == 16
    assert all(row["image_id"] < 20 and row["noise_source"] < 20 for row in got)
    assert content["rates"][-1] == {
        "what": "replaced captions without a word of the new one",
        "count": 0,
        "share": 0.0,
    }
    with pytest.raises(InputError, match="Of 40 captions only 20 have a near one .*lower the rate to 0.5 or less"):
        make(mixed, tmp_path / "more", kind="semantic", rate="0.6")


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_a_draw_that_makes_next_to_nothing_wrong_says_so(tmp_path, streaming, source):
    words = ["--streaming", streaming]
    content, made = make(parquet(tmp_path, rows(40, **CHINESE)), tmp_path / "none", *words, kind="partial", rate="1")
    assert "warning: Noise of the kind partial at rate 1.0 made 0.00% of the captions wrong: it replaces English" in (
        told(content, "none", made)
    )
    content, made = make(source, tmp_path / "some", *words, kind="partial", rate="1")
    assert "warning" not in told(content, "some", made)


def test_the_card_promises_no_evaluation_that_cannot_be(tmp_path):
    path = parquet(tmp_path, rows(40, **COLUMNS))
    content, _ = make(path, tmp_path / "all", "--keep_none", "true", rate="1")
    assert content["held_out"] == 0
    card = (tmp_path / "all" / "README.md").read_text()
    assert "evaluates on" not in card
    assert "of the pictures that it would hold out no caption is right" in card
    with pytest.raises(InputError, match="All captions to evaluate on are known to be wrong"):
        load_pairs(DataArguments(str(tmp_path / "all")))
    content, _ = make(path, tmp_path / "half", rate="0.5")
    _, held_out = load_pairs(DataArguments(str(tmp_path / "half")))
    assert content["held_out"] == len(held_out) > 0
    assert f"pictures that it holds out, {len(held_out)} of them" in (tmp_path / "half" / "README.md").read_text()


@pytest.mark.parametrize("streaming", ["false", "true"])
@pytest.mark.parametrize("ids", [lambda k: [f"c{k}-0", f"c{k}-1"], lambda k: [90 + k, 200 + k]])
def test_captions_keep_the_ids_of_their_source(tmp_path, streaming, ids):
    for split, size in (("train", 9), ("test", 4)):
        table = rows(size, **COLUMNS, caption_id=ids)
        table.to_parquet(str(tmp_path / "source" / f"{split}.parquet"))
    make(str(tmp_path / "source"), tmp_path / "noisy", "--streaming", streaming, kind="truncated", rate="0.5")
    given = [each for k in range(9) for each in ids(k)]
    assert [row["caption_id"] for row in table_of(tmp_path / "noisy")] == given
    assert [row["caption_id"] for row in table_of(tmp_path / "noisy", "pictures", split="test")] == [
        ids(k) for k in range(4)
    ]
    train, held_out = load_pairs(DataArguments(str(tmp_path / "noisy")))
    assert train.caption_name.tolist() == given
    file = tmp_path / "positives.json"
    file.write_text(json.dumps({"i2t": {"p1": list(map(str, ids(2)))}}))
    assert read_positives(file, held_out)["i2t"].rows[1] == [4, 5]
