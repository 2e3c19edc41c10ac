import pytest
import torch

from hf_noisy_itm.memory.negatives import PairNegatives


def chosen(rows, scores):
    return {"row": torch.tensor(rows), "score": torch.tensor(scores)}


def test_each_pair_keeps_its_last():
    ledger = PairNegatives(4)
    ledger.add(torch.tensor([2, 0]), {"i2t_hardest": chosen([7, 8], [0.5, 0.25])})
    ledger.add(
        torch.tensor([2, 3]), {"i2t_hardest": chosen([9, -1], [0.75, 0.0]), "t2i_hardest": chosen([1, 2], [1.0, 1.0])}
    )
    assert ledger.choices["i2t_hardest"]["row"].tolist() == [8, -1, 9, -1]
    assert ledger.choices["i2t_hardest"]["score"][[0, 2]].tolist() == [0.25, 0.75]
    assert ledger.choices["i2t_hardest"]["score"][1].isnan()  # never seen
    assert ledger.choices["t2i_hardest"]["row"].tolist() == [-1, -1, 1, 2]


def test_it_resumes_from_its_state_and_refuses_another():
    ledger, other = PairNegatives(3), PairNegatives(3)
    ledger.add(torch.tensor([1]), {"i2t_chosen": chosen([2], [0.5])})
    other.load_state_dict(ledger.state_dict())
    assert other.choices["i2t_chosen"]["row"].tolist() == [-1, 2, -1]
    with pytest.raises(ValueError, match=r"no negative of 4 pairs"):
        PairNegatives(4).load_state_dict(ledger.state_dict())
    with pytest.raises(ValueError, match=r"no negative"):
        PairNegatives(3).load_state_dict({"total": torch.zeros(3)})


@pytest.mark.parametrize(
    "damage",
    [
        {"i2t_hardest.score": None},
        {"i2t_hardest.row": torch.tensor([0, 1, 3])},
        {"i2t_hardest.row": torch.tensor([0, 1, -2])},
        {"i2t_hardest.row": torch.tensor([0.0, 1.0, 2.0])},
    ],
    ids=["no score", "a row beyond", "a row before", "rows that are no integers"],
)
def test_a_damaged_state_is_refused(damage):
    state = {"i2t_hardest.row": torch.tensor([0, 1, 2]), "i2t_hardest.score": torch.zeros(3)} | damage
    with pytest.raises(ValueError, match="i2t_hardest"):
        PairNegatives(3).load_state_dict({name: values for name, values in state.items() if values is not None})


def test_what_is_fresh_is_told_once():
    ledger = PairNegatives(5)
    assert [ledger.take_fresh()[0].tolist(), ledger.take_fresh()[1]] == [[], {}]
    ledger.add(torch.tensor([3, 1]), {"i2t_hardest": chosen([7, 8], [0.5, 0.25])})
    ledger.add(torch.tensor([3]), {"i2t_hardest": chosen([9], [0.75])})
    pairs, choices = ledger.take_fresh()
    assert (pairs.tolist(), choices["i2t_hardest"]["row"].tolist()) == ([1, 3], [8, 9])
    assert ledger.take_fresh()[0].tolist() == []
    assert ledger.choices["i2t_hardest"]["row"].tolist() == [-1, 8, -1, 9, -1]


def test_it_lies_where_it_is_written_and_is_saved_elsewhere():
    """On the only other device that every machine has: one that holds nothing."""
    ledger, meta = PairNegatives(3), torch.device("meta")
    ledger.add(torch.tensor([1]), {"i2t_chosen": chosen([5], [0.5])})
    there = {part: values.to(meta) for part, values in chosen([5], [0.5]).items()}
    ledger.add(torch.tensor([1], device=meta), {"i2t_chosen": there, "i2t_hardest": there})
    assert {values.device for kept in ledger.choices.values() for values in kept.values()} == {meta}
    ledger = PairNegatives(3)
    ledger.add(torch.tensor([1]), {"i2t_chosen": chosen([5], [0.5])})
    assert {values.device.type for values in ledger.state_dict().values()} == {"cpu"}
