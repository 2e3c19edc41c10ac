"""What a machine does to a run ends it with one sentence, and what was whole before is whole still."""

import errno
import json
import os
import re
import resource
import runpy
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFile
from safetensors import SafetensorError
from safetensors.torch import save_file

from hf_noisy_itm import InputError, NoisyITMTrainer
from hf_noisy_itm.checkpointing_trainer import CheckpointingTrainer
from hf_noisy_itm.data import PairCollator, _pictures
from hf_noisy_itm.failures import clean_exit, sentence_of
from hf_noisy_itm.files import atomic_path
from hf_noisy_itm.methods import BaselineModel
from hf_noisy_itm.resuming import to_resume

ROOT = Path(__file__).parents[2]
WORDS = ["--max_train_pictures", "24", "--max_eval_pictures", "12", "--max_steps", "4", "--logging_steps", "10"]
WORDS += ["--per_device_train_batch_size", "16", "--disable_tqdm", "true", "--save_strategy", "steps"]
WORDS += ["--save_steps", "1"]


def train(folder, *words, monkeypatch, recipe="baseline"):
    recipe = [f"recipes/{recipe}/scenes_noise40.yaml", *WORDS, "--output_dir", folder, *words]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["recipes/train.py", *map(str, recipe)])
    runpy.run_path("recipes/train.py", run_name="__main__")


def ended(folder, *words, monkeypatch, capsys):
    """Exit status, and the sentence."""
    with pytest.raises(SystemExit) as stop:
        train(folder, *words, monkeypatch=monkeypatch)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return stop.value.code, [line for line in error.splitlines() if line.startswith("error: ")][-1]


