"""What fuzzing found, each by the smallest file; and a short fuzzing of every reader (the long one is a benchmark)."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.checkpoint import load_memory
from hf_noisy_itm.comparison import compare
from hf_noisy_itm.data._folders import refuse_empty
from hf_noisy_itm.data._layouts import read_karpathy
from hf_noisy_itm.data.emoji import _read as read_emoji
from hf_noisy_itm.data.pedigree import read_noise_file
from hf_noisy_itm.files import read_json, read_yaml
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.metrics.itm_recall.app import _arrays
from hf_noisy_itm.resuming import missing_parts
from hf_noisy_itm.suites import read_suite
from hf_noisy_itm.suites.running import read_run
from hf_noisy_itm.untrusted import files_of_index

from ..measuring import BENCHMARKS, ROOT, committed

NESTED = "[" * 100_000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi")
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n" for before, name in zip("abcdefgh", "bcdefghi")
)


def checkpoint(path):
    load_memory(path.parent, PairMemory("x", 4), lambda tensors: None)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.json", lambda path: read_karpathy(path, path.parent, "imgid", {})),
        ("x.json", read_emoji),
        ("x.json", read_run),
        ("x.json", lambda path: compare([path])),
        ("noise.json", lambda path: read_noise_file(path.parent)),
        ("memory.json", checkpoint),
        ("model.safetensors.index.json", files_of_index),
    ],
)
def test_deep_json_is_refused(tmp_path, name, read):
    (tmp_path / name).write_text(NESTED)
    with pytest.raises(InputError):
        read(tmp_path / name)


def test_a_deep_state_is_none(tmp_path):
    (tmp_path / "trainer_state.json").write_text(NESTED)
    assert "a whole trainer_state.json" in missing_parts(tmp_path)


def test_json_is_read_with_and_without_a_byte_order_mark(tmp_path):
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "x.json").write_bytes(mark + b'{"a": [1]}')
        assert read_json(tmp_path / "x.json") == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (NESTED[:900], "nested too deeply"),
        ("# " + "]" * 8_000 + "\n" + "[" * 8_000, "it opens more than 1,000 brackets"),
        ("a: 1\n" * 10_000, "it has 50,000 characters, and 16,384 are the most"),
        ("- " * 5000, "nested too deeply"),
        ("&a [*a]", "nested too deeply, or within itself"),
        (LAUGHS, "aliases stand for more than 100,000 values"),
        (MERGED, "aliases stand for more than 100,000 values"),
        ("a: 1\nseed: 1\nseed: 2", "line 1 and those below it say seed twice"),
        ("seed: 2001-99-99", "month must be in 1..12"),
        (f"seed: {'9' * 5000}", "4300 digits"),
        ("seed: !!timestamp x", "groupdict"),
        ("seed: !!int ''", "index out of range"),
        ("seed: !!bool x", "x"),
        ("seed: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_odd_yaml_is_refused(tmp_path, text, sentence):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_yaml(tmp_path / "x.yaml")
    for read in (lambda path: parse_recipe([str(path)]), read_suite):
        with pytest.raises(InputError, match=r"x\.yaml is n"):
            read(tmp_path / "x.yaml")


def test_aliases_may_repeat_what_is_small(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {x: 1, y: [2]}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "x.yaml")["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize("field", ["methods", "noise", "seeds", "learning_rates"])
@pytest.mark.parametrize("value", ["1", "[1]", "x"])
def test_a_suite_with_fields_of_other_kinds_is_refused(tmp_path, field, value):
    whole = read_yaml(ROOT / "recipes" / "suites" / "scenes.yaml")
    assert field in whole
    (tmp_path / "x.yaml").write_text(json.dumps(whole | {field: json.loads(value) if value != "x" else value}))
    if (field, value) == ("seeds", "[1]"):
        assert read_suite(tmp_path / "x.yaml").seeds == (1,)
        return
    with pytest.raises(InputError, match=r"x\.yaml"):
        read_suite(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    "way", [["negatives", []], ["negatives", {"i2t": 3}], ["weights", 3], ["training", {"seed": []}]]
)
def test_figures_of_other_kinds_are_refused(tmp_path, way):
    file = next((ROOT / "recipes" / "results" / "npc" / "scenes40").glob("npc_seed0.json"))
    run = json.loads(file.read_text()) | dict([way])
    (tmp_path / "x.json").write_text(json.dumps(run))
    if way[1] == []:
        compare([tmp_path / "x.json"])
        return
    with pytest.raises(InputError, match=r"is not the metrics\.json of a training"):
        compare([tmp_path / "x.json"])


@pytest.mark.parametrize("name", ["x" * 5000, "../memory.json", 3, ["a"]])
def test_a_checkpoint_lists_its_own_files_alone(tmp_path, name):
    (tmp_path / "memory.json").write_text(json.dumps({"files": [name]}))
    with pytest.raises(InputError, match=r"has no memory\.json that says"):
        checkpoint(tmp_path / "memory.json")


def test_a_state_that_is_no_object_says_nothing_of_rows(tmp_path):
    (tmp_path / "state.json").write_text("[]")
    refuse_empty(tmp_path)


def test_a_packed_array_with_damaged_bytes_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", image_embeds=np.arange(4000.0))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        first = archive.infolist()[0]
    content[first.header_offset + 100 : first.header_offset + 140] = bytes(40)
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a whole \.npz file: Error -3"):
        _arrays(str(tmp_path / "x.npz"), "")


def test_every_reader_survives_some_hundred_files(tmp_path):
    """Of another seed than the committed figures, so that it looks at other files."""
    command = [sys.executable, str(BENCHMARKS / "fuzz_readers.py"), "--files", "240", "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "x.json")], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["all"]["files"] >= 240
    assert figures["formats"].keys() == committed("fuzz_readers")["formats"].keys()


def test_the_committed_fuzzing_found_no_failure():
    figures = committed("fuzz_readers")
    assert figures["all"]["files"] >= 20_000
    assert figures["all"]["failures"] == 0
    assert all(count["refused"] + count["read"] >= 400 for count in figures["formats"].values())


def rows_of(part):
    """Cells of a table of the page, without its head; and the text around it."""
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    page = page.split(f"<!-- {part} -->")[1].split("<!-- end -->")[0]
    lines = [line.strip("|") for line in page.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]], page


def test_the_page_has_the_committed_figures():
    figures = committed("fuzz_readers")
    rows, page = rows_of("fuzz")
    kinds = {"tables of pairs (CSV, TSV, JSONL, Parquet, tar)": "pairs", "pictures (13 formats)": "picture", "all": ""}
    for name, *numbers in rows:
        kind = kinds.get(name, name)
        parts = [each for what, each in figures["formats"].items() if what.split(",")[0] == kind or not kind]
        told = [sum(each[part] for each in parts) for part in ("read", "refused", "failures")]
        assert [int(number.replace(",", "")) for number in numbers] == told, name
    assert (
        f"took {figures['slowest']['seconds']} seconds, and the largest {figures['most memory']['MB']:.0f} MB" in page
    )


def test_the_page_has_the_committed_figures_of_load():
    stages = committed("load")["stages"]
    rows, _ = rows_of("load")
    assert {name for name, *_ in rows} == stages.keys()
    for name, sizes, seconds, seconds_off, extra, extra_off, peak in rows:
        points, off = stages[name]["sizes"], stages[name]["off the line"]
        told = [[point[what] for point in points.values()] for what in list(off)]
        assert sizes == " / ".join(f"{int(size):,}" for size in points)
        assert [seconds, extra, peak] == [
            " / ".join(f"{value:{form}}" for value in values) for values, form in zip(told, (".1f", ",.0f", ",.0f"))
        ]
        assert [seconds_off, extra_off] == [f"{share:.1%}" for share in list(off.values())[:2]]
        assert name == "bank, exact" or max(list(off.values())[:2]) <= 0.15, f"{name} is not linear in the pairs"
