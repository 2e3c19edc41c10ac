"""Spreading what nodes of a graph hold to their neighbours."""

from torch import Tensor

from .similarity import inner_products


def propagation(links: Tensor) -> Tensor:
    """Matrix by which nodes take in their neighbours, `D^-1/2 (A + I) D^-1/2` (Kipf & Welling, ICLR 2017).

    Args:
        links: strength of the tie between each two nodes, >= 0 and symmetric, (K, K); the diagonal is not looked at.

    Returns:
        float32 (K, K), symmetric; a node without ties keeps what it holds.
    """
    whole = links.float().clone()
    whole.fill_diagonal_(1.0)
    scale = whole.sum(dim=1).rsqrt()
    return scale[:, None] * whole * scale


def propagate(matrix: Tensor, nodes: Tensor) -> Tensor:
    """What nodes hold after one step, (K, K) and (K, D) -> (K, D), in float32 also under autocast."""
    return inner_products(matrix, nodes.T)
