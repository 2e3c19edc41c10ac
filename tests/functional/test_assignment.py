import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.assignment import balanced_assignment, prediction_losses


def naive(scores, temperature, iterations):
    """Sinkhorn by loops over exponentials; far from balanced if there are few iterations."""
    plan = [[math.exp(score / temperature) for score in row] for row in scores.tolist()]
    for _ in range(iterations):
        for column in range(len(plan[0])):
            total = sum(row[column] for row in plan)
            for row in plan:
                row[column] /= total
        for row in plan:
            total = sum(row)
            row[:] = [share / total for share in row]
    return torch.tensor(plan, dtype=torch.float64)


def cosines(rows, clusters, seed):
    return torch.rand(rows, clusters, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@given(
    st.integers(2, 40), st.integers(2, 12), st.integers(0, 300), st.sampled_from([0.01, 0.05, 1.0]), st.integers(1, 5)
)
def test_rows_and_columns_are_balanced_after_any_number_of_iterations(rows, clusters, seed, temperature, iterations):
    plan = balanced_assignment(cosines(rows, clusters, seed), temperature, iterations)
    assert (plan >= 0).all()
    assert (plan.sum(dim=1) - 1).abs().max() < 1e-6
    assert (plan.sum(dim=0) * clusters / rows - 1).abs().max() < 1e-6


@given(st.integers(2, 12), st.integers(2, 6), st.integers(0, 100))
def test_converged_it_is_sinkhorns(rows, clusters, seed):
    scores = cosines(rows, clusters, seed)
    torch.testing.assert_close(balanced_assignment(scores, 0.5, 200), naive(scores, 0.5, 200), atol=1e-8, rtol=1e-6)


def test_rows_of_one_place_are_spread_over_the_clusters():
    """Without balance all would go to cluster 0: four rows that fit it best, and each other cluster a little."""
    scores = torch.tensor([[0.9, 0.1], [0.9, 0.3], [0.9, 0.2], [0.9, 0.4]])
    plan = balanced_assignment(scores, 0.01, 100)
    assert plan.argmax(dim=1).tolist() == [0, 1, 0, 1]  # the two that fit cluster 1 best go there
    torch.testing.assert_close(plan.sum(dim=0), torch.tensor([2.0, 2.0], dtype=torch.float64))


def test_two_rows_by_hand():
    # Symmetric scores are balanced at once: e^(1/T) against 1 in both rows; T = 1 gives e / (1 + e).
    plan = balanced_assignment(torch.eye(2), 1.0, 1)
    share = math.e / (1 + math.e)
    torch.testing.assert_close(plan, torch.tensor([[share, 1 - share], [1 - share, share]], dtype=torch.float64))


def test_permuting_rows_permutes_the_assignment():
    scores, order = cosines(9, 4, 1), torch.randperm(9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        balanced_assignment(scores[order], 0.1), balanced_assignment(scores, 0.1)[order], atol=1e-12, rtol=1e-9
    )


def test_nothing_waits_for_the_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("read from the device")

    scores = cosines(9, 4, 1)
    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    balanced_assignment(scores, 0.1)


def test_prediction_equals_a_loop_and_labels_are_constants():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=generator, requires_grad=True)
    labels = torch.rand(5, 3, generator=generator).softmax(dim=1).requires_grad_()
    losses = prediction_losses(logits, labels)
    for loss, row, label in zip(losses.tolist(), logits.tolist(), labels.tolist()):
        total = math.log(sum(map(math.exp, row)))
        assert loss == pytest.approx(sum(q * (total - score) for q, score in zip(label, row)), rel=1e-5)
    losses.sum().backward()
    assert labels.grad is None
    torch.testing.assert_close(logits.grad, (logits.softmax(dim=1) - labels).detach(), atol=1e-6, rtol=1e-5)
