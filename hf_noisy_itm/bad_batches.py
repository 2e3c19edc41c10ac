"""Losses that are no numbers, or rise: noted where they began, or their batch left out."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.data import Dataset
from transformers.utils import logging

from .errors import InputError
from .exchange import Exchange

logger = logging.get_logger(__name__)


_WAY_ON = (
    "Go on from the last checkpoint, which is of before, or start anew, with a smaller learning_rate, or with "
    "--skip_bad_batches true, which leaves such batches out and names them."
)
_TIMES, _BEYOND = 3.0, 1.0  # the lowest mean three times and 1 more, and above the first one: single batches spread
_MOST_IN_A_ROW = 10


class LossWatch:
    """Remembers the first step whose loss was no number, without waiting for the device at each step.

    Also how low the loss was, and how many batches in a row were left out.
    """

    def __init__(self):
        self._first: Tensor | None = None
        self._began_at = 0.0
        self._lowest = (math.inf, 0)
        self._rise_is_told = False
        self._in_a_row = 0

    def add(self, loss: Tensor, step: int) -> None:
        """Looks at a loss.

        Args:
            loss: scalar.
            step: optimizer step that it is part of, counted from 1.
        """
        here = torch.where(loss.detach().isfinite(), torch.inf, float(step))
        self._first = here if self._first is None else torch.minimum(self._first, here)

    def check(self, exchange: Exchange) -> None:
        """Asks, which waits for the device.

        Args:
            exchange: all processes ask, and end together.

        Raises:
            InputError: a loss was no number, on any process.
        """
        if self._first is None:
            return
        first = exchange.gather(self._first[None]).min()
        if first.isfinite():
            raise InputError(
                f"The loss is not finite from step {int(first)} on: training diverged, or a batch spoilt it. {_WAY_ON}"
            )

    def rise(self, loss: float, step: int) -> str | None:
        """Looks at the mean loss since the last log; a warning where it has risen far, once.

        Args:
            loss: mean.
            step: up to which.
        """
        lowest, then = self._lowest
        self._began_at = self._began_at or loss
        if self._rise_is_told or not loss > max(_TIMES * lowest + _BEYOND, self._began_at):
            if 0 < loss < lowest:  # batches that were left out count 0
                self._lowest = (loss, step)
            return None
        self._rise_is_told = True
        return (
            f"The loss rises: {loss:.3g} at step {step}, and {lowest:.3g} at step {then}. Training may be diverging: "
            f"give a smaller learning_rate, or more warmup_steps."
        )

    def leave_out(self, is_bad: bool, step: int) -> None:
        """Counts the batches that are left out one after the other.

        Raises:
            InputError: ten in a row: it is not the batches.
        """
        self._in_a_row = self._in_a_row + 1 if is_bad else 0
        if self._in_a_row == _MOST_IN_A_ROW:
            raise InputError(
                f"The last {_MOST_IN_A_ROW} batches up to step {step} were left out, since their losses are not "
                f"finite: it is the model, or all data. Go on from the last checkpoint with a smaller learning_rate, "
                f"and look at the pairs that were named."
            )


@torch.no_grad()
def refuse_no_numbers(model: nn.Module, exchange: Exchange, step: int) -> None:
    """Looks at all weights, which a finite loss with gradients that are not may have spoilt.

    Args:
        model: after a step.
        exchange: each process looks at what it holds.
        step: how many there were.

    Raises:
        InputError: some are no numbers, on any process.
    """
    parts = [part for each in model.parameters() if (part := exchange.part(each)).numel()]
    is_bad = ~torch.stack([part.isfinite().all() for part in parts]).all()
    if exchange.mean([is_bad.float()])[0]:
        raise InputError(
            f"Weights are not finite after step {step}: a gradient was not, though the loss was. {_WAY_ON}"
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
