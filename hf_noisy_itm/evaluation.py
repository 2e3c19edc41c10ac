"""What a CLIP retrieves: figures, intervals and ranks of any checkpoint on any pairs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers

from .arguments import Parser
from .data import DataArguments, PairCollator, Pairs, load_pairs
from .data._splits import find_splits
from .data.scenes import true_pairs
from .encode import encode
from .errors import InputError
from .files import atomic_path, write_json
from .functional.retrieval import (
    Ranks,
    bootstrap_recall,
    extended_recall,
    recall_of_folds,
    recall_of_ranks,
    retrieval_ranks,
)
from .memory.bank import EncodedPairs
from .run import load_model


@dataclass
class EvaluationArguments:
    """Which model, and which figures."""

    model: str = field(metadata={"help": "'scenes-clip' (bundled), a folder, or a name on the Hub; ours or plain."})
    ks: list[int] = field(default_factory=lambda: [1, 5, 10], metadata={"help": "Cut-offs of recall."})
    folds: int = field(
        default=1, metadata={"help": "Mean over so many disjoint parts of the gallery; 5 for MSCOCO 1K."}
    )
    bootstrap: int = field(
        default=0, metadata={"help": "Bootstrap samples for 95 % intervals, 1000 for example; 0 for none."}
    )
    seed: int = field(default=0, metadata={"help": "Of the bootstrap."})
    positives: str | None = field(
        default=None,
        metadata={
            "help": "Right answers beyond the given ones: a JSON file with lists of rows, {'i2t': [[caption, …], …], "
            "'t2i': [[picture, …], …]}; of 'scenes' they are known without."
        },
    )
    per_query: str | None = field(default=None, metadata={"help": "Parquet file to write, the rank of every query."})
    output: str | None = field(
        default=None, metadata={"help": "JSON file to write; evaluation.json in a local model's folder if unset."}
    )
    batch_size: int = field(default=256, metadata={"help": "Pictures, and captions, per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that decode pictures."})

    def __post_init__(self):
        for name, least in (("folds", 1), ("bootstrap", 0), ("seed", 0), ("batch_size", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.folds > 1 and (self.bootstrap or self.positives or self.per_query):
            raise InputError("With folds there is one mean; leave bootstrap, positives and per_query out.")


def parse_evaluation(arguments: Sequence[str]) -> tuple[EvaluationArguments, DataArguments]:
    """Parses `MODEL [--field value …]`.

    Raises:
        InputError: there is no model, an unknown field, or a value of the wrong kind.
    """
    words = list(arguments)
    if not words or words[0].startswith("--") and words[0] not in ("--help", "--model"):
        raise InputError("Name a model first: recipes/evaluate.py MODEL --dataset …")
    if not words[0].startswith("-"):
        words = ["--model", *words]
    classes = (EvaluationArguments, DataArguments)
    values = Parser(classes, allow_abbrev=False).values_of(words)
    evaluation, data = (cls(**{f.name: values[f.name] for f in fields(cls)}) for cls in classes)
    if data.noise_rate or data.noise_file:
        raise InputError("An evaluation is on clean captions: leave noise_rate and noise_file out.")
    return evaluation, data


def evaluate_model(args: EvaluationArguments, data: DataArguments) -> dict:
    """Embeds the pairs to evaluate on, once each, and computes all figures that were asked for.

    Args:
        args: model and figures.
        data: pairs.

    Returns:
        `metrics`; `intervals` and `extended` where asked for or known; and what they are figures of.

    Raises:
        InputError: the model or the data cannot be read, or K or folds do not fit the gallery.
    """
    model, processor = load_model(args.model)
    pairs = load_pairs(data)[1]
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = encode(model, PairCollator(processor, pairs), args.batch_size, args.num_workers)
    embeds = encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair
    result = {
        "model": args.model,
        "method": model.config.model_type,
        "data": {name: value for name, value in vars(data).items() if value is not None},
        "pairs": {"pictures": len(pairs.image_id), "captions": len(pairs), "fingerprint": pairs.fingerprint},
        "evaluation": asdict(args),
    }
    try:
        if args.folds > 1:
            result["metrics"] = recall_of_folds(*embeds, args.folds, args.ks)
        else:
            ranks = retrieval_ranks(*embeds)
            result["metrics"] = recall_of_ranks(ranks, args.ks)
            if args.bootstrap:
                rng = np.random.default_rng(args.seed)
                result["intervals"] = bootstrap_recall(
                    ranks, encoded.image_of_pair, rng, args.ks, samples=args.bootstrap
                )
            if positives := _positives(args, data, pairs):
                result["extended"] = _extended(encoded, positives, args.ks)
            if args.per_query:
                write_ranks(args.per_query, ranks, pairs)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{args.model} on {data.dataset}: {error}") from error
    result["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__}
    result["command"] = sys.argv
    if output := args.output or (Path(args.model).is_dir() and Path(args.model) / "evaluation.json"):
        write_json(output, result)
    return result


def write_ranks(path: str | Path, ranks: Ranks, pairs: Pairs) -> None:
    """Writes a Parquet file with one row per query: `direction`, `image_id`, `caption` (of text queries), `rank`.

    Rank 1 is best; of a picture it is that of its best caption.
    """
    captions = [None] * len(pairs.image_id) + pairs.captions
    table = datasets.Dataset.from_dict(
        {
            "direction": ["i2t"] * len(ranks.i2t) + ["t2i"] * len(ranks.t2i),
            "image_id": np.concatenate([pairs.image_id, pairs.image_id[pairs.image_row]]),
            "caption": captions,
            "rank": 1 + torch.cat(list(ranks)).cpu().numpy(),
        }
    )
    with atomic_path(path) as temporary:
        table.to_parquet(temporary)


def as_table(result: dict) -> str:
    """The figures as lines of text."""
    metrics, intervals = result["metrics"], result.get("intervals", {})
    ks = sorted({int(name.split("@")[1]) for name in metrics if name.startswith("i2t_r@")})

    def show(name: str) -> str:
        interval = " [{:.1f}, {:.1f}]".format(*intervals[name]) if name in intervals else ""
        return f"{metrics[name]:.1f}{interval}"

    rows = [["", *(f"R@{k}" for k in ks), "median", "mean rank"]]
    for way, name in (("i2t", "image to text"), ("t2i", "text to image")):
        keys = [*(f"{way}_r@{k}" for k in ks), f"{way}_median_rank", f"{way}_mean_rank"]
        rows.append([name, *map(show, keys)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["   ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) for row in rows]
    lines.append(f"rSum {show('rsum')}")
    for way, figures in result.get("extended", {}).items():
        words = ", ".join(f"{name} {value:.1f}" for name, value in figures.items() if name != "queries")
        lines.append(f"{way}, all right answers counted ({figures['queries']} queries): {words}")
    return "\n".join(lines)


def _positives(args: EvaluationArguments, data: DataArguments, pairs: Pairs) -> dict[str, list[list[int]]] | None:
    if args.positives:
        try:
            lists = json.loads(Path(args.positives).read_text(encoding="utf-8"))
            return {way: [[int(row) for row in rows] for rows in lists[way]] for way in ("i2t", "t2i")}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{args.positives} cannot be read as lists of right answers, {{'i2t': [[…], …], 't2i': [[…], …]}}: "
                f"{type(error).__name__} {error}."
            ) from error
    if data.dataset != "scenes":
        return None
    lists = {"i2t": [[] for _ in pairs.image_id], "t2i": [[] for _ in pairs.captions]}
    for caption, picture in true_pairs(find_splits(data)[1]).tolist():
        lists["t2i"][caption].append(picture)
        lists["i2t"][picture].append(caption)
    return lists


def _extended(encoded: EncodedPairs, positives: dict[str, list[list[int]]], ks: Sequence[int]) -> dict[str, dict]:
    images, texts = encoded.image_embeds, encoded.text_embeds
    return {
        "i2t": extended_recall(images, texts, positives["i2t"], ks),
        "t2i": extended_recall(texts, images, positives["t2i"], ks),
    }
