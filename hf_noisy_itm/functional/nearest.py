"""The most similar row by cosine: exact, in tiles, so that no matrix of all similarities ever exists.

On a processor the product takes nearly all the time; what each tile says is taken in while it is in the cache.
"""

import torch
from torch import Tensor

from .precision import full_precision
from .similarity import normalize

TILE = 2048  # rows, and columns: 16 MB of similarities


@torch.no_grad()
def nearest_rows(embeds: Tensor, queries: Tensor, keys: Tensor, tile: int = TILE) -> Tensor:
    """For some rows of a matrix, which of some other rows is most similar.

    Args:
        embeds: (N, D), any scale; on a GPU, the search runs there.
        queries: rows to search for, int64 (Q,).
        keys: rows to search among, int64 (M,), M >= 1.
        tile: rows and columns of a tile. Memory is a copy of the keys in float32 and two tiles or so.

    Returns:
        Places in `keys`, int64 (Q,); the first of those that are equal.

    Raises:
        ValueError: there is no key.
    """
    if not len(keys):
        raise ValueError(f"There are no rows to search among for {len(queries)} queries.")
    best = _Best(len(queries), embeds.device)
    if not len(queries):
        return best.place
    with full_precision():
        unit_keys = _unit_rows(embeds, keys, tile)
        memory = unit_keys.new_empty(min(tile, len(queries)) * min(tile, len(keys)))
        for rows in _parts(len(queries), tile):
            part = normalize(embeds[queries[rows]])  # (rows, D)
            for columns in _parts(len(keys), tile):
                best.take(rows, columns.start, _products(part, unit_keys[columns], memory))
    return best.place


@torch.no_grad()
def nearest_others(embeds: Tensor, keys: Tensor, tile: int = TILE) -> Tensor:
    """For some rows of a matrix, which other of the same rows is most similar.

    A tile serves its rows and its columns, so that this takes half the time of a search for all keys among all keys.

    Args:
        embeds: (N, D), any scale; on a GPU, the search runs there.
        keys: rows, int64 (M,), M >= 1.
        tile: see `nearest_rows`.

    Returns:
        For each key the place of another in `keys`, int64 (M,); the first of those that are equal. An only key finds
        itself.

    Raises:
        ValueError: there is no key.
    """
    if not len(keys):
        raise ValueError("There are no rows to search among.")
    best = _Best(len(keys), embeds.device)
    with full_precision():
        unit_keys = _unit_rows(embeds, keys, tile)
        memory = unit_keys.new_empty(min(tile, len(keys)) ** 2)
        parts = _parts(len(keys), tile)
        for number, rows in enumerate(parts):  # in this order each row meets its columns from left to right
            for columns in parts[number:]:
                products = _products(unit_keys[rows], unit_keys[columns], memory)
                if columns == rows:
                    best.take(rows, rows.start, products.fill_diagonal_(-torch.inf))
                else:
                    best.take(rows, columns.start, products)
                    best.take(columns, rows.start, products.T)
    return best.place


class _Best:
    """The largest similarity that each of N rows has met, and where."""

    def __init__(self, num_rows: int, device: torch.device):
        self.value = torch.full((num_rows,), -torch.inf, device=device)
        self.place = torch.zeros(num_rows, dtype=torch.long, device=device)

    def take(self, rows: slice, first: int, products: Tensor) -> None:
        """Takes in similarities (rows, columns), of which the first column stands at `first`."""
        value, place = self.value[rows], self.place[rows]
        largest = products.amax(dim=1)
        # The maximum is fast and its place is not; after the first tiles few rows find a better one.
        better = torch.nonzero(largest > value).squeeze(1)
        value[better] = largest[better]
        place[better] = products[better].argmax(dim=1) + first


def _parts(num_rows: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, num_rows)) for start in range(0, num_rows, tile)]


def _products(rows: Tensor, columns: Tensor, memory: Tensor) -> Tensor:
    """All inner products, in `memory`: to allocate each tile anew would make the heap grow."""
    return torch.mm(rows, columns.T, out=memory[: len(rows) * len(columns)].view(len(rows), len(columns)))


def _unit_rows(embeds: Tensor, rows: Tensor, tile: int) -> Tensor:
    """Some rows at unit length, part by part: there is one copy of them and not two."""
    units = torch.empty(len(rows), embeds.shape[1], device=embeds.device)
    for part in _parts(len(rows), tile):
        units[part] = normalize(embeds[rows[part]])
    return units
