"""Class labels of rows: which classes there are, and columns that say which labels are wrong on purpose.

Rows of any columns may have a `label` (a `ClassLabel`, integers or strings). Noise on it leaves all other columns as
they are; `true_label` has the label before any noise, `label_is_noisy` says whether `label` is another. A column
`is_noisy` is of captions, always, and no label is called wrong by it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import datasets
import numpy as np

from ..errors import InputError
from ._columns import plain, read_cells
from ._splits import find_column, own_columns

LABEL, TRUE_LABEL, LABEL_IS_NOISY = "label", "true_label", "label_is_noisy"


@dataclass(frozen=True)
class Classes:
    """The classes 0..K-1, and how the data write each.

    Args:
        values: what stands in the column for each class.
        names: what each is called.
    """

    values: list[int | str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def declared(cls, features: datasets.Features | None) -> "Classes | None":
        """The classes that the type of the column names; None if it names none."""
        feature = (features or {}).get(LABEL)
        if not isinstance(feature, datasets.ClassLabel):
            return None
        return cls(list(range(feature.num_classes)), list(feature.names))

    @classmethod
    def of(cls, splits: Iterable[datasets.Dataset]) -> "Classes":
        """The classes that the type names, else the different labels of all splits, sorted.

        Raises:
            InputError: there is no such column, or it holds something else than integers or strings.
        """
        splits = list(splits)
        for rows in splits:
            find_column(rows, LABEL)
        if (declared := cls.declared(splits[0].features)) is not None:
            return declared
        cells = (plain(cell) for rows in splits for cell in read_cells(rows, LABEL))
        found = {cell for cell in cells if cell is not None and not isinstance(cell, list | dict)}
        values = sorted(found) if {type(cell) for cell in found} in ({int}, {str}) else []
        if not values:
            raise InputError(f"The column {LABEL!r} holds no classes: integers, strings or a ClassLabel.")
        return cls(values, [str(value) for value in values])

    def numbers(self, cells: Iterable, rows: Iterable[int], column: str = LABEL) -> np.ndarray:
        """Cells as classes, int64 (N,).

        Args:
            cells: of a column.
            rows: number of each in the data, for messages.
            column: its name.

        Raises:
            InputError: a cell is none of the classes; its row is named.
        """
        number = {value: place for place, value in enumerate(self.values)}
        found = []
        for cell, row in zip(cells, rows):
            cell = plain(cell)
            if isinstance(cell, list | dict) or cell not in number:
                raise InputError(f"The column {column!r} holds {cell!r} in row {row}, which is none of the classes.")
            found.append(number[cell])
        return np.array(found, dtype=np.int64)


def labelled_features(features: datasets.Features) -> datasets.Features:
    """Of rows after noise: those of the source, `true_label` as `label`, and `label_is_noisy`."""
    kept = {name: features[name] for name in own_columns(features) if name not in (TRUE_LABEL, LABEL_IS_NOISY)}
    return datasets.Features({**kept, TRUE_LABEL: kept[LABEL], LABEL_IS_NOISY: datasets.Value("bool")})


def rows_as_stored(rows: datasets.Dataset) -> Iterator[dict]:
    """All rows in order, pictures as bytes and paths."""
    for batch in rows.select_columns(own_columns(rows.column_names)).with_format("arrow").iter(batch_size=100):
        yield from batch.to_pylist()
