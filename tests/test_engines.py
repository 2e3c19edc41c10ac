"""DistributedDataParallel, FSDP2 and DeepSpeed in two processes: the same training, the same files.

The runs are those of engine_runs.py, through `accelerate launch` with the files of accelerate_configs/, on CPUs.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel

from hf_noisy_itm import InputError
from hf_noisy_itm.engines import ZeroExchange, flatten_scalars, refuse, unflatten_scalars
from hf_noisy_itm.exchange import Exchange, ProcessExchange
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, FNEConfig, FNEModel, NPCConfig, NPCModel

from .data.test_wikipedia import wikipedia
from .methods.table import concepts
from .methods.test_contract import make
from .processes import run

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "accelerate_configs"
EVERYWHERE = ["control", "accumulation", "npc", "osa", "concepts", "adapters", "mrl"]
RESUMED = ["npc", "adapters"]
# NPC's weights are ratios of losses that may be near zero, and where parameters lie in parts rows pass in one piece,
# which rounds otherwise than in several.
LOSSES = {"npc": 3e-5, "adapters": 3e-5}
CASES = {
    "deepspeed_zero1": [*EVERYWHERE, "fne", "dictionaries"],
    "deepspeed_zero2": [*EVERYWHERE, "fne", "dictionaries"],
    "deepspeed_zero3": EVERYWHERE,
    "fsdp2": EVERYWHERE,
}
EXCHANGES = {"cpu": "ProcessExchange", "fsdp2": "ShardedExchange"}
SHARDED = {"whole": frozenset(), "engine": "FSDP"}


def launch(engine, folder, cases, precision="no"):
    """What the runs print."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT)}
    file = CONFIGS / f"{engine}.yaml"
    if engine == "fsdp2":  # the launcher leaves these out on CPUs
        fields = yaml.safe_load(file.read_text())["fsdp_config"]
        environment |= {name.upper(): str(value).lower() for name, value in fields.items() if value in (True, False)}
        environment |= {name.upper(): str(value) for name, value in fields.items() if value not in (True, False)}
        environment["ACCELERATE_USE_FSDP"], file = "true", CONFIGS / "cpu.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    command += ["--num_processes", "2", "--mixed_precision", precision, "-m", "tests.engine_runs", str(folder), *cases]
    wikipedia(folder, train=120, test=60)
    concepts(width=96).save(folder / "concepts.safetensors")
    done = run(command, 1200, environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def memories(folder, case):
    return [load_file(folder / case / f"memory-{rank}.safetensors") for rank in (0, 1)]


def logged(folder, name):
    history = json.loads((folder / "checkpoint-5" / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in history if name in entry]


def losses(folder):
    return logged(folder, "loss")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    told = launch("cpu", folder, CASES["deepspeed_zero1"])
    assert told.count(": ProcessExchange") == 2 * len(CASES["deepspeed_zero1"])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "rows"), [("npc", "entries.image"), ("osa", "trust"), ("fne", "model.queue.image_keys")]
)
def test_both_processes_remember_the_same(case, rows, plain):
    """Banks, scores and queues (methods spec, 6)."""
    one, other = memories(plain, case)
    assert rows in one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("engine", CASES)
def test_an_engine_trains_as_plain_data_parallel_does(engine, plain, tmp_path):
    if engine.startswith("deepspeed"):
        pytest.importorskip("deepspeed")
    told = launch(engine, tmp_path, CASES[engine])
    assert told.count(f": {EXCHANGES.get(engine, 'ZeroExchange')}") == 2 * len(CASES[engine])
    same_as(tmp_path, plain, CASES[engine])
    for case in RESUMED:
        shutil.rmtree(tmp_path / case / "checkpoint-5")
        (tmp_path / case / "model.safetensors").unlink()
    written = [(tmp_path / case / "checkpoint-3" / "trainer_state.json").stat().st_mtime_ns for case in RESUMED]
    launch(engine, tmp_path, [f"{case}+resumed" for case in RESUMED])
    again = [(tmp_path / case / "checkpoint-3" / "trainer_state.json").stat().st_mtime_ns for case in RESUMED]
    assert again == written
    same_as(tmp_path, plain, RESUMED)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["cpu", "multi_gpu", *CASES])
def test_in_bfloat16_as_the_files_have_it_losses_are_near(engine, plain, tmp_path):
    """Autocast leaves parameters and norms in float32, DeepSpeed computes all in bfloat16."""
    if engine.startswith("deepspeed"):
        pytest.importorskip("deepspeed")
    launch(engine, tmp_path, ["control", "npc"], "bf16")
    for case in ("control", "npc"):
        found, expected = losses(tmp_path / case), losses(plain / case)
        assert found != expected
        assert found == pytest.approx(expected, rel=0.15 if engine.startswith("deepspeed") else 0.05), case
    weights = [logged(folder / "npc", "weight_mean") for folder in (tmp_path, plain)]
    assert weights[0] == pytest.approx(weights[1], abs=0.04)
    assert 0.3 < min(weights[1]) < 0.9


def same_as(folder, plain, cases):
    for case in cases:
        assert losses(folder / case) == pytest.approx(losses(plain / case), abs=LOSSES.get(case, 1e-5)), case
        expected, found = (
            load_file(plain / case / "model.safetensors"),
            load_file(folder / case / "model.safetensors"),
        )
        assert found.keys() == expected.keys()
        assert case == "mrl" or CLIPModel.from_pretrained(folder / case).logit_scale.shape == ()
        for name, tensor in expected.items():
            assert found[name].shape == tensor.shape, (case, name)
            torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-5, msg=f"{case}, {name}")


