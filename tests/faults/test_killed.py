"""A training that is killed anywhere, and given again as it was, ends where the undisturbed one does, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
DRAWS, SEED = 20, 0
KINDS = ["scores", "pictures", "memory_bank", "model.safetensors", "optimizer"]  # each while it is written, twice
WORDS = ["recipes/train.py", "recipes/npc/scenes_noise40.yaml", "--trust", "osa", "--bank_refresh_epochs", "1"]
WORDS += ["--max_train_pictures", "24", "--max_eval_pictures", "12", "--per_device_train_batch_size", "24"]
WORDS += ["--max_steps", "14", "--warmup_steps", "2", "--logging_steps", "1", "--disable_tqdm", "true"]
WORDS += ["--save_strategy", "steps", "--save_steps", "2", "--save_total_limit", "2"]
WORDS += ["--resume_from_checkpoint", "auto"]


def start(folder):
    """The command, which begins or goes on; its caches lie in the folder too, and are killed while written."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = ["--output_dir", str(folder / "run"), "--score_cache", str(folder / "scores")]
    words += ["--picture_cache", str(folder / "pictures")]
    with open(folder / "log", "a") as log:
        return subprocess.Popen(
            [sys.executable, *WORDS, *words], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(folder):
    process = start(folder)
    assert process.wait(timeout=600) == 0, (folder / "log").read_text()[-2000:]
    return load_file(folder / "run" / "model.safetensors")


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_where_it_would_have_ended(tmp_path):
    """Half of the draws are at any moment, half just as a file is being written, of each kind twice."""
    (tmp_path / "whole").mkdir()
    began = time.monotonic()
    expected = finish(tmp_path / "whole")
    seconds = time.monotonic() - began
    draw = random.Random(SEED)
    folder, kills, files = tmp_path / "killed", 0, [*KINDS, *KINDS]
    folder.mkdir()
    while kills < DRAWS:
        process = start(folder)
        if kills % 2:
            ended = wait_for_writing(process, folder, files[kills // 2])
        else:
            ended = wait(process, draw.uniform(0, seconds))
        if ended:  # faster than the draw: begin anew, or there would be nothing left to kill
            assert process.returncode == 0, (folder / "log").read_text()[-2000:]
            same(load_file(folder / "run" / "model.safetensors"), expected)
            folder = tmp_path / f"killed{kills}"
            folder.mkdir(exist_ok=True)
            continue
        kill(process)
        kills += 1
    same(finish(folder), expected)


def same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def wait(process, seconds):
    """Whether it ended before."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def wait_for_writing(process, folder, kind):
    """Returns as soon as a file of a kind appears that was not there; whether the process ended before."""
    known = set(folder.rglob("*"))
    while process.poll() is None:
        now = set(folder.rglob("*"))
        if any(kind in path.relative_to(folder).as_posix() for path in now - known if path.is_file()):
            return False
        known = now
        time.sleep(0.002)
    return True


@pytest.mark.slow
def test_a_noisy_set_that_is_killed_while_it_is_made_is_made_whole_by_the_same_command(tmp_path):
    words = ["recipes/make_noise.py", "--dataset", "scenes", "--kind", "shuffle", "--rate", "0.4", "--output"]

    def make(folder):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, *words, str(folder)], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    assert make(tmp_path / "whole").wait(timeout=300) == 0
    (tmp_path / "killed").mkdir()
    for kind in ("parquet", "pictures", "noise"):
        process = make(tmp_path / "killed" / "set")
        ended = wait_for_writing(process, tmp_path / "killed", kind)
        kill(process)
        assert not ended
        assert not (tmp_path / "killed" / "set").exists()
    assert make(tmp_path / "killed" / "set").wait(timeout=300) == 0
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["set"]  # what was begun is gone
    whole, found = (tmp_path / "whole", tmp_path / "killed" / "set")
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(found) for path in found.rglob("*") if path.is_file())
    for name in names:
        if name.suffix == ".parquet":
            assert (found / name).read_bytes() == (whole / name).read_bytes()
