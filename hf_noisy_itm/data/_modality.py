"""One modality of a data set, as it is embedded: once each what differs, in batches."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Modality:
    """The items of one modality, equal ones once.

    Args:
        place: for each item, where its equal stands among those that differ, int64 (items,).
        collate: from places among those that differ to the arguments of what embeds them.
        decodes: whether that is work for other processes.
    """

    place: np.ndarray
    collate: Callable[[list[int]], dict[str, Tensor]]
    decodes: bool = False

    def __len__(self) -> int:
        """How many items differ."""
        return int(self.place.max()) + 1


def distinct(keys: list) -> tuple[np.ndarray, np.ndarray]:
    """Where the first of each different key stands, and for each key the place of its equal among those."""
    place, first = {}, []
    for row, key in enumerate(keys):
        if place.setdefault(key, len(first)) == len(first):
            first.append(row)
    return np.array(first), np.array([place[key] for key in keys])
