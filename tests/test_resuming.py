"""What a run may resume from, by the files of each engine; and a process that is really killed while it saves."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.checkpoint import save_memory
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.methods import NPCConfig
from hf_noisy_itm.resuming import missing_parts, refuse_other_method, refuse_other_number, to_resume
from hf_noisy_itm.run import _resume

from .processes import ROOT, run

ENGINES = {
    "one process": ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
    "in shards": ["model.safetensors.index.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
    "peft": ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
    "several processes": ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"],
    "FSDP": ["pytorch_model_fsdp.bin", "optimizer.bin", "scheduler.pt", "rng_state_0.pth"],
    "FSDP in shards": ["pytorch_model_fsdp_0/", "optimizer_0/", "scheduler.pt", "rng_state_0.pth"],
    "DeepSpeed": ["global_step3/", "latest", "rng_state_0.pth"],
}


def a_checkpoint(folder, names=ENGINES["one process"], state="{}"):
    folder.mkdir(parents=True)
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir()
        elif name.endswith(".safetensors"):
            save_file({"weight": torch.zeros(3)}, folder / name)
        elif name.endswith((".pt", ".pth")):
            torch.save({}, folder / name)
        else:
            (folder / name).write_text("{}")
    if names:
        (folder / "memory.json").write_text('{"files": []}')
        (folder / "config.json").write_text("{}")
    if state is not None:
        (folder / "trainer_state.json").write_text(state)
    return str(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_file_that_was_cut_short_makes_no_whole_checkpoint(name, tmp_path, caplog):
    whole = a_checkpoint(tmp_path / "checkpoint-2")
    cut = Path(a_checkpoint(tmp_path / "checkpoint-4")) / name
    cut.write_bytes(cut.read_bytes()[:-30])
    assert to_resume("auto", tmp_path) == whole
    assert f"checkpoint-4 is not whole, it lacks a whole {name}" in caplog.text


def test_a_configuration_that_cannot_be_read_makes_no_whole_checkpoint(tmp_path):
    whole = a_checkpoint(tmp_path / "checkpoint-2")
    (Path(a_checkpoint(tmp_path / "checkpoint-4")) / "config.json").write_text('{"hidden_size": 5')
    assert to_resume("auto", tmp_path) == whole


def test_a_list_that_asks_for_endless_files_is_not_followed(tmp_path):
    folder = Path(a_checkpoint(tmp_path / "checkpoint-2"))
    (folder / "memory.json").write_text('{"files": [], "num_processes": 1' + 30 * "0" + "}")
    assert missing_parts(folder)[0] == "rng_state_0.pth"
    assert to_resume("auto", tmp_path) is None


def test_a_config_that_holds_no_fields_is_refused(tmp_path):
    folder = Path(a_checkpoint(tmp_path / "checkpoint-2"))
    for text in ("null", "[]", "{"):
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config.json is not the config of a model .*: copy it back"):
            refuse_other_method(folder, {"method": "npc"})


@pytest.mark.parametrize("name", ["memory.json", "memory_bank.safetensors", "config.json"])
def test_what_a_checkpoint_lists_must_be_there(name, tmp_path, caplog):
    for number in (2, 4):
        folder = Path(a_checkpoint(tmp_path / f"checkpoint-{number}"))
        (folder / "memory.json").write_text('{"files": ["memory_bank.safetensors"], "num_processes": 1}')
        save_file({"weight": torch.zeros(3)}, folder / "memory_bank.safetensors")
    (folder / name).unlink()
    assert to_resume("auto", tmp_path) == str(tmp_path / "checkpoint-2")
    assert f"checkpoint-4 is not whole, it lacks {name}: resuming" in caplog.text


def test_a_file_that_may_not_be_read_says_nothing_of_the_checkpoint(tmp_path, monkeypatch):
    folder, opened = a_checkpoint(tmp_path / "checkpoint-2"), Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "optimizer.pt":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    for asked in ("auto", folder):
        with pytest.raises(PermissionError, match="optimizer.pt"):
            to_resume(asked, tmp_path)


def test_each_process_must_have_left_its_random_state(tmp_path):
    names = [*ENGINES["several processes"], "rng_state_2.pth"]
    for number, lacks in ((3, []), (4, ["rng_state_3.pth"])):
        folder = Path(a_checkpoint(tmp_path / str(number), names))
        save_memory(folder, PairMemory(None, None), num_processes=number)
        assert missing_parts(folder) == lacks


@pytest.mark.parametrize("names", ENGINES.values(), ids=ENGINES)
def test_a_checkpoint_of_any_engine_may_be_resumed(tmp_path, names):
    folder = a_checkpoint(tmp_path / "checkpoint-3", names)
    for asked in (folder, Path(folder), True, "true"):
        assert to_resume(asked, tmp_path) == folder
    assert _resume(parse_recipe(["--output_dir", str(tmp_path), "--resume_from_checkpoint", "True"])) == folder


def test_auto_begins_anew_where_there_is_nothing_to_go_on_with(tmp_path, caplog):
    assert to_resume("auto", tmp_path) is None
    broken = tmp_path / "checkpoint-3"
    a_checkpoint(broken, state=None)
    assert to_resume("auto", tmp_path) is None
    assert "is whole, checkpoint-3 lacks trainer_state.json: starting anew" in caplog.text
    whole = a_checkpoint(tmp_path / "checkpoint-2")
    assert to_resume("auto", tmp_path) == to_resume("AUTO", tmp_path) == whole


@pytest.mark.parametrize("asked", [None, False, "false", ""])
def test_none_is_resumed_where_none_is_asked_for(tmp_path, asked):
    a_checkpoint(tmp_path / "checkpoint-3")
    assert to_resume(asked, tmp_path) is None


@pytest.mark.parametrize(
    ("names", "state", "lacks"),
    [
        (
            [],
            None,
            "model.safetensors, optimizer.pt, scheduler.pt, rng_state.pth, memory.json and trainer_state.json.",
        ),
        (["model.safetensors"], "{}", "optimizer.pt, scheduler.pt and rng_state.pth, without which the run would go"),
        (ENGINES["one process"][:1] + ENGINES["one process"][2:], "{}", "optimizer.pt, without which"),
        (ENGINES["one process"][:2] + ENGINES["one process"][3:], "{}", "scheduler.pt, without which"),
        (ENGINES["one process"][:3], "{}", "rng_state.pth, without which"),
        (ENGINES["FSDP in shards"][:1] + ENGINES["FSDP in shards"][2:], "{}", "optimizer.pt, without which"),
        (ENGINES["one process"], None, "trainer_state.json, without which"),
        (ENGINES["one process"], '{"global_st', "a whole trainer_state.json, without which"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, names, state, lacks):
    folder = a_checkpoint(tmp_path / "checkpoint-3", names, state)
    with pytest.raises(
        InputError, match=rf"There is no checkpoint {folder} to resume from: it lacks {re.escape(lacks)}"
    ):
        to_resume(folder, tmp_path)
    with pytest.raises(InputError, match=rf"in {tmp_path} to resume from: the last one, checkpoint-3, lacks {lacks}"):
        to_resume(True, tmp_path)


def test_the_last_whole_one_is_taken_and_broken_ones_are_named(tmp_path, caplog):
    for step in (2, 4, 10):
        a_checkpoint(tmp_path / f"checkpoint-{step}")
    a_checkpoint(tmp_path / "checkpoint-12", state=None)
    a_checkpoint(tmp_path / "checkpoint-100", ["model.safetensors"])
    a_checkpoint(tmp_path / "checkpoint-best")
    (tmp_path / "checkpoint-200").touch()
    assert to_resume(True, tmp_path) == str(tmp_path / "checkpoint-10")
    assert [record.message for record in caplog.records] == [
        f"The checkpoint {tmp_path / name} is not whole, it lacks {lacks}: resuming from {tmp_path / 'checkpoint-10'}."
        for name, lacks in (
            ("checkpoint-100", "optimizer.pt, scheduler.pt and rng_state.pth"),
            ("checkpoint-12", "trainer_state.json"),
        )
    ]
    caplog.clear()
    assert to_resume(True, tmp_path, tells=False) == str(tmp_path / "checkpoint-10")
    assert not caplog.records


@pytest.mark.parametrize("make", [lambda folder: folder, lambda folder: folder / "none"], ids=["empty", "none"])
def test_a_folder_without_checkpoints_says_so(tmp_path, make):
    with pytest.raises(InputError, match="There is no checkpoint in .*leave resume_from_checkpoint out"):
        to_resume(True, make(tmp_path))


KILLED = """
import os, runpy, signal, sys
from hf_noisy_itm import NoisyITMTrainer
save = NoisyITMTrainer._save_rng_state
def die_in_the_third(self, folder):
    if folder.endswith("checkpoint-6"):
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, folder)
NoisyITMTrainer._save_rng_state = die_in_the_third
runpy.run_path("recipes/train.py", run_name="__main__")
"""


@pytest.mark.slow
def test_after_a_kill_during_a_save_the_run_goes_on_from_the_last_whole_checkpoint(tmp_path):
    words = ["recipes/npc/scenes_noise40.yaml", "--max_train_pictures", "24", "--max_eval_pictures", "12"]
    words += ["--max_steps", "8", "--logging_steps", "1", "--per_device_train_batch_size", "16"]
    words += ["--disable_tqdm", "true", "--save_strategy", "steps", "--save_steps", "2"]

    def start(start_of_it, name, *more):  # all with as many threads: sums differ in the last bit with their number
        command = [sys.executable, *start_of_it, *words, "--output_dir", str(tmp_path / name), *more]
        return run(command, 300, {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})

    killed = start(["-c", KILLED], "killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert missing_parts(tmp_path / "killed" / "checkpoint-6") == ["rng_state.pth", "trainer_state.json"]

    whole = start(["recipes/train.py"], "whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    resumed = start(["recipes/train.py"], "killed", "--resume_from_checkpoint", "true")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    told = (
        f"The checkpoint {tmp_path}/killed/checkpoint-6 is not whole, it lacks rng_state.pth and trainer_state.json: "
        f"resuming from {tmp_path}/killed/checkpoint-4."
    )
    assert resumed.stderr.count("is not whole") == resumed.stderr.count(told) == 1

    states = [
        json.loads((tmp_path / name / "checkpoint-8" / "trainer_state.json").read_text())
        for name in ("killed", "whole")
    ]
    losses = [[entry["loss"] for entry in state["log_history"] if "loss" in entry] for state in states]
    assert len(losses[0]) == 8
    assert losses[0] == losses[1]
    assert missing_parts(tmp_path / "killed" / "checkpoint-6") == []


def test_another_method_or_another_field_of_it_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "noisy_itm_fne", "margin": 3.0, "projection_dim": 9})
    )
    refuse_other_method(tmp_path, {"model_type": "noisy_itm_fne", "margin": 3.0, "new_field": 1})
    with pytest.raises(
        InputError, match="was trained with margin=3.0, and now it is 2.0: give the same, or start anew"
    ):
        refuse_other_method(tmp_path, {"model_type": "noisy_itm_fne", "margin": 2.0})
    with pytest.raises(InputError, match="was trained with model_type='noisy_itm_fne', and now it is 'noisy_itm_npc'"):
        refuse_other_method(tmp_path, NPCConfig().method)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is not the config of a model \(Expecting"):
        refuse_other_method(tmp_path, {})
    (tmp_path / "config.json").unlink()
    refuse_other_method(tmp_path, {"margin": 2.0})


@pytest.mark.parametrize(("files", "now"), [(["rng_state.pth"], 2), (["rng_state_0.pth", "rng_state_1.pth"], 1)])
def test_another_number_of_processes_is_refused(files, now, tmp_path):
    for name in files:
        (tmp_path / name).touch()
    refuse_other_number(tmp_path, len(files))
    with pytest.raises(InputError, match=f"made by {len(files)} process.*there are {now}: start as many"):
        refuse_other_number(tmp_path, now)