@contextmanager
def largest_file():
    """Gives what sets how long a file may be: beyond, writing fails midway, as on a full disk.

    No fixture: between a test and its fixtures' end pytest writes to its log, which may be a file too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "file"),
    [(10, "memory.json"), (1_000_000, "model.safetensors"), (4_000_000, "optimizer.pt")],  # of 30, 3.6 M, 7.2 M bytes
)
def test_a_full_disk(size, file, monkeypatch, capsys, tmp_path):
    save_model = CheckpointingTrainer.save_model
    with largest_file() as limit:

        def save_until_full(self, output_dir=None, _internal_call=False):
            if Path(output_dir or "").name == "checkpoint-2":
                limit(size)
            save_model(self, output_dir, _internal_call)

        monkeypatch.setattr(CheckpointingTrainer, "save_model", save_until_full)
        status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 1
    assert "cannot be written, most likely since the disk is full" in sentence
    assert sentence.endswith("--resume_from_checkpoint auto.")
    there = tmp_path / "checkpoint-2" / file
    assert not there.exists() or there.stat().st_size <= size
    assert Path(to_resume("auto", tmp_path)).name == "checkpoint-1"


def test_a_folder_that_is_not_ours(monkeypatch, capsys):
    status, sentence = ended("/sys/kernel/run", monkeypatch=monkeypatch, capsys=capsys)
    assert (status, "/sys/kernel" in sentence, "name another place, or change its rights" in sentence) == (
        1,
        True,
        True,
    )


@pytest.mark.parametrize("name", ["file/run", "a" * 300, "loop/run", "/proc/run"])
def test_a_folder_that_cannot_be(name, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    status, sentence = ended(tmp_path / name, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 2
    assert str(tmp_path / name) in sentence
    assert re.search("name another (place|folder)", sentence)


def test_a_folder_where_a_checkpoint_has_a_file(monkeypatch, capsys, tmp_path):
    (tmp_path / "checkpoint-1" / "config.json").mkdir(parents=True)
    status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 2
    assert "checkpoint-1/config.json cannot be used (Is a directory): name another place, or move" in sentence


def spoil(monkeypatch, *steps):
    """Makes the loss of some batches no number, counted from 1."""
    seen, losses = [], BaselineModel.losses

    def spoilt(self, *args):
        found = losses(self, *args)
        if self.training:
            seen.append(None)
            if len(seen) in steps:
                found.per_pair.data[0] = torch.nan
                return type(found)(found.per_pair * torch.where(found.per_pair.isnan(), torch.nan, 1.0))
        return found

    monkeypatch.setattr(BaselineModel, "losses", spoilt)


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(monkeypatch, capsys, tmp_path):
    """The log is ten steps away: without a look before saving, checkpoint-2 would hold weights that are no numbers."""
    spoil(monkeypatch, 2)
    status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 2
    assert "The loss is not finite from step 2 on" in sentence
    assert "--skip_bad_batches true" in sentence
    assert Path(to_resume("auto", tmp_path)).name == "checkpoint-1"


def test_a_finite_loss_with_gradients_that_are_none_leaves_no_checkpoint(monkeypatch, capsys, tmp_path):
    seen, losses = [], BaselineModel.losses

    def spoilt(self, *args):
        found = losses(self, *args)
        if self.training:
            seen.append(None)
            if len(seen) == 2:
                found.per_pair.register_hook(lambda gradient: gradient * torch.nan)
        return found

    monkeypatch.setattr(BaselineModel, "losses", spoilt)
    status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert (status, "Weights are not finite after step 2" in sentence) == (2, True)
    assert Path(to_resume("auto", tmp_path)).name == "checkpoint-1"


def test_a_batch_whose_loss_is_no_number_can_be_left_out(monkeypatch, caplog, tmp_path):
    spoil(monkeypatch, 2)
    train(tmp_path / "run", "--skip_bad_batches", "true", monkeypatch=monkeypatch)
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("The loss of a batch in step 2 is not finite, and the batch is left out: pairs ")
    assert len(told[0].split("pairs ")[1].split(", ")) == 16
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]["rsum"] > 0


def test_leaving_out_changes_nothing_where_all_is_well(monkeypatch, tmp_path):
    for name, words in (("plain", []), ("looking", ["--skip_bad_batches", "true"])):
        train(tmp_path / name, *words, monkeypatch=monkeypatch)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "looking"))
    assert one == other


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_does_not_end_is_named(workers, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(_pictures, "PICTURE_SECONDS", 0.3)

    def endless(*_):
        while True:
            pass

    monkeypatch.setattr(ImageFile.ImageFile, "load", endless)
    words = ["--dataloader_num_workers", workers]
    status, sentence = ended(tmp_path, *words, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 2
    assert "does not decode (it took longer than 0.3 seconds, see NOISY_ITM_PICTURE_SECONDS)" in sentence


def test_a_worker_that_is_killed(monkeypatch, capsys, tmp_path):
    collate = PairCollator.__call__

    def killed(self, rows):
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return collate(self, rows)

    monkeypatch.setattr(PairCollator, "__call__", killed)
    words = ["--dataloader_num_workers", 1]
    status, sentence = ended(tmp_path, *words, monkeypatch=monkeypatch, capsys=capsys)
    assert (status, "A worker that loads data was ended from outside" in sentence) == (1, True)
    assert sentence.endswith("--resume_from_checkpoint auto.")


def raise_wrapped(error):
    try:
        raise error
    except Exception as inner:
        raise RuntimeError("while something was done") from inner


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            "/a/b cannot be written, most likely since the disk is full (No space left on device)",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), "the disk is full (Disk quota exceeded)"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), "/a/b cannot be read or written (Read-only file"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "the disk is full",
        ),
        (Exception("No space left on device (os error 28)"), "the disk is full"),
        (OSError("100000 requested and 609 written"), "the disk is full"),
        (RuntimeError("open file failed with strerror: Permission denied"), "or change its rights"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "give fewer --dataloader_num_workers",
        ),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "give fewer --dataloader_num_workers"),
        (RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)"), "--shm-size"),
        (PermissionError("Caught PermissionError in DataLoader worker process 0.\nPermissionError: /a"), "its rights"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Memory ran short"),
        (RuntimeError("CUDA error: out of memory"), "--grad_cache_chunk"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "--grad_cache_chunk"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), "ran short"),
        (MemoryError(), "Memory ran short (MemoryError)"),
    ],
)
def test_each_gets_its_sentence(error, told, capsys):
    with pytest.raises(SystemExit) as stop, clean_exit():
        raise_wrapped(error)
    assert stop.value.code == 1
    assert told in capsys.readouterr().err


def save_tensors(path):
    save_file({"embeds": torch.zeros(2_500)}, path)


def save_array(path):
    with path.open("wb") as file:  # by name numpy would add an ending
        np.save(file, np.zeros(2_500))


@pytest.mark.parametrize(
    "write",
    [lambda path: path.write_bytes(bytes(10_000)), save_tensors, save_array],
    ids=["bytes", "tensors", "array"],
)
def test_a_full_disk_names_the_file_that_was_to_be_written(write, capsys, tmp_path):
    path = tmp_path / "bank.safetensors"
    with largest_file() as limit:
        limit(5_000)
        with pytest.raises(SystemExit) as stop, clean_exit(), atomic_path(path) as temporary:
            write(temporary)
    assert stop.value.code == 1
    assert f"error: {path} cannot be written, most likely since the" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which not even root makes files")
def test_a_folder_in_which_nothing_can_be_written_ends_it_before_anything_is_trained(monkeypatch, capsys):
    trained = []
    monkeypatch.setattr(NoisyITMTrainer, "training_step", lambda *_: trained.append(1))
    status, sentence = ended("/sys/kernel", monkeypatch=monkeypatch, capsys=capsys)
    assert status == 1
    assert "error: /sys/kernel cannot be read or written" in sentence
    monkeypatch.setattr("hf_noisy_itm.run.check_writable", lambda folder: None)  # in Python the trainer looks itself
    assert ended("/sys/kernel", monkeypatch=monkeypatch, capsys=capsys) == (status, sentence)
    assert trained == []


def test_a_full_disk_while_a_tokenizer_is_saved(monkeypatch, capsys, tmp_path):
    """Its library raises an `Exception` without a number, and names no file."""

    def full(self, *args, **kwargs):
        raise Exception("No space left on device (os error 28)")  # noqa: TRY002

    monkeypatch.setattr("transformers.PreTrainedTokenizerFast._save_pretrained", full)
    status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert (status, str(tmp_path / "checkpoint-1") in sentence) == (1, True)
    assert "the disk is full" in sentence


def test_a_full_disk_while_torch_saves_is_told_though_another_error_follows(monkeypatch, capsys, tmp_path):
    """Closing the archive fails too, with words that say nothing of a disk."""

    def full(*_, **__):
        try:
            raise RuntimeError("basic_ios::clear: iostream error")
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 338560 vs 338448")

    monkeypatch.setattr("torch.save", full)
    status, sentence = ended(tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert status == 1
    assert f"{tmp_path / 'checkpoint-1'} cannot be written, most likely since the disk is full" in sentence


def tell(error):
    try:
        raise error
    except OSError as inner:
        raise InputError(f"/a/b cannot be written: {inner}.") from inner


def test_a_full_disk_is_no_wrong_input_whoever_tells_of_it(capsys):
    for number, status in ((errno.ENOSPC, 1), (errno.EACCES, 1), (errno.ENOENT, 2)):
        with pytest.raises(SystemExit) as stop, clean_exit():
            tell(OSError(number, os.strerror(number), "/a/b"))
        assert stop.value.code == status
        assert "error: /a/b cannot be written: [Errno" in capsys.readouterr().err


def test_what_nobody_foresaw_keeps_its_traceback():
    shapes = "RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    assert sentence_of(RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n…\n{shapes}")) is None
    assert sentence_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert sentence_of(OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))) is None
    with pytest.raises(KeyError), clean_exit():
        raise KeyError("name")
