"""What a noisy data set is made of: all pairs at once, or a stream that is read once."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, replace
from glob import has_magic
from itertools import chain
from pathlib import Path

import numpy as np

from ..data import DataArguments, Pairs, table
from ..data._noise import add_drawn, add_published
from ..data._sources import open_stream
from ..data._splits import all_splits, check_splits, rows_with
from ..data.load import read_pairs, refuse_bad_rows
from ..data.pedigree import pedigree_of_source
from ..data.shards import id_type_of, pair_rows, picture_rows
from ..data.stream_noise import check_streamed_kind, clean_pairs, damaged_pairs, stream_pictures
from ..errors import InputError
from ..functional.noise import TEXT_KINDS
from .embeds import embed_by_model, embed_by_words

_EXAMPLES = 3
_NOT_TOLD = ("output", "overwrite", "push_to_hub", "shard_mb", "license")  # of the arguments, in a command to repeat
_PLACES = ("dataset", "data_dir", "image_root", "noise_file", "text_model")  # told by their last part if on this disk


class PairsSource:
    """All pairs in memory, pictures in their files; for every kind of noise.

    Args:
        args: `NoisySetArguments`.
        data: the source.
    """

    def __init__(self, args, data: DataArguments):
        train, others = all_splits(data)
        clean = read_pairs(train, data, "training", data.max_train_pictures, data.train_split)
        names = [data.eval_split] if data.eval_split else list(others)
        found = {name: rows_with(others[name], data.where) for name in names}
        self.held_out = {
            name: read_pairs(rows, data, f"evaluation ({name})", data.max_eval_pictures, name)
            for name, rows in found.items()
            if rows is not None and len(rows)
        }
        everything = [clean, *self.held_out.values()]
        print(table([pairs.report for pairs in everything]))
        refuse_bad_rows(data, *everything)
        for name, pairs in self.held_out.items():
            if pairs.is_noisy.any():
                raise InputError(
                    f"The split {name!r} of {data.dataset} has wrong captions; only clean ones are copied."
                )
        clean = replace(clean, pedigree=pedigree_of_source(data))
        self.args, self.data, self.clean = args, data, clean
        self.noisy = self._with_noise()
        self.id_type = id_type_of(self.noisy.noise_source, *(pairs.name for pairs in everything))

    def _with_noise(self) -> Pairs:
        args, pairs = self.args, self.clean
        if self.data.noise_file:
            return add_published(pairs, self.data.noise_file, args.kind or "shuffle", args.rate)
        embeds, more = None, {}
        if args.kind == "semantic":
            more = {"near_by": last_part(args.text_model) if args.text_model else "TF-IDF and TruncatedSVD"}
            embeds = embed_by_model(pairs, args.text_model) if args.text_model else embed_by_words(pairs.captions)
        if args.kind in TEXT_KINDS and len(np.unique(pairs.caption_id)) < len(pairs):
            raise InputError(
                "Some captions stand in several rows (caption_id), and would be damaged in different ways: damage "
                "text first, and move captions after that."
            )
        return add_drawn(pairs, args.kind, args.rate, args.seed, args.keep_none, embeds, args.k, **more)

    def pair_rows(self) -> Iterator[dict]:
        """The training rows."""
        return pair_rows(self.noisy, self.id_type)

    def evaluation(self) -> Iterator[tuple[str, Iterator[dict]]]:
        """The other splits."""
        for name, pairs in self.held_out.items():
            yield name, picture_rows(pairs, self.id_type)

    def content(self) -> dict:
        """What `noise.json` says."""
        clean, noisy = self.clean, self.noisy
        wrong = noisy.is_noisy
        per_picture = np.bincount(noisy.image_row, minlength=len(noisy.image_id))
        wrong_per_picture = np.bincount(noisy.image_row[wrong], minlength=len(noisy.image_id))
        own = set(zip(clean.image_row.tolist(), clean.captions))
        right = sum((int(noisy.image_row[i]), noisy.captions[i]) in own for i in np.flatnonzero(wrong).tolist())
        pictures = len(noisy.image_id)
        rates = [
            _rate("training captions", len(noisy)),
            _rate("wrong captions", int(wrong.sum()), len(noisy)),
            _rate("wrong captions with the text of a right one of their picture", right, len(noisy)),
            _rate("training pictures", pictures),
            _rate("pictures with a wrong caption", int((wrong_per_picture > 0).sum()), pictures),
            _rate("pictures with wrong captions only", int((wrong_per_picture == per_picture).sum()), pictures),
        ]
        shown = np.flatnonzero(wrong & (np.array(clean.captions) != np.array(noisy.captions)))[:_EXAMPLES].tolist()
        names, sources = noisy.name[noisy.image_row].tolist(), noisy.noise_source.tolist()
        examples = [_example(names[i], clean.captions[i], noisy.captions[i], sources[i]) for i in shown]
        evaluation = {
            name: {"pictures": len(pairs.image_id), "captions": len(pairs), "fingerprint": pairs.fingerprint}
            for name, pairs in self.held_out.items()
        }
        return _content(self, noisy.pedigree, (clean.fingerprint, noisy.fingerprint), rates, evaluation, examples)


class StreamSource:
    """One pass over a stream, in order; for kinds of noise that work row by row. Memory is that of a few rows.

    What is told of the whole is known when `pair_rows` and `evaluation` have been read to their end.

    Args:
        args: `NoisySetArguments`.
        data: the source.
    """

    def __init__(self, args, data: DataArguments):
        check_streamed_kind(args.kind)
        splits, self.root = open_stream(data)
        check_splits(data, splits)
        self.args, self.data, self.splits = args, data, splits
        rows = self._pictures(data.train_split, data.max_train_pictures)
        first = next(rows, None)
        if first is None:
            raise InputError(f"The split {data.train_split!r} of {data.dataset} has not one usable pair.")
        self.id_type = "int64" if isinstance(first["image_id"], int) else "string"
        self._rows = chain([first], rows)
        self._texts = hashlib.sha256()
        self._captions = self._wrong = 0
        self._examples: list[dict] = []
        self._evaluation: dict[str, dict] = {}

    def _pictures(self, split: str, limit: int | None) -> Iterator[dict]:
        return stream_pictures(self.splits[split], self.data, self.root, limit)

    def pair_rows(self) -> Iterator[dict]:
        """The training rows."""
        for row, before in damaged_pairs(clean_pairs(self._rows), self.args.kind, self.args.rate, self.args.seed):
            self._captions += 1
            self._wrong += row["is_noisy"]
            self._texts.update(row["caption"].encode("utf-8", "surrogatepass") + b"\0")
            if row["is_noisy"] and len(self._examples) < _EXAMPLES:
                self._examples.append(_example(row["image_id"], before, row["caption"], row["noise_source"]))
            yield row

    def evaluation(self) -> Iterator[tuple[str, Iterator[dict]]]:
        """The other splits."""
        names = [self.data.eval_split] if self.data.eval_split else list(self.splits)
        for name in names:
            if name != self.data.train_split:
                rows = self._pictures(name, self.data.max_eval_pictures)
                if (first := next(rows, None)) is not None:
                    yield name, self._counted(name, chain([first], rows))

    def _counted(self, name: str, rows: Iterator[dict]) -> Iterator[dict]:
        count = self._evaluation[name] = {"pictures": 0, "captions": 0, "fingerprint": None}
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
            "seed": self.args.seed,
            "family": None,
            "captions": self._captions,
            "sha256": self._sha256(),
        }
        rates = [_rate("training captions", self._captions), _rate("wrong captions", self._wrong, self._captions)]
        return _content(self, pedigree, (None, None), rates, self._evaluation, self._examples)


def _content(
    source: PairsSource | StreamSource,
    pedigree: dict,
    fingerprints: tuple[str | None, str | None],
    rates: list[dict],
    evaluation: dict[str, dict],
    examples: list[dict],
) -> dict:
    args, data = source.args, source.data
    return {
        "pedigree": pedigree,
        "fingerprint": fingerprints[1],
        "rates": rates,
        "evaluation": evaluation,
        "examples": examples,
        "source": {
            "dataset": last_part(data.dataset),
            "config": data.dataset_config,
            "split": data.train_split,
            "where": data.where,
            "fingerprint": fingerprints[0],
        },
        "license": args.license,
        "arguments": _arguments(data) + _arguments(args),
    }


def _rate(what: str, count: int, of: int | None = None) -> dict:
    return {"what": what, "count": count, "share": count / of if of else None}


def _example(image_id: int | str, before: str, after: str, noise_source: int | str) -> dict:
    return {"image_id": image_id, "before": before, "after": after, "noise_source": noise_source}


def _arguments(given) -> list[str]:
    """The words of a command that repeat the fields of a dataclass, places on this disk by their last part."""
    words = []
    for each in fields(given):
        value = getattr(given, each.name)
        if each.name not in _NOT_TOLD and value is not None and (value != each.default or each.name == "dataset"):
            words += [f"--{each.name}", last_part(value) if each.name in _PLACES else str(value)]
    return words


def last_part(place: str) -> str:
    """The last part of a path on this disk, which is nobody's business; other names as they are."""
    is_path = Path(place).exists() or Path(place).is_absolute() or place.startswith(".") or has_magic(place)
    return Path(place).name if is_path else place
