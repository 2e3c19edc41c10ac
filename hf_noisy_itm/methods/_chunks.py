"""Batches beyond memory: rows pass a tower a few at a time, and their activations are made again for the gradient.

GradCache (Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup) embeds a batch in
chunks without a graph, takes the gradient of the loss by the embeddings, and embeds each chunk again with a graph to
carry that gradient on. Checkpointing each chunk's pass computes the same, in the order of autograd: one forward pass
more, activations of one chunk at a time, the gradient of the whole batch. Random numbers (dropout) and autocast are
those of the first pass. Gradient accumulation is something else: there each small batch has only its own negatives.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def in_chunks(function: Callable[..., Tensor], rows: int | None, *inputs: Tensor | None) -> Tensor:
    """What a function makes of each row of the inputs, so many rows at a time; all at once if None.

    Args:
        function: of tensors of R rows each, to (R, …); each row by itself.
        rows: per chunk, at least 1.
        inputs: (R, …) each, or None.
    """
    count = len(inputs[0])
    if rows is None or rows >= count:
        return function(*inputs)
    chunks = zip(*([None] * -(-count // rows) if each is None else each.split(rows) for each in inputs))
    if not torch.is_grad_enabled():
        return torch.cat([function(*chunk) for chunk in chunks])
    return torch.cat([checkpoint(function, *chunk, use_reentrant=False) for chunk in chunks])
