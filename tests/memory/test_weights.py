import torch

from hf_noisy_itm.memory.weights import PairWeights


def test_the_ledger_by_hand():
    ledger = PairWeights(4)
    ledger.add(torch.tensor([2, 0, 2]), torch.tensor([0.5, 1.0, 0.25]))  # a row may occur more than once
    ledger.add(torch.tensor([2]), torch.tensor([0.0]))
    assert ledger.count.tolist() == [1, 0, 3, 0]
    mean = ledger.mean()
    assert mean.dtype == torch.float64
    assert mean[[0, 2]].tolist() == [1.0, 0.25]
    assert mean[[1, 3]].isnan().all()  # never seen


def test_the_mean_is_that_of_a_loop_over_many_batches():
    rng = torch.Generator().manual_seed(0)
    ledger, seen = PairWeights(7), {row: [] for row in range(7)}
    for _ in range(30):
        index, weight = torch.randint(0, 7, (5,), generator=rng), torch.rand(5, generator=rng)
        ledger.add(index, weight)
        for row, value in zip(index.tolist(), weight.tolist()):
            seen[row].append(value)
    expected = torch.tensor([sum(values) / len(values) for values in seen.values()], dtype=torch.float64)
    torch.testing.assert_close(ledger.mean(), expected)


def test_small_weights_do_not_vanish_beside_a_large_sum():
    # In half precision 1000 + 0.1 = 1000.
    ledger = PairWeights(1)
    ledger.add(torch.tensor([0]), torch.tensor([1000.0], dtype=torch.float16))
    ledger.add(torch.tensor([0]), torch.tensor([0.125], dtype=torch.float16))
    assert ledger.mean().item() == 1000.125 / 2


def test_a_ledger_resumes_from_its_state():
    ledger, resumed = PairWeights(3), PairWeights(3)
    ledger.add(torch.tensor([0, 1]), torch.tensor([0.5, 1.0]))
    resumed.load_state_dict(ledger.state_dict())
    for each in (ledger, resumed):
        each.add(torch.tensor([1]), torch.tensor([0.0]))
    assert resumed.mean()[:2].tolist() == ledger.mean()[:2].tolist() == [0.5, 0.5]


def test_adding_keeps_no_graph():
    ledger = PairWeights(2)
    ledger.add(torch.tensor([0]), torch.ones(1, requires_grad=True))
    assert not ledger.total.requires_grad
