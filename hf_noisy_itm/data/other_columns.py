"""The columns of the data that pairs do not hold, for each pair, as they are stored."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import datasets
import numpy as np
import pyarrow.compute as pc

from ._arguments import DataArguments
from ._columns import read_cells
from ._pairs import Pairs
from ._sources import CAPTION_COLUMNS, load_splits
from ._splits import CAPTION, find_column, find_splits, own_columns
from .labels import rows_as_stored
from .shards import pair_features

_LISTS = (datasets.List, datasets.LargeList)
_ROWS = 1000  # whose lists are counted at once


class SourceRows:
    """Where in the data the pairs come from; noise moves captions alone, so that a pair keeps its row and number.

    Args:
        data: what the pairs were loaded with; it is loaded again, and columns are read when they are asked for.
        pairs: to train on, with their `place`.

    Attributes:
        rows: of the data that serve for training.
        captions: the column that holds the captions.
        row: of each pair among `rows`, (N,).
        number: of the caption that each pair came with among those of its row, (N,).
    """

    def __init__(self, data: DataArguments, pairs: Pairs):
        self._data = data
        self.rows = find_splits(data)[0]
        self.captions = find_column(self.rows, *([data.caption_column] if data.caption_column else CAPTION_COLUMNS))
        first = np.asarray(read_cells(self.rows, CAPTION))
        self.row = np.searchsorted(first, pairs.place, side="right") - 1  # the last one: rows before have no captions
        self.number = pairs.place - first[self.row]

    def of_captions(self, names: Iterable[str]) -> set[str]:
        """Those columns that are lists with an entry for each caption, in every row of the split, or nothing in it.

        All rows are asked, used or not: what a column is does not depend on how many pictures somebody trains on.
        """
        features = self.rows.features
        lists = [name for name in names if isinstance(features[name], _LISTS)]
        found = {name for name in lists if getattr(features[name], "length", -1) == -1}  # no vector of fixed width
        if not (found and isinstance(features[self.captions], _LISTS)):
            return set()
        rows = load_splits(self._data)[self._data.train_split].select_columns([self.captions, *sorted(found)])
        for batch in rows.with_format("arrow").iter(batch_size=_ROWS):
            counts = pc.list_value_length(batch[self.captions])
            equal = {name: pc.all(pc.equal(pc.list_value_length(batch[name]), counts)) for name in found}
            found = {name for name in found if equal[name].as_py() is not False}
        return found


class OtherColumns:
    """What the training rows say beside picture, caption, their ids and noise.

    Cells stay where they are: noise moves captions alone. Where a row has a list of captions, a list with one entry
    for each of them, in every row of the split, gives one to each (an empty cell gives none); any other cell goes to
    all captions of its row, a vector of fixed width too. Pictures in such columns are bytes or paths, as stored.

    Args:
        data: what the pairs were loaded with; it is loaded again, and columns are read when they are asked for.
        pairs: to train on, with their `place`.
        own: names of further columns that are written of the pairs, see `clashes`.

    Attributes:
        features: of these columns.
        clashes: columns of names that pairs are written under, but that hold something else; they are not among these.
        taken_apart: columns of lists that give one entry to each caption, sorted.
    """

    def __init__(self, data: DataArguments, pairs: Pairs, own: Iterable[str] = ()):
        source = SourceRows(data, pairs)
        rows = source.rows
        used, self._row = np.unique(source.row, return_inverse=True)
        self._number = source.number
        # "captions" would be taken for the captions before "caption" is.
        written = {*pair_features("int64"), "captions", *own}
        read = {data.image_column, source.captions}
        same = {data.image_id_column, data.weight_column, "caption_id", "is_noisy", "noise_source"}
        names = own_columns(rows.column_names)
        self.clashes = [name for name in names if name in written - read - same]
        kept = [name for name in names if name not in written | read]
        self._rows = rows.select(used).select_columns(kept)
        self._spread = source.of_captions(kept)
        self.taken_apart = sorted(self._spread)
        self.features = datasets.Features(
            {name: rows.features[name].feature if name in self._spread else rows.features[name] for name in kept}
        )

    def rows(self, kept: np.ndarray) -> Iterator[dict]:
        """The cells of some pairs, given by ascending numbers; a hundred rows are in memory at once."""
        used, of_pair = np.unique(self._row[kept], return_inverse=True)
        if not self.features:
            yield from ({} for _ in kept)
            return
        pairs = groupby(zip(of_pair.tolist(), self._number[kept].tolist()), key=lambda pair: pair[0])
        for (_, group), row in zip(pairs, rows_as_stored(self._rows.select(used))):
            for _, number in group:
                yield {name: self._cell(name, cell, number) for name, cell in row.items()}

    def _cell(self, name: str, cell: object, number: int) -> object:
        return cell[number] if name in self._spread and cell is not None else cell
