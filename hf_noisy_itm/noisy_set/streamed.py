"""A noisy data set of a stream that is read once."""

import hashlib
from collections.abc import Iterator
from itertools import chain

import numpy as np

from ..data import DataArguments, RowReport, table
from ..data._passing import PassingRows
from ..data._sources import open_stream
from ..data._splits import check_splits
from ..data.pedigree import PAIRS, PICTURES
from ..data.shards import pair_features, picture_features
from ..data.stream_noise import REPEATED, check_streamed_kind, clean_pairs, damaged_pairs, stream_pictures
from ..errors import InputError
from .content import EXAMPLES, Part, content_of, example_of, rate_of, refuse_labels_alone, written_splits


class StreamSource:
    """One pass over a stream, in order; for kinds of noise that work row by row.

    Memory is that of a few rows, and what `PassingRows` keeps of each id.

    What is told of the whole is known when all `parts` have been read to their end.

    Args:
        args: `NoisySetArguments`.
        data: the source.
    """

    def __init__(self, args, data: DataArguments):
        check_streamed_kind(args.kind)
        splits, self.root = open_stream(data)
        check_splits(data, splits)
        refuse_labels_alone((splits[data.train_split].features or {}).keys(), data)
        self.args, self.data, self.splits = args, data, splits
        self.reports: list[RowReport] = []
        rows = self._pictures(data.train_split, data.max_train_pictures, "training")
        first = next(rows, None)
        if first is None:
            raise InputError(f"The split {data.train_split!r} of {data.dataset} has not one usable pair.")
        self.id_types = tuple(
            "int64" if isinstance(each, int) else "string" for each in (first["image_id"], first["caption_id"][0])
        )
        self._rows = chain([first], rows)
        self._texts = hashlib.sha256()
        self._captions = self._wrong = 0
        self._examples: list[dict] = []
        self._evaluation: dict[str, dict] = {}

    def _pictures(self, split: str, limit: int | None, what: str) -> Iterator[dict]:
        passing = PassingRows(what, split)
        self.reports.append(passing.report)
        return stream_pictures(self.splits[split], self.data, self.root, limit, passing)

    def parts(self) -> Iterator[Part]:
        """The noisy training rows, then the other splits; each is read to its end before the next is asked for."""
        yield Part(PAIRS, "data", "train", pair_features(*self.id_types), self._pair_rows())
        others = [name for name in self.splits if name != self.data.train_split]
        found = {}
        for name in [self.data.eval_split] if self.data.eval_split else others:
            rows = self._pictures(name, self.data.max_eval_pictures, f"evaluation ({name})")
            if (first := next(rows, None)) is not None:
                found[name] = chain([first], rows)
        for name, written in written_splits(found).items():
            rows = self._counted(name, written, found[name])
            yield Part(PICTURES, PICTURES, written, picture_features(*self.id_types), rows)
        print(table(self.reports))

    def _pair_rows(self) -> Iterator[dict]:
        for row, before in damaged_pairs(clean_pairs(self._rows), self.args.kind, self.args.rate, self.args.seed or 0):
            if "repeated" in self.reports[0].found:
                raise InputError(REPEATED)
            self._captions += 1
            self._wrong += row["is_noisy"]
            self._texts.update(row["caption"].encode("utf-8", "surrogatepass") + b"\0")
            if row["is_noisy"] and len(self._examples) < EXAMPLES:
                self._examples.append(example_of(row["image_id"], before, row["caption"], row["noise_source"]))
            yield row

    def _counted(self, name: str, written: str, rows: Iterator[dict]) -> Iterator[dict]:
        count = self._evaluation[written] = {"of": name, "pictures": 0, "captions": 0, "fingerprint": None}
        for row in rows:
            count["pictures"] += 1
            count["captions"] += len(row["captions"])
            yield row

    def _sha256(self) -> str:
        digest = self._texts.copy()
        for start in range(0, self._captions, 2**16):
            digest.update(np.arange(start, min(start + 2**16, self._captions), dtype="<i8").tobytes())
        return digest.hexdigest()

    def content(self) -> dict:
        """What `noise.json` says."""
        pedigree = {
            "kind": self.args.kind,
            "nominal": self.args.rate,
            "realised": self._wrong / self._captions,
            "seed": self.args.seed or 0,
            "family": None,
            "captions": self._captions,
            "sha256": self._sha256(),
        }
        rates = [rate_of("training captions", self._captions), rate_of("wrong captions", self._wrong, self._captions)]
        return content_of(self, pedigree, (None, None), rates, self._evaluation, self._examples)
