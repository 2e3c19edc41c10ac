"""The only place where the losses of many pairs become one number."""

from torch import Tensor


def weighted_mean(loss_per_pair: Tensor, weight_per_pair: Tensor | None = None) -> Tensor:
    """`mean(w_i * l_i)`: the sum of weighted losses over the number of pairs, not over the sum of weights.

    So a pair of zero weight adds nothing, and a batch in which all pairs are distrusted makes a small step.

    Args:
        loss_per_pair: (B,).
        weight_per_pair: (B,), constants (no gradient flows into them); all ones if left out.

    Returns:
        Scalar.
    """
    if weight_per_pair is None:
        return loss_per_pair.mean()
    return (weight_per_pair.detach() * loss_per_pair).mean()


def product_of_means(loss_per_pair: Tensor, weight_per_pair: Tensor) -> Tensor:
    """`mean(w) * mean(l)`: weights that only scale the batch, whichever pair they belong to.

    What NPC's released code computes where its paper has `weighted_mean`.

    Args:
        loss_per_pair: (B,).
        weight_per_pair: (G,), constants; of more pairs than these where there are several processes.

    Returns:
        Scalar.
    """
    return weight_per_pair.detach().mean() * loss_per_pair.mean()
