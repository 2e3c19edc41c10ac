"""What a CLIP retrieves: figures, intervals and ranks of any checkpoint on any pairs."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers

from .batches import collator_of_all
from .data import DataArguments, FeatureRows, Pairs, load_pairs
from .data.positives import RightAnswers, known_positives, read_positives
from .encode import category_figures, embed_modalities, encoded_pairs
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
from .loading import load_model
from .memory.bank import EncodedPairs
from .parser import Parser, in_one_process

LEAST_SAMPLES = 100  # of which 2.5 lie beyond each end of a 95 % interval


@dataclass
class EvaluationArguments:
    """Which model, and which figures."""

    model: str = field(metadata={"help": "'scenes-clip' (bundled), a folder, or a name on the Hub; ours or plain."})
    ks: list[int] = field(default_factory=lambda: [1, 5, 10], metadata={"help": "Cut-offs of recall."})
    folds: int = field(
        default=1, metadata={"help": "Mean over so many disjoint parts of the gallery; 5 for MSCOCO 1K."}
    )
    bootstrap: int = field(
        default=0,
        metadata={"help": "Bootstrap samples for 95 %% intervals, at least 100, 1000 is usual; 0 for none."},
    )
    seed: int = field(default=0, metadata={"help": "Of the bootstrap."})
    positives: str | None = field(
        default=None,
        metadata={
            "help": "Right answers beyond the given ones, by id, as CxC and ECCV Caption name them: a JSON file, "
            "{'i2t': {IMAGE_ID: [CAPTION_ID, …], …}, 't2i': {CAPTION_ID: [IMAGE_ID, …], …}}, or one of the two; of "
            "'scenes' they are known without."
        },
    )
    per_query: str | None = field(default=None, metadata={"help": "Parquet file to write, the rank of every query."})
    output: str | None = field(
        default=None,
        metadata={
            "help": "JSON file to write; if unset, evaluation-DATASET-HASH.json in a local model's folder, where HASH "
            "stands for the data and the figures that were asked for."
        },
    )
    batch_size: int = field(default=256, metadata={"help": "Pictures, and captions, per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that decode pictures."})

    def __post_init__(self):
        for name, least in (("folds", 1), ("bootstrap", 0), ("seed", 0), ("batch_size", 1), ("num_workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        for name in ("positives", "per_query", "output"):
            if getattr(self, name) == "":
                raise InputError(f"{name} is empty: name a file, or leave it out.")
        if 0 < self.bootstrap < LEAST_SAMPLES:
            raise InputError(f"bootstrap must be 0 or at least {LEAST_SAMPLES}, got {self.bootstrap}.")
        if self.folds > 1 and (self.bootstrap or self.positives or self.per_query):
            raise InputError("With folds there is one mean; leave bootstrap, positives and per_query out.")


def parse_evaluation(arguments: Sequence[str]) -> tuple[EvaluationArguments, DataArguments]:
    """Parses `MODEL [--field value …]`.

    Raises:
        InputError: there is no model, an unknown field, or a value of the wrong kind.
    """
    in_one_process("An evaluation runs")
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
        `metrics`; those of the model's `views` if it has any; `intervals` and `extended` where asked for or known; and
        what they are figures of.

    Raises:
        InputError: the model or the data cannot be read, or K or folds do not fit the gallery.
    """
    output = _places_to_write(args, data)
    model, processor = load_model(args.model)
    pairs = load_pairs(data)[1]
    of_pairs = isinstance(pairs, Pairs)
    if of_pairs:
        _check_fit(args, pairs)
    elif args.folds > 1 or args.bootstrap or args.positives or args.per_query:
        raise InputError("Of vectors there is mAP alone: leave folds, bootstrap, positives and per_query out.")
    positives = None
    if args.folds == 1 and of_pairs:
        positives = read_positives(args.positives, pairs) if args.positives else known_positives(data, pairs)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    embeds = embed_modalities(model, collator_of_all(pairs, model, processor), args.batch_size, args.num_workers)
    result = {
        "model": args.model,
        "method": model.config.model_type,
        "data": {name: value for name, value in vars(data).items() if value is not None},
        "pairs": {**_sizes(pairs), "fingerprint": pairs.fingerprint},
        "evaluation": asdict(args),
    }
    try:
        result["metrics"] = category_figures(embeds, pairs.labels) if pairs.labels is not None else {}
        if of_pairs:
            encoded = encoded_pairs(embeds, pairs)
            result |= _recall(args, encoded, pairs, positives, result["metrics"])
            if args.folds == 1 and (views := model.views(encoded)):
                result["views"] = {name: _recall_of(view, args.ks) for name, view in views.items()}
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{args.model} on {data.dataset}: {error}") from error
    result["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__}
    result["command"] = sys.argv
    if output:
        with _written(output):
            write_json(output, result)
        print(f"Written: {output}")
    return result


def _sizes(pairs: Pairs | FeatureRows) -> dict[str, int]:
    if isinstance(pairs, FeatureRows):
        return {"samples": len(pairs)}
    return {"pictures": len(pairs.image_id), "captions": len(pairs)}


def _recall(args: EvaluationArguments, encoded: EncodedPairs, pairs: Pairs, positives, figures: dict) -> dict:
    """The figures of pairs, added to those of categories."""
    embeds = encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair
    if args.folds > 1:
        return {"metrics": figures | recall_of_folds(*embeds, args.folds, args.ks)}
    ranks = retrieval_ranks(*embeds)
    result = {"metrics": figures | recall_of_ranks(ranks, args.ks)}
    if args.bootstrap:
        rng = np.random.default_rng(args.seed)
        result["intervals"] = bootstrap_recall(ranks, encoded.image_of_pair, rng, args.ks, samples=args.bootstrap)
    if positives:
        result["extended"] = _extended(encoded, positives, args.ks)
    if args.per_query:
        with _written(args.per_query):
            write_ranks(args.per_query, ranks, pairs)
    return result


def write_ranks(path: str | Path, ranks: Ranks, pairs: Pairs) -> None:
    """Writes a Parquet file with one row per query: `direction`, `image_id`, `caption_id`, `caption`, `rank`.

    Ids are those of the data, or what stands for them, see `data.positives.read_positives`. Queries that are pictures
    have no caption. Rank 1 is best; of a picture it is that of its best caption.
    """
    nothing = [None] * len(pairs.image_id)
    table = datasets.Dataset.from_dict(
        {
            "direction": ["i2t"] * len(ranks.i2t) + ["t2i"] * len(ranks.t2i),
            "image_id": [*pairs.name.tolist(), *pairs.name[pairs.image_row].tolist()],
            "caption_id": nothing + pairs.caption_name.tolist(),
            "caption": nothing + pairs.captions,
            "rank": 1 + torch.cat(list(ranks)).cpu().numpy(),
        }
    )
    with atomic_path(path) as temporary:
        table.to_parquet(temporary)


def _places_to_write(args: EvaluationArguments, data: DataArguments) -> Path | None:
    """Where the JSON goes; refused before the work if a file cannot be there, or is one that is read."""
    output = Path(args.output) if args.output else None
    if output is None and Path(args.model).is_dir():
        output = Path(args.model) / _default_name(args, data)
    named = {"positives": args.positives, "dataset": data.dataset, "output": output, "per_query": args.per_query}
    taken: dict[Path, str] = {}
    for name, path in ((name, Path(path)) for name, path in named.items() if path is not None):
        other = taken.setdefault(path.resolve(), name)
        if other != name:
            raise InputError(f"{path} is both {other} and {name}: give each a file of its own.")
        if name in ("output", "per_query") and (path.is_dir() or not _can_be_written(path)):
            raise InputError(f"{path} cannot be written: name a file in a folder where you may write.")
    return output


def _default_name(args: EvaluationArguments, data: DataArguments) -> str:
    """A name of its own for each question: the same again overwrites its answer, another one does not."""
    figures = {name: getattr(args, name) for name in ("ks", "folds", "bootstrap", "seed", "positives")}
    asked = {**figures, **{name: value for name, value in vars(data).items() if value is not None}}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:8]
    words = [Path(data.dataset).stem, data.dataset_config, f"folds{args.folds}" if args.folds > 1 else None]
    clean = [re.sub(r"[^\w.-]+", "_", word).strip("_.-")[:60] for word in words if word]
    return f"evaluation-{'-'.join([*filter(None, clean), digest])}.json"


@contextmanager
def _written(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}.") from error


def _can_be_written(path: Path) -> bool:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _check_fit(args: EvaluationArguments, pairs: Pairs) -> None:
    pictures = len(pairs.image_id)
    if pictures % args.folds:
        raise InputError(f"{pictures} pictures cannot be divided into {args.folds} folds of one size.")
    if min(args.ks) < 1 or max(args.ks) > pictures // args.folds:
        raise InputError(
            f"Each of ks must be between 1 and the smaller gallery ({pictures // args.folds}), got {args.ks}."
        )


def _recall_of(encoded: EncodedPairs, ks: Sequence[int]) -> dict[str, float]:
    return recall_of_ranks(retrieval_ranks(encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair), ks)


def _extended(encoded: EncodedPairs, positives: dict[str, RightAnswers], ks: Sequence[int]) -> dict[str, dict]:
    embeds = {"i2t": (encoded.image_embeds, encoded.text_embeds), "t2i": (encoded.text_embeds, encoded.image_embeds)}
    return {way: extended_recall(*embeds[way], known.rows, ks) | known.counts for way, known in positives.items()}
