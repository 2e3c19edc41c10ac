"""What a run knows of its pairs."""

import pytest
import torch

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.memory.bank import MemoryBank
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.memory.trust import TrustScores

INDEX = torch.tensor([2, 0])


def scores(fingerprint: str = "here") -> TrustScores:
    levels = {"wrong": 0.1, "confident": 0.6, "noise": 0.2}
    return TrustScores(torch.tensor([0.3, 0.4, 0.5]), levels, 10.0, {"fingerprint": fingerprint})


def test_all_sources_are_told_row_by_row():
    memory = PairMemory("here", 3, torch.tensor([0.0, 0.5, 1.0]), scores())
    rows = torch.arange(3)
    memory.bank = MemoryBank({"image": rows, "text": rows}, scores={"loss": torch.tensor([7.0, 8.0, 9.0])})
    memory.weights.add(torch.tensor([2]), torch.tensor([0.25]))
    known = memory.of(INDEX)
    told = {name: [round(value, 6) for value in known[name].tolist()] for name in known}
    assert told == {
        "loss": [9.0, 7.0],
        "scorer_cosine": [0.5, 0.3],
        "scorer_logit_scale": [10.0, 10.0],
        "scorer_wrong": [0.1, 0.1],
        "scorer_confident": [0.6, 0.6],
        "scorer_noise": [0.2, 0.2],
        "data_weight": [1.0, 0.0],
        "last_weight": [0.25, 1.0],
    }


def test_a_new_run_forgets_weights_and_negatives_and_keeps_what_others_say():
    memory = PairMemory("here", 3, trust=scores())
    memory.weights.add(INDEX, torch.zeros(2))
    chosen = {"row": torch.tensor([1, 1]), "score": torch.zeros(2)}
    memory.negatives.add(INDEX, {"image_hardest": chosen})
    memory.begin_run()
    assert memory.of(INDEX)["last_weight"].tolist() == [1.0, 1.0]
    assert not memory.negatives.choices
    assert memory.of(INDEX)["scorer_cosine"].tolist() == pytest.approx([0.5, 0.3])


def test_of_a_stream_nothing_is_kept():
    memory = PairMemory(None, None)
    assert memory.weights is None
    assert memory.negatives is None


def test_scores_of_other_pairs_are_refused():
    with pytest.raises(InputError, match="other data"):
        PairMemory("here", 3, trust=scores("there"))
