"""Losses that are no numbers: noted where they began, or their batch left out."""

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.data import Dataset
from transformers.utils import logging

from .errors import InputError
from .exchange import Exchange

logger = logging.get_logger(__name__)


class LossWatch:
    """Remembers the first step whose loss was no number, without waiting for the device at each step."""

    def __init__(self):
        self._first: Tensor | None = None

    def add(self, loss: Tensor, step: int) -> None:
        """Looks at a loss.

        Args:
            loss: scalar.
            step: optimizer step that it is part of, counted from 1.
        """
        here = torch.where(loss.detach().isfinite(), torch.inf, float(step))
        self._first = here if self._first is None else torch.minimum(self._first, here)

    def check(self) -> None:
        """Asks, which waits for the device.

        Raises:
            InputError: a loss was no number.
        """
        if self._first is not None and self._first.isfinite():
            raise InputError(
                f"The loss is not finite from step {int(self._first)} on: training diverged, or a batch spoilt it. Go "
                f"on from the last checkpoint, which is of before, or start anew, with a smaller learning_rate, or "
                f"with --skip_bad_batches true, which leaves such batches out and names them."
            )


@torch.no_grad()
def is_left_out(model: nn.Module, loss: Tensor, exchange: Exchange) -> bool:
    """Drops all gradients where the loss or any of them is no number, on any process; whether it did.

    The optimizer leaves alone what has no gradient: a step of one such batch changes nothing, and one of several
    (accumulation) loses those before it, too.

    Args:
        model: after backward.
        loss: of the batch, scalar.
        exchange: all processes do the same.
    """
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    is_bad = ~(loss.isfinite() & get_total_norm(gradients).isfinite()) if gradients else ~loss.isfinite()
    if not exchange.mean([is_bad.float()])[0]:
        return False
    for parameter in model.parameters():
        parameter.grad = None
    return True


def tell_of_left_out(index: Tensor | None, pairs: Dataset, step: int, exchange: Exchange, tells: bool) -> None:
    """Names the pairs of a batch, of all processes, by their numbers in the data as loaded.

    Args:
        index: rows of this process in `pairs`, (B,); None of a stream, whose pairs have no numbers.
        pairs: the training pairs.
        step: optimizer step, counted from 1.
        exchange: the processes.
        tells: whether this one does, in a warning.
    """
    told = ""
    if index is not None:
        rows = exchange.gather(index).cpu()
        place = getattr(pairs, "place", None)
        told = f": pairs {', '.join(map(str, (rows if place is None else place[rows]).tolist()))}"
    if tells:
        logger.warning(f"The loss of a batch in step {step} is not finite, and the batch is left out{told}.")
