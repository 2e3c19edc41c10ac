"""How runs are begun, and what of one that fails is told; the trainings here are scripts of a few lines."""

import os
import sys
import time
from types import SimpleNamespace

import pytest

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.suites import Way, choices, make_runs, running, table_runs
from hf_noisy_itm.suites.process import one_run

from .conftest import left
from .test_plan import RECIPES, SHUFFLED, suite_of

WORDS = ["/somewhere/recipes/npc/scenes_noise40.yaml", "--seed", "3"]
TRAINS = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--output_dir") + 1])
folder.mkdir()
told = {"metrics": {"rsum": 1.0}, "training": {"output_dir": "x", "seed": 3}, "weights_sha256": "0"}
told["scores_beside"] = pathlib.Path(sys.argv[sys.argv.index("--score_cache") + 1]).parent == folder.parent
told["processes"] = int(os.environ.get("WORLD_SIZE", "1"))
if os.environ.get("RANK", "0") == "0":
    (folder / "metrics.json").write_text(json.dumps(told))
"""


def script(folder, text):
    path = folder / "train.py"
    path.write_text(text)
    return path


def test_a_run_is_a_process_whose_metrics_and_cost_are_kept(tmp_path):
    path = script(tmp_path, TRAINS + "block = bytearray(300 << 20)\nsum(range(3 * 10**6))")
    content = one_run(Way().command(path), WORDS, time.monotonic() + 60)
    assert content["metrics"] == {"rsum": 1.0}
    assert content["training"] == {"seed": 3}
    assert content["scores_beside"]  # of this run alone, which pays for them
    assert "weights_sha256" not in content
    assert content["command"] == ["recipes/train.py", "recipes/npc/scenes_noise40.yaml", "--seed", "3"]
    assert content["cost"]["peak_mb"] > 300
    assert 0 < content["cost"]["cpu_seconds"] < content["cost"]["seconds"] + 1
    assert one_run(Way().command(path), WORDS, time.monotonic() - 1) is None


def test_time_is_that_of_programs_and_of_the_system_and_memory_is_in_units_of_two_to_the_twentieth(
    tmp_path, monkeypatch
):
    waited = os.wait4
    used = SimpleNamespace(ru_utime=3.0, ru_stime=4.0, ru_maxrss=(7 << 20) if sys.platform == "darwin" else 7 << 10)
    monkeypatch.setattr(os, "wait4", lambda *given: (*waited(*given)[:2], used))
    cost = one_run(Way().command(script(tmp_path, TRAINS)), WORDS, time.monotonic() + 60)["cost"]
    assert (cost["cpu_seconds"], cost["peak_mb"]) == (7.0, 7.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "import sys; print('error: the disk is full', file=sys.stderr); print('bye'); sys.exit(1)",
            "the disk is full",
        ),
        ("raise ValueError('odd')", "ValueError: odd"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status -9 and without a word"),
    ],
)
def test_why_a_run_failed_is_told(text, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        one_run(Way().command(script(tmp_path, text)), WORDS, time.monotonic() + 60)


def test_a_launcher_begins_as_many_processes_as_its_config_says(tmp_path):
    config = tmp_path / "two.yaml"
    config.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\nuse_cpu: true\n")
    way = Way(accelerate=config)
    path = script(tmp_path, TRAINS.replace(".mkdir()", ".mkdir(exist_ok=True)"))
    content = one_run(way.command(path), WORDS, time.monotonic() + 60)
    assert content["processes"] == 2
    assert way.told["accelerate"]["num_processes"] == 2


def test_runs_of_another_launcher_are_other_runs(tmp_path, monkeypatch):
    config = tmp_path / "two.yaml"
    config.write_text("num_processes: 2\n")
    suite, folder = suite_of(tmp_path), tmp_path / "results"
    run = table_runs(suite, {"control": {SHUFFLED: 2e-4}, "npc": {SHUFFLED: 2e-4}})[0]
    monkeypatch.setattr(running, "one_run", left)
    assert make_runs(suite, [run], RECIPES, folder)
    with pytest.raises(InputError, match=r"made with accelerate None, which is now .'num_processes': 2."):
        make_runs(suite, [run], RECIPES, folder, way=Way(accelerate=config))


def test_a_choice_is_told_to_look_at_no_test_split(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(running, "one_run", lambda begin, words, end: seen.append((begin, words)))
    suite = suite_of(tmp_path)
    assert not make_runs(suite, choices(suite)[:1], RECIPES, tmp_path / "results")
    [(begin, words)] = seen
    assert begin == [sys.executable, str(RECIPES / "train.py")]
    assert words[words.index("--test_split") + 1] == "none"


def test_ways_that_do_not_hold_together_are_refused(tmp_path):
    with pytest.raises(InputError, match="--processes must be at least 1, got 0"):
        Way(0)
    with pytest.raises(InputError, match="--limit is a number of seconds, got nan"):
        Way(end=float("nan"))
    with pytest.raises(InputError, match="accelerate launch takes all devices"):
        Way(2, accelerate=tmp_path / "two.yaml")
    with pytest.raises(InputError, match=r"two.yaml is no config of accelerate: .*No such file"):
        Way(accelerate=tmp_path / "two.yaml")
    (tmp_path / "two.yaml").write_text("[3]")
    with pytest.raises(InputError, match=r"two.yaml is no config of accelerate"):
        Way(accelerate=tmp_path / "two.yaml")
