import pytest
import torch

from hf_noisy_itm.functional.cross_fit import mapped, maps_without_fold


def drawn(pairs=60, rows=25, width=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    inputs, outputs = torch.randn(2, rows, width, generator=rng)
    input_row, output_row = torch.randint(rows, (2, pairs), generator=rng)
    return inputs, outputs, input_row, output_row, input_row % 3


@pytest.mark.parametrize("strength", [0.05, 2.0])
def test_each_map_is_that_of_the_other_pairs(strength):
    """Pair by pair, in float64."""
    inputs, outputs, input_row, output_row, fold = drawn()
    maps = maps_without_fold(inputs, outputs, input_row, output_row, fold, strength)
    for number in range(3):
        gram, cross = torch.zeros(2, 6, 6, dtype=torch.float64)
        for one, other, own in zip(input_row, output_row, fold):
            if own != number:
                gram += torch.outer(inputs[one], inputs[one])
                cross += torch.outer(inputs[one], outputs[other])
        penalty = strength * gram.trace() / 6 * torch.eye(6)
        wanted = torch.linalg.inv(gram + penalty) @ (cross + penalty * cross.trace() / gram.trace())
        torch.testing.assert_close(maps[number].double(), wanted, atol=1e-4, rtol=1e-3)


def test_a_map_of_the_space_is_found_and_its_own_fold_plays_no_part():
    inputs, _, row, _, fold = drawn(pairs=300, rows=300)
    row = torch.arange(300)
    fold = row % 3
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(5)))
    outputs = inputs @ turn
    outputs[fold == 1] = 100.0  # nonsense
    maps = maps_without_fold(inputs, outputs, row, row, fold, 1e-6)
    torch.testing.assert_close(mapped(inputs, maps, fold)[fold == 1], (inputs @ turn)[fold == 1], atol=1e-3, rtol=1e-3)


def test_a_firm_map_is_the_identity_but_for_its_length():
    inputs, _, row, _, fold = drawn(pairs=200)
    maps = maps_without_fold(inputs, 0.5 * inputs, row, row, fold, 1e4)
    torch.testing.assert_close(maps, 0.5 * torch.eye(6).expand(3, 6, 6), atol=1e-3, rtol=1e-3)


def test_vectors_that_are_all_alike_have_a_map():
    nothing = torch.zeros(9, 4)
    rows = torch.arange(9)
    assert not maps_without_fold(nothing, nothing, rows, rows, rows % 3, 1.0).any()
