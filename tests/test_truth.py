"""Figures of a ledger of negatives, by hand."""

import numpy as np
import pytest
import torch

from hf_noisy_itm.truth import match_shares, negatives_in_truth

NAN = float("nan")


def choice(rows, scores):
    return {"row": torch.tensor(rows), "score": torch.tensor(scores)}


def is_match(captions, pictures):
    """A caption of row c fits the picture of row p if they are three apart; not symmetric."""
    return captions - pictures == 3


# Pair 2 has nothing drawn, pair 4 was never seen.
CHOICES = {
    "i2t_chosen": choice([3, 7, -1, 6, -1], [0.5, 0.25, NAN, 0.5, NAN]),
    "i2t_hardest": choice([3, 4, 5, 7, -1], [0.5, 0.75, 0.125, 0.25, NAN]),
    "t2i_hardest": choice([3, 4, 5, 0, -1], [0.5, 0.75, 0.125, 0.25, NAN]),
}


def test_both_choices_are_told_of_the_same_pairs():
    figures = negatives_in_truth(CHOICES, is_match)
    # Of pairs 0, 1 and 3: chosen 3 fits picture 0, 7 not 1, 6 fits 3; hardest 3 fits 0, 4 fits 1, 7 not 3.
    assert figures["i2t"]["chosen"] == {
        "pairs": 3,
        "mean_score": pytest.approx(1.25 / 3),
        "matches": pytest.approx(2 / 3),
    }
    assert figures["i2t"]["hardest"] == {
        "pairs": 3,
        "mean_score": pytest.approx(1.5 / 3),
        "matches": pytest.approx(2 / 3),
    }
    # Captions with pictures: 0 - 3, 1 - 4, 2 - 5 are no matches, 3 - 0 is one.
    assert figures["t2i"]["hardest"] == {
        "pairs": 4,
        "mean_score": pytest.approx(1.625 / 4),
        "matches": pytest.approx(1 / 4),
    }


def test_the_auc_is_of_the_hardest_wrong_answers_of_all_pairs():
    figures = negatives_in_truth(CHOICES, is_match)
    # Matches 0.5, 0.75 and 0.125, and 0.25 is none: two of three are above it. The pair without a draw counts too.
    assert figures["i2t"]["hardest_auc"] == pytest.approx(2 / 3)
    assert figures["t2i"]["hardest_auc"] == pytest.approx(1 / 3)  # 0.25 is above 0.125 alone


def test_what_is_not_known_is_not_told():
    figures = negatives_in_truth(CHOICES, None)
    assert figures["i2t"]["chosen"] == {"pairs": 3, "mean_score": pytest.approx(1.25 / 3)}
    assert "hardest_auc" not in figures["i2t"]
    every = negatives_in_truth(CHOICES, lambda captions, pictures: np.ones(len(captions), dtype=bool))
    assert every["i2t"]["hardest"]["matches"] == 1
    assert "hardest_auc" not in every["i2t"]
    assert negatives_in_truth({}, is_match) is None
    nothing = negatives_in_truth({"i2t_hardest": choice([-1], [NAN])}, is_match)
    assert nothing == {"i2t": {"hardest": {"pairs": 0, "mean_score": None}}}


def test_shares_of_some_pairs():
    some = {name: {part: values[1:] for part, values in each.items()} for name, each in CHOICES.items()}
    shares = match_shares(torch.arange(1, 5), some, is_match)
    assert shares == {"i2t_chosen": 0.5, "i2t_hardest": 0.5, "t2i_hardest": pytest.approx(1 / 3)}
    assert match_shares(torch.arange(0), {name: choice([], []) for name in CHOICES}, is_match) == {}