def test_scalars_become_vectors_and_scalars_again(clip_config):
    model, _ = make(BaselineModel, BaselineConfig, {}, clip_config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = flatten_scalars(model)
    assert names == ["clip.logit_scale"]
    assert model.clip.logit_scale.shape == (1,)
    assert model.clip.logit_scale.requires_grad
    assert model.logit_scale.shape == ()
    after = unflatten_scalars(model.state_dict(), names)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert flatten_scalars(model) == []


@pytest.mark.parametrize(
    ("cls", "config_cls", "fields", "sentence"),
    [
        (
            FNEModel,
            FNEConfig,
            {},
            "FNEModel needs its parameters whole .* FSDP .*: train with DistributedDataParallel",
        ),
        (NPCModel, NPCConfig, {}, "NPCModel needs its optimizer whole .* FSDP .*: give --virtual_step pair"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(cls, config_cls, fields, sentence, clip_config):
    model, _ = make(cls, config_cls, fields, clip_config)
    refuse(model, Exchange())
    sharded = Exchange()
    vars(sharded).update(SHARDED)
    with pytest.raises(InputError, match=sentence):
        refuse(model, sharded)


def test_what_follows_no_optimizer_is_not_refused(clip_config):
    model, _ = make(NPCModel, NPCConfig, {"weights": "ones"}, clip_config)
    sharded = Exchange()
    vars(sharded).update(SHARDED)
    refuse(model, sharded)


@pytest.mark.parametrize(("stage", "whole"), [(1, {"parameters"}), (2, {"parameters"}), (3, set())])
def test_what_each_stage_of_zero_keeps_whole(stage, whole, monkeypatch):
    monkeypatch.setattr(ProcessExchange, "__init__", lambda self: None)
    exchange = ZeroExchange(stage)
    assert exchange.whole == whole
    assert exchange.engine == f"DeepSpeed ZeRO-{stage}"


def test_chunks_are_refused_where_each_would_gather_the_model(clip_config):
    model, _ = make(NPCModel, NPCConfig, {"virtual_step": "pair"}, clip_config)
    sharded = Exchange()
    vars(sharded).update(SHARDED)
    refuse(model, sharded)
    model.embed_in_chunks(4)
    with pytest.raises(InputError, match="--gradient_checkpointing true instead of --grad_cache_chunk"):
        refuse(model, sharded)


def test_fsdp_that_became_something_else_is_no_silence(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "fsdp2.yaml")]
    command += ["--num_processes", "2", "--mixed_precision", "no", "recipes/train.py"]
    command += ["recipes/baseline/scenes_noise40.yaml", "--max_train_pictures", "24", "--max_eval_pictures", "12"]
    command += ["--per_device_train_batch_size", "8", "--output_dir", str(tmp_path)]
    done = run(command, 300, environment)
    assert done.returncode != 0
    assert "error: FSDP was asked for, and accelerate started MULTI_CPU" in done.stderr


ENDLESS = ["recipes/train.py", "recipes/baseline/scenes_noise40.yaml", "--max_train_pictures", "24"]
ENDLESS += ["--max_eval_pictures", "12", "--per_device_train_batch_size", "8", "--max_steps", "100000"]
ENDLESS += ["--logging_steps", "1", "--disable_tqdm", "true"]


def wait_for_a_loss(log, process):
    while "'loss'" not in log.read_text():
        assert process.poll() is None, log.read_text()[-2000:]
        time.sleep(0.5)


@pytest.mark.slow
def test_where_one_process_is_killed_the_launcher_ends_the_other(tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "cpu.yaml")]
    command += [*ENDLESS, "--output_dir", str(tmp_path)]
    with open(tmp_path / "log", "w+") as log:
        launched = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
        try:
            wait_for_a_loss(tmp_path / "log", launched)
            children = psutil.Process(launched.pid).children()
            workers = [child for child in children if "recipes/train.py" in child.cmdline()]
            assert len(workers) == 2
            workers[1].send_signal(signal.SIGKILL)
            assert launched.wait(timeout=60) != 0
            assert not any(worker.is_running() for worker in workers)
        finally:
            launched.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("blow", "within"), [(signal.SIGKILL, 30), (signal.SIGSTOP, 40)])
def test_without_a_launcher_too_no_process_waits_for_one_that_is_gone(blow, within, tmp_path):
    """A process that is killed is missed at once, one that hangs after `--ddp_timeout`, in seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *ENDLESS, "--ddp_timeout", "20", "--output_dir", str(tmp_path)]
    processes = []
    try:
        for rank in ("0", "1"):
            with open(tmp_path / f"log{rank}", "w") as log:
                own = {**environment, "RANK": rank, "LOCAL_RANK": rank}
                processes.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=log, stderr=log))
        wait_for_a_loss(tmp_path / "log0", processes[0])
        processes[1].send_signal(blow)
        assert processes[0].wait(timeout=within) != 0
        told = (tmp_path / "log0").read_text()
        assert "DistBackendError" in told or "RuntimeError" in told, told[-2000:]
        assert "Timed out" in told or "Connection" in told, told[-2000:]
    finally:
        for process in processes:
            process.kill()


def test_a_parameter_is_rewritten_in_place():
    parameter = nn.Parameter(torch.tensor([5.0]))
    with torch.no_grad():
        Exchange().rewrite(parameter, lambda value: value.clamp(max=4.0))
    assert parameter.item() == 4.0
    assert Exchange().read(parameter) is parameter
