"""Linear maps within a space, each fitted without a part of the pairs, so that it can judge that part."""

import torch
from torch import Tensor

_PART = 16_384  # pairs at once
_LEAST = 1e-6  # of the penalty, for vectors that are all alike


@torch.no_grad()
def maps_without_fold(
    inputs: Tensor, outputs: Tensor, input_row: Tensor, output_row: Tensor, fold: Tensor, strength: float
) -> Tensor:
    """For each fold, the map by the pairs of all other folds: ridge regression towards the identity.

    `W_f = (sum x x' + p I)^-1 (sum x y' + p c I)` over the pairs outside of fold `f`: it minimises
    `sum |x W - y|^2 + p |W - c I|^2`. With few pairs it stays near the identity times `c`, the best of these; the
    penalty `p` is `strength` times the mean eigenvalue of the first sum.

    Args:
        inputs: (R, D), centred.
        outputs: (S, D), of the same space, centred.
        input_row: row of the inputs of each pair, int64 (N,).
        output_row: likewise of the outputs, (N,).
        fold: of each pair, int64 (N,), 0 to F - 1.
        strength: of the penalty, above 0.

    Returns:
        (F, D, D), float32; an input times the map of its fold is what the others make of it.
    """
    count, width = int(fold.max()) + 1, inputs.shape[1]
    grams, crosses = torch.zeros(2, count, width, width, device=inputs.device)
    for rows in torch.arange(len(fold), device=fold.device).split(_PART):
        for number in range(count):
            part = rows[fold[rows] == number]
            x = inputs[input_row[part]]
            grams[number] += x.T @ x
            crosses[number] += x.T @ outputs[output_row[part]]
    grams, crosses = grams.sum(dim=0) - grams, crosses.sum(dim=0) - crosses  # of the other folds
    size, scale = (each.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] for each in (grams, crosses))
    unit = torch.eye(width, device=inputs.device)
    penalty = strength * size + _LEAST
    return torch.linalg.solve(grams + penalty * unit, crosses + penalty * scale / (size + _LEAST) * unit)


@torch.no_grad()
def mapped(inputs: Tensor, maps: Tensor, fold: Tensor) -> Tensor:
    """Each input by the map of its fold, (R, D) and (F, D, D) and (R,) -> (R, D)."""
    outputs = torch.empty_like(inputs)
    for number, matrix in enumerate(maps):
        rows = fold == number
        outputs[rows] = inputs[rows] @ matrix
    return outputs
