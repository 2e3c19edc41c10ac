"""Two processes learn what one does: the contrastive loss sees all samples, proxies stay the same on both."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist  # noqa: TID251
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from hf_noisy_itm.exchange import Exchange, ProcessExchange
from hf_noisy_itm.methods import MRLConfig, MRLModel

from ..data.test_wikipedia import wikipedia
from ..processes import in_two, run

ROOT = Path(__file__).parents[2]
WIDTHS, STEPS, GLOBAL = {"image": 6, "text": 4, "sound": 3}, 5, 12


def steps(folder, exchange, rank, processes):
    torch.manual_seed(0)
    model = MRLModel(
        MRLConfig(class_names=["a", "b", "c"], feature_widths=WIDTHS, head_width=8, embed_width=5)
    ).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.attach(exchange, optimizer)
    run = DistributedDataParallel(model) if processes > 1 else model
    generator = torch.Generator().manual_seed(1)
    size, losses = GLOBAL // processes, []
    own = slice(rank * size, (rank + 1) * size)
    for _ in range(STEPS):
        features = {name: torch.randn(GLOBAL, width, generator=generator)[own] for name, width in WIDTHS.items()}
        category = {name: torch.randint(3, (GLOBAL,), generator=generator)[own] for name in WIDTHS}
        output = run(features=features, category=category)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        model.step()
        losses.append(output.loss_per_pair)
    wrapped = torch.tensor(isinstance(run, DistributedDataParallel))
    result = {"losses": torch.stack(losses), "wrapped": wrapped, "state": model.state_dict()}
    torch.save(result, f"{folder}/{processes}-{rank}.pt")


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    steps(folder, ProcessExchange(), rank, 2)
    dist.destroy_process_group()


def test_two_processes_do_what_one_does(tmp_path):
    in_two(work, str(tmp_path))
    steps(tmp_path, Exchange(), 0, 1)
    one, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1"))
    assert first["wrapped"]
    assert second["wrapped"]
    torch.testing.assert_close(torch.cat([first["losses"], second["losses"]], dim=1), one["losses"])
    for name, tensor in one["state"].items():
        assert torch.equal(first["state"][name], second["state"][name]), name
        torch.testing.assert_close(first["state"][name], tensor, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_a_launched_run_on_labels_is_that_of_one_process(tmp_path):
    """Vectors and noisy labels from files; 10 rows to choose on and 21 to test on, which cannot be shared evenly."""
    folder = wikipedia(tmp_path, train=40, test=31)
    words = [
        "recipes/train.py",
        "recipes/mrl/wikipedia_noise60.yaml",
        "--data",
        str(folder),
        "--num_train_epochs",
        "2",
    ]
    words += ["--head_width", "8", "--embed_width", "4", "--disable_tqdm", "true", "--output_dir"]
    launch = ["-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    metrics, weights = {}, {}
    for name, launcher, batch in (("one", [], "10"), ("two", launch, "5")):
        output = tmp_path / name
        command = [sys.executable, *launcher, *words, str(output), "--per_device_train_batch_size", batch]
        done = run(command, 300, environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("in 2 processes" in done.stdout) == (name == "two")
        metrics[name] = json.loads((output / "metrics.json").read_text())
        weights[name] = load_file(output / "model.safetensors")
    for key, tensor in weights["one"].items():
        torch.testing.assert_close(weights["two"][key], tensor, atol=1e-5, rtol=1e-4)
    for part in ("noise", "pairs"):
        assert metrics["two"][part] == metrics["one"][part]
    for part in ("metrics", "test"):
        assert metrics["two"][part] == pytest.approx(metrics["one"][part])
