"""The most similar row by cosine: in tiles, so that no matrix of all similarities ever exists.

Up to `EXACT` keys all are compared. On a processor the product takes nearly all the time; what each tile says is taken
in while it is in the cache. With more keys the time would grow with the square, so that they are searched through
cells (`nearest_k.Cells`), and one in some finds a row that is only nearly the most similar.
"""

import torch
from torch import Tensor

from .nearest_k import CHUNK, Cells
from .precision import full_precision
from .similarity import normalize

EXACT = 600_000  # keys among which all are compared: more than the captions of MSCOCO
TILE = 2048  # rows, and columns: 16 MB of similarities
_PROBES = 16  # cells that a row looks into: twice as many as for several keys, for here a miss is the only answer


@torch.no_grad()
def nearest_rows(embeds: Tensor, queries: Tensor, keys: Tensor, tile: int = TILE, exact: int = EXACT) -> Tensor:
    """For some rows of a matrix, which of some other rows is most similar.

    Args:
        embeds: (N, D), any scale; on a GPU, the search runs there.
        queries: rows to search for, int64 (Q,).
        keys: rows to search among, int64 (M,), M >= 1.
        tile: rows and columns of a tile. Memory is a copy of the keys in float32 and two tiles or so.
        exact: number of keys up to which all are compared.

    Returns:
        Places in `keys`, int64 (Q,); the first of those that are equal, where all are compared.

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
        if len(keys) > exact:
            cells = Cells(unit_keys)
            for rows in _parts(len(queries), CHUNK):
                best.place[rows] = cells.search(normalize(embeds[queries[rows]]), 1, _PROBES)[1].squeeze(1)
            return best.place
        memory = unit_keys.new_empty(min(tile, len(queries)) * min(tile, len(keys)))
        for rows in _parts(len(queries), tile):
            part = normalize(embeds[queries[rows]])  # (rows, D)
            for columns in _parts(len(keys), tile):
                best.take(rows, columns.start, _products(part, unit_keys[columns], memory))
    return best.place


@torch.no_grad()
def nearest_others(embeds: Tensor, keys: Tensor, tile: int = TILE, exact: int = EXACT) -> Tensor:
    """For some rows of a matrix, which other of the same rows is most similar.

    A tile serves its rows and its columns, so that this takes half the time of a search for all keys among all keys.

    Args:
        embeds: (N, D), any scale; on a GPU, the search runs there.
        keys: rows, int64 (M,), M >= 1.
        tile: see `nearest_rows`.
        exact: likewise.

    Returns:
        For each key the place of another in `keys`, int64 (M,); the first of those that are equal, where all are
        compared. An only key finds itself, and so does one that is alone in its cells.

    Raises:
        ValueError: there is no key.
    """
    if not len(keys):
        raise ValueError("There are no rows to search among.")
    best = _Best(len(keys), embeds.device)
    with full_precision():
        unit_keys = _unit_rows(embeds, keys, tile)
        if len(keys) > exact:
            cells = Cells(unit_keys)
            for rows in _parts(len(keys), CHUNK):
                first, second = cells.search(unit_keys[rows], 2, _PROBES)[1].T
                own = torch.arange(rows.start, rows.stop, device=first.device)
                best.place[rows] = torch.where(first != own, first, torch.where(second < 0, own, second))
            return best.place
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
