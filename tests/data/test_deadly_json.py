import json
import os
import subprocess
import sys
import time

import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data._deadly_json import refuse_deadly_json
from hf_noisy_itm.data._sources import load_splits


@pytest.mark.parametrize("opening", ["[", '{"a": ', '\n[\n"]]]]]]]]]]]]", ', '[{"a": "}]", "b": '])
def test_what_is_nested_too_deeply_is_refused(tmp_path, opening):
    path = tmp_path / "x.json"
    levels = opening.count("[") + opening.count("{")
    path.write_text('{"a": 1}\n' + opening * (64 // levels))
    refuse_deadly_json([path])
    path.write_text('{"a": 1}\n' + opening * (64 // levels + 1))
    with pytest.raises(InputError, match="x.json is nested more than 64 levels deep"):
        refuse_deadly_json([path])


def test_brackets_in_texts_nest_nothing(tmp_path):
    rows = [{"caption": "[" * 70 + '\\" {' * row, "image": [row]} for row in range(200)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "y.json").write_text(json.dumps(rows, indent=1))
    refuse_deadly_json([tmp_path / "x.jsonl", tmp_path / "y.json"])


def test_a_text_that_never_ends_takes_no_time(tmp_path):
    (tmp_path / "x.json").write_bytes(b'"' + b'\\"a' * 2_000_000)
    start = time.process_time()
    refuse_deadly_json([tmp_path / "x.json"])
    assert time.process_time() - start < 5  # 6 MB, looked at once


@pytest.mark.parametrize("as_folder", [True, False])
def test_arrow_is_not_asked_to_read_what_ends_the_process(tmp_path, as_folder):
    path = tmp_path / "x.jsonl"
    path.write_text('{"image": "a.png", "caption": ' + "[" * 20_000 + "]" * 20_000 + "}\n")
    with pytest.raises(InputError, match="nested more than 64"):
        load_splits(DataArguments(str(tmp_path if as_folder else path)))


@pytest.mark.parametrize("text", ['{"a": ' + "[" * 20_000 + "]" * 20_000 + "}\n", "null\n"])
def test_arrow_still_ends_the_process(tmp_path, text):
    """Once it does not, the check may go."""
    (tmp_path / "x.jsonl").write_text(text)
    code = "import sys, pyarrow.json; pyarrow.json.read_json(sys.argv[1])"
    words = [sys.executable, "-c", code, str(tmp_path / "x.jsonl")]
    assert subprocess.run(words, capture_output=True, env=os.environ, timeout=60).returncode < 0


@pytest.mark.parametrize("text", ["null", "  null\n", '{"a": 1}\n\n \tnull\n', '[{"a": 1},\nnull\n]\nnull'])
def test_a_null_in_place_of_a_row_is_refused(tmp_path, text):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(InputError, match="has a null in place of a row"):
        refuse_deadly_json([tmp_path / "x.jsonl"])


@pytest.mark.parametrize("text", ['[{"a":\nnull},\nnull\n]', '{"a": "\\nnull"}\n', '{"a": null}\n{"b": 1}'])
def test_a_null_may_be_a_value(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    refuse_deadly_json([tmp_path / "x.json"])


def test_a_file_of_nulls_takes_no_longer_than_its_length_says(tmp_path):
    (tmp_path / "x.json").write_text("[\n" + "null,\n" * 100_000 + "null]")
    start = time.process_time()
    refuse_deadly_json([tmp_path / "x.json"])
    assert time.process_time() - start < 2  # it took minutes where each null looked at all before it
