"""What was found in rows, as counts, as a table, and as the sentence that stops a run; `_check.py` lists the kinds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InputError

MOST_WORDS = 75  # CLIP's 77 tokens without the two that mark start and end: more words are cut for certain
BAD = {
    "missing": "row(s) of a missing picture",
    "outside": "row(s) of a picture path that leaves its folder",
    "no_image": "row(s) of a file that is no image",
    "other_picture": "row(s) of an image id with another picture",
    "empty": "empty caption(s)",
    "other_caption": "caption(s) of an id with another text",
    "broken": "picture(s) that do not decode",
    "no_vector": "row(s) of a missing vector",
    "not_finite": "row(s) of vectors that are not finite",
    "no_label": "row(s) of a missing label",
}
NOTED = {
    "cut": f"caption(s) of more than {MOST_WORDS} words",
    "wordless": "caption(s) without letter or digit",
    "repeated": "caption id(s) repeated",
    "noisy": "caption(s) known to be wrong",
}
_NOTED_OUTCOME = {
    "cut": "used, cut by the tokenizer",
    "wordless": "used",
    "repeated": "used",
    "noisy": "trained on, not evaluated on",
}


class BadRows(InputError):
    """Rows that stop a run; `reports` hold all that was found."""

    def __init__(self, reports: Sequence["RowReport"]):
        problems = ", and ".join(report.problem for report in reports if report.bad)
        super().__init__(f"There are {problems}; mend them, or leave them out with --on_bad_row skip.")
        self.reports = reports

    def __reduce__(self) -> tuple:
        return type(self), (self.reports,)  # from another process it comes with its reports, not with its sentence


@dataclass
class RowReport:
    """What was found in the rows of one split; `str()` is a table.

    Args:
        what: the rows are for, "training", for one.
        rows: number of rows.
        split: where they come from.
        found: by kind, the row of each finding, as it is numbered in the data.
        example: by kind, the path of the first finding, where it has one.
        pictures: that are used, in the end.
        captions: that are used, in the end.
        of_vectors: there are neither pictures nor captions in them.
    """

    what: str
    rows: int
    split: str = ""
    found: dict[str, list[int]] = field(default_factory=dict)
    example: dict[str, str] = field(default_factory=dict)
    pictures: int = 0
    captions: int = 0
    of_vectors: bool = False

    def add(self, kind: str, row: int, path: str | None = None) -> None:
        """Counts a finding; rows come in ascending order."""
        if kind not in self.found and path:
            self.example[kind] = path
        self.found.setdefault(kind, []).append(int(row))

    @property
    def bad(self) -> int:
        """How many findings cost a row or a caption."""
        return sum(len(rows) for kind, rows in self.found.items() if kind in BAD)

    @property
    def problem(self) -> str:
        """The bad rows in words, each kind with its first row."""
        return ", and ".join(
            f"{len(self.found[kind])} {name} among the {self.what} rows, first in row {min(self.found[kind])}"
            + (f" ({self.example[kind]})" if kind in self.example else "")
            for kind, name in BAD.items()
            if kind in self.found
        )

    def __str__(self) -> str:
        return table([self])


def table(reports: Sequence[RowReport]) -> str:
    """One table of what several splits hold and what is wrong with them, kinds that do not occur left out."""
    lines = [["rows", *(each.what for each in reports), "outcome", "first rows"]]
    lines.append(["split", *(each.split or "-" for each in reports), "", ""])
    names = ["rows", *([] if all(each.of_vectors for each in reports) else ["pictures used", "captions used"])]
    lines += [[name, *(str(getattr(each, name.split()[0])) for each in reports), "", ""] for name in names]
    for kind, name in (BAD | NOTED).items():
        found = [each.found.get(kind, []) for each in reports]
        if any(found):
            first = (
                f"{each.what} {', '.join(map(str, sorted(rows)[:3]))}" for each, rows in zip(reports, found) if rows
            )
            outcome = _NOTED_OUTCOME.get(kind, "left out")
            lines.append([name, *(str(len(rows)) for rows in found), outcome, "; ".join(first)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    last = len(reports)  # columns of figures stand right, words left
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 1 <= column <= last else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )
