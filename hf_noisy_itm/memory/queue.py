"""The last pairs that a momentum encoder has embedded: candidates beyond the batch."""

import os

import torch
from torch import Tensor, nn

from ..errors import InputError

NO_PICTURE = torch.iinfo(torch.long).min  # the id of pictures that have none
NO_ROW = -1


class PairQueue(nn.Module):
    """Embeddings of pictures and captions, with the ids of their pictures and their rows in the data.

    Written in a circle; `filled` of its `size` rows hold a pair, and the others must not be taken for candidates.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        _refuse_what_does_not_fit(size, width)
        self.register_buffer("image_keys", torch.empty(size, width))
        self.register_buffer("text_keys", torch.empty(size, width))
        self.register_buffer("image_id", torch.empty(size, dtype=torch.long))
        self.register_buffer("row", torch.empty(size, dtype=torch.long))
        self.register_buffer("pointer", torch.empty((), dtype=torch.long))
        self.register_buffer("filled", torch.empty((), dtype=torch.long))
        self.register_load_state_dict_post_hook(_refuse_what_is_no_queue)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Starts empty."""
        self.image_keys.zero_()
        self.text_keys.zero_()
        self.image_id.fill_(NO_PICTURE)
        self.row.fill_(NO_ROW)
        self.pointer.zero_()
        self.filled.zero_()

    def __len__(self) -> int:
        return len(self.row)

    @property
    def is_empty(self) -> Tensor:
        """Which rows hold no pair, bool (size,)."""
        return torch.arange(len(self), device=self.filled.device) >= self.filled

    @torch.no_grad()
    def push(self, image_keys: Tensor, text_keys: Tensor, image_id: Tensor, row: Tensor) -> None:
        """Writes pairs over the oldest ones; of more than there is room for, the last.

        Args:
            image_keys: (G, D).
            text_keys: (G, D).
            image_id: (G,).
            row: (G,), `NO_ROW` where unknown.
        """
        size, count = len(self), len(row)
        places = (self.pointer + torch.arange(count, device=self.pointer.device))[-size:] % size
        for own, new in (
            (self.image_keys, image_keys),
            (self.text_keys, text_keys),
            (self.image_id, image_id),
            (self.row, row),
        ):
            own.index_copy_(0, places, new[-size:].type_as(own))
        self.pointer.add_(count).remainder_(size)
        self.filled.add_(count).clamp_(max=size)


def _refuse_what_is_no_queue(queue: PairQueue, _: object) -> None:
    if not (0 <= queue.pointer < len(queue) and 0 <= queue.filled <= len(queue)):
        raise ValueError(
            f"a queue of {len(queue)} pairs does not hold {queue.filled.item()}, the next at {queue.pointer.item()}"
        )
    if not (queue.image_keys.isfinite().all() and queue.text_keys.isfinite().all()):
        raise ValueError("its queue holds what is no number")


def _refuse_what_does_not_fit(size: int, width: int) -> None:
    """Before anything is allocated: systems promise more memory than there is, and end who uses it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return
    needed, there = size * (2 * 4 * width + 2 * 8), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise InputError(
            f"A queue of {size} pairs takes {needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f}: give a "
            f"smaller queue_size."
        )
