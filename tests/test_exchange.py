"""Two real processes over gloo: what `ProcessExchange` promises, and what it must leave alone."""

import pytest
import torch
import torch.distributed as dist  # noqa: TID251

from hf_noisy_itm.exchange import Exchange, ProcessExchange
from hf_noisy_itm.failures import clean_exit

from .processes import in_two


def gradient_of_a_neighbour(exchange):
    """The sum hands one gradient tensor to both of its inputs: gathering must not write into it."""
    rows = torch.ones(2, 3, requires_grad=True)
    local = torch.zeros(4, 3, requires_grad=True)
    later = local * 1.0  # made before, so differentiated after
    ((exchange.gather(rows) + later) * torch.ones(4, 3)).sum().backward()
    return {"rows": rows.grad, "local": local.grad}


def gradient_of_rows(exchange):
    rows = torch.arange(6.0).reshape(2, 3) + 10 * exchange.rank
    rows.requires_grad_()
    gathered = exchange.gather(rows)
    (gathered * (exchange.rank + 1)).sum().backward()
    return {"gathered": gathered.detach(), "rows": rows.grad}


def means(exchange):
    calls, reduce = [], dist.all_reduce
    dist.all_reduce = lambda tensor: (calls.append(len(tensor)), reduce(tensor))[1]
    given = [torch.full((2, 3), 1.0 + exchange.rank), torch.tensor(4.0 * exchange.rank), torch.zeros(0)]
    scalar = given[1].clone()
    matrix, number, nothing = exchange.mean(given)
    assert torch.equal(given[1], scalar)
    return {"matrix": matrix, "number": number, "nothing": nothing, "calls": torch.tensor(calls)}


def packed(exchange):
    calls, gather = [], dist.all_gather
    dist.all_gather = lambda parts, rows: (calls.append(rows.dtype), gather(parts, rows))[1]
    try:
        rows = {
            "numbers": torch.tensor([1, 2]) + 10 * exchange.rank,
            "matrix": torch.ones(2, 3, requires_grad=True) * exchange.rank,
            "cube": torch.arange(8.0).reshape(2, 2, 2) + exchange.rank,
            "no": torch.zeros(2, 0),
        }
        gathered = exchange.gather_all(rows)
    finally:
        dist.all_gather = gather
    assert gathered.keys() == rows.keys()
    one_by_one = {name: exchange.gather(values.detach()) for name, values in rows.items()}
    return {
        "calls": torch.tensor(len(calls)),
        "grad": torch.tensor(any(values.requires_grad for values in gathered.values())),
        "same": torch.tensor([torch.equal(gathered[name], values) for name, values in one_by_one.items()]),
    }


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    exchange = ProcessExchange()
    results = {task.__name__: task(exchange) for task in (gradient_of_a_neighbour, gradient_of_rows, means, packed)}
    results["places"] = {"own": exchange.own_rows(3), "share": torch.tensor(list(exchange.share(5)))}
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    in_two(work, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_gathering_leaves_the_gradient_of_its_neighbours_alone(two):
    for result in two:
        assert torch.equal(result["gradient_of_a_neighbour"]["local"], torch.ones(4, 3))
        assert torch.equal(result["gradient_of_a_neighbour"]["rows"], torch.full((2, 3), 2.0))  # wanted by both


def test_rows_stand_in_rank_order_and_their_gradients_are_summed(two):
    own = torch.arange(6.0).reshape(2, 3)
    for result in two:
        assert torch.equal(result["gradient_of_rows"]["gathered"], torch.cat([own, own + 10]))
        assert torch.equal(result["gradient_of_rows"]["rows"], torch.full((2, 3), 3.0))  # 1 from rank 0, 2 from rank 1


def test_many_means_are_one_message(two):
    for result in two:
        assert torch.equal(result["means"]["matrix"], torch.full((2, 3), 1.5))
        assert torch.equal(result["means"]["number"], torch.tensor(2.0))
        assert result["means"]["nothing"].shape == (0,)
        assert result["means"]["calls"].tolist() == [7]


def test_tensors_of_one_dtype_travel_together(two):
    for result in two:
        assert result["packed"]["calls"] == 2
        assert not result["packed"]["grad"]
        assert result["packed"]["same"].tolist() == [True] * 4


def test_each_process_knows_its_rows(two):
    assert [result["places"]["own"].tolist() for result in two] == [[0, 1, 2], [3, 4, 5]]
    assert [result["places"]["share"].tolist() for result in two] == [[0, 1, 2], [3, 4, 4]]


def test_one_process_has_everything():
    exchange, rows = Exchange(), torch.ones(2, 3, requires_grad=True)
    assert exchange.gather(rows) is rows
    assert [torch.equal(mean, rows) for mean in exchange.mean([rows])] == [True]
    assert not exchange.mean([rows])[0].requires_grad
    gathered = exchange.gather_all({("a", "b"): rows})["a", "b"]
    assert torch.equal(gathered, rows)
    assert not gathered.requires_grad


def test_a_run_ends_its_part_among_processes(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    with clean_exit():
        assert dist.is_initialized()
    assert not dist.is_initialized()
    with clean_exit():  # of one process alone there is none
        pass
