import torch

from hf_noisy_itm.functional.reduction import product_of_means, weighted_mean


def test_weighted_mean_by_hand():
    # (1 * 1 + 0.5 * 4 + 0 * 9) / 3 = 1: over the number of pairs, not over the sum of weights.
    assert weighted_mean(torch.tensor([1.0, 4.0, 9.0]), torch.tensor([1.0, 0.5, 0.0])).item() == 1.0


def test_without_weights_it_is_the_mean():
    assert weighted_mean(torch.tensor([1.0, 4.0, 10.0])).item() == 5.0


def test_a_pair_of_zero_weight_adds_nothing_to_the_value_and_receives_no_gradient():
    losses = torch.tensor([1.0, 4.0, 9.0], requires_grad=True)
    weights = torch.tensor([1.0, 0.5, 0.0])
    value = weighted_mean(losses, weights)
    value.backward()
    assert value == weighted_mean(torch.tensor([1.0, 4.0, 1e6]), weights)
    torch.testing.assert_close(losses.grad, weights / 3)


def test_no_gradient_flows_into_the_weights():
    losses, weights = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    weighted_mean(losses, weights).backward()
    assert losses.grad is not None
    assert weights.grad is None


def test_product_of_means_by_hand():
    # 0.5 * 4 = 2, whichever weight is whose; and each loss has the gradient 0.5 / 3.
    losses = torch.tensor([1.0, 2.0, 9.0], requires_grad=True)
    weights = torch.tensor([1.0, 0.5, 0.0], requires_grad=True)
    for given in (weights, weights.flip(0)):
        value = product_of_means(losses, given)
        assert value.item() == 2.0
    value.backward()
    torch.testing.assert_close(losses.grad, torch.full((3,), 0.5 / 3))
    assert weights.grad is None
    assert product_of_means(losses, torch.tensor([0.25, 0.75, 0.0, 1.0])).item() == 2.0  # of more pairs than these
