"""Two processes remember, draw, weigh and learn what one does (methods spec: acceptance list FNE 9; CODER, 5.4)."""

import pytest
import torch
import torch.distributed as dist  # noqa: TID251
from torch.nn.parallel import DistributedDataParallel

from hf_noisy_itm.exchange import Exchange, ProcessExchange
from hf_noisy_itm.methods import (
    BaselineConfig,
    BaselineModel,
    CODERConfig,
    CODERModel,
    FNEConfig,
    FNEModel,
    OSAConfig,
    OSAModel,
)

from ..processes import in_two
from .table import CODER, COUPLED
from .test_contract import known_of

SMALL = {"queue_size": 40, "min_right_pairs": 2, "match_prior": 0.05}
CASES = {
    "control": (BaselineModel, BaselineConfig, {}),
    "osa": (OSAModel, OSAConfig, {}),
    "triplet": (FNEModel, FNEConfig, SMALL),
    "infonce": (FNEModel, FNEConfig, {**SMALL, "loss": "infonce"}),
    "warm-up": (FNEModel, FNEConfig, {**SMALL, "warmup_epochs": 1}),
    "released": (FNEModel, FNEConfig, {**SMALL, "variant": "released", "warmup_epochs": 0}),
    "component": (BaselineModel, BaselineConfig, {"negatives": "fne", "min_right_pairs": 2}),
    "coder": (CODERModel, CODERConfig, CODER),
    "coder, labels late": (CODERModel, CODERConfig, {**CODER, "clusters": 20, "label_of": "other"}),
    "coder, keys": (CODERModel, CODERConfig, {"queue_size": 40, "in_batch": "keys", "concept_branch": False}),
    "coder, own": (CODERModel, CODERConfig, {**CODER, "in_batch": "own"}),
    "coder, fne": (CODERModel, CODERConfig, {**CODER, **SMALL, "weighting": "fne"}),
    "coder, batch": (CODERModel, CODERConfig, {**COUPLED, "dictionaries": False}),
}
CLOSE = {"atol": 1e-5, "rtol": 1e-4}
STEPS, GLOBAL = 5, 12


def steps(case, clip, folder, exchange, rank, processes):
    """Five steps on the rank's part of each batch."""
    cls, config_cls, fields = CASES[case]
    torch.manual_seed(0)
    model = cls(config_cls(**clip, **fields)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model.attach(exchange, optimizer)
    model.begin_epoch(0)
    if model.match_moments is not None:
        own = torch.linspace(0.1, 0.4, 20)  # a model that has learned nothing has hardly a right pair
        model.match_moments.add(own, torch.stack([own - 0.05, own - 0.15]))
    run = DistributedDataParallel(model, find_unused_parameters=False) if processes > 1 else model
    generator = torch.Generator().manual_seed(1)
    size, losses, drawn = GLOBAL // processes, [], []
    for step in range(STEPS):
        batch = {
            "pixel_values": torch.randn(GLOBAL, 3, 16, 16, generator=generator),
            "input_ids": torch.randint(3, 500, (GLOBAL, 6), generator=generator),
            "image_id": torch.arange(GLOBAL) // 2 + 5 * step,
            "index": torch.arange(GLOBAL) + 10 * step,
        }
        own = slice(rank * size, (rank + 1) * size)
        output = run(**{name: rows[own] for name, rows in batch.items()}, scores=known_of(batch["index"][own]))
        optimizer.zero_grad()
        output.loss.backward()
        remembered = output.to_remember or {}
        model.remember(**{name: exchange.gather(rows.detach()) for name, rows in remembered.items()})
        optimizer.step()
        model.step()
        losses.append(output.loss_per_pair)
        if output.negatives:
            drawn.append(torch.stack([output.negatives[name]["row"] for name in sorted(output.negatives)], dim=1))
    wrapped = torch.tensor(isinstance(run, DistributedDataParallel))
    result = {"losses": torch.stack(losses), "wrapped": wrapped, "state": model.state_dict()}
    torch.save(result | ({"drawn": torch.stack(drawn)} if drawn else {}), f"{folder}/{case}-{processes}-{rank}.pt")


def work(rank, clip, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for case in CASES:
        steps(case, clip, folder, ProcessExchange(), rank, 2)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(built_clip, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("processes"))
    plain = built_clip[0].to_dict()
    clip = {key: value for key, value in plain.items() if key not in ("model_type", "architectures")}
    in_two(work, clip, folder)
    for case in CASES:
        steps(case, clip, folder, Exchange(), 0, 1)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_do_what_one_does(folder, case):
    one, first, second = (
        torch.load(f"{folder}/{case}-{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    assert first["wrapped"]
    assert second["wrapped"]
    for name, tensor in first["state"].items():
        assert torch.equal(tensor, second["state"][name]), name
        torch.testing.assert_close(tensor, one["state"][name], **CLOSE, msg=name)
    torch.testing.assert_close(
        torch.cat([first["losses"], second["losses"]], dim=1), one["losses"], atol=1e-5, rtol=1e-5
    )
    if "drawn" in one:
        assert torch.equal(torch.cat([first["drawn"], second["drawn"]], dim=1), one["drawn"])
    if "queue.filled" in one["state"]:
        assert one["state"]["queue.filled"] == (0 if case == "warm-up" else 40)
    assert ("drawn" in one) == (case not in ("control", "osa", "warm-up") and not case.startswith("coder"))
