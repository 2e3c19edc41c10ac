"""A memory bank in a file: built by any CLIP over given training pairs, or read from those that NPC published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from .data import DataArguments, PairCollator, Pairs, load_pairs
from .data.published_bank import check_stated_rate, read_published_bank
from .encode import encode
from .errors import InputError
from .files import shown
from .loading import load_model
from .memory.bank import MemoryBank
from .memory.clean import EXACT, build_bank, check_bank
from .memory.scores import Scoring, weights_sha256
from .parser import Parser, in_one_process
from .truth import separation

_OF_PUBLISHED = {"output", "model", "bank_npy", "overwrite"}


@dataclass
class BankArguments:
    """Who scores the pairs, and how; names as in NPC's config."""

    output: str = field(metadata={"help": "File to write, for example bank.safetensors."})
    model: str | None = field(
        default=None, metadata={"help": "Who scores: 'scenes-clip' (bundled), a folder, or a name on the Hub."}
    )
    bank_npy: list[str] | None = field(
        default=None,
        metadata={"help": "Instead of a model: two files that NPC published, IMAGE.npy TEXT.npy, for these pairs."},
    )
    clean_threshold: float = field(
        default=0.9, metadata={"help": "Clean is a pair whose posterior of the clean component is above this."}
    )
    bank_score: Literal["loss", "cosine"] = field(
        default="loss", metadata={"help": "What the mixture is fitted to, of each pair."}
    )
    exclude_self: bool = field(default=False, metadata={"help": "A clean pair is not its own entry."})
    exact_search: int = field(
        default=EXACT,
        metadata={"help": "Clean pairs up to which the nearest is searched among all; with more, through cells."},
    )
    bank_batch_size: int = field(default=256, metadata={"help": "Pairs whose losses are computed together."})
    bank_seed: int = field(default=0, metadata={"help": "Of the order of pairs, and of the mixture's start."})
    same_image: Literal["mask", "negative", "positive"] = field(
        default="mask", metadata={"help": "What captions of one picture are to each other in a loss."}
    )
    batch_size: int = field(default=256, metadata={"help": "Pictures, and captions, per forward pass."})
    num_workers: int = field(default=0, metadata={"help": "Processes that decode pictures."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a memory bank that is there already."})

    def __post_init__(self):
        check_bank(self.clean_threshold, self.bank_batch_size, self.bank_seed)
        for name, least in (("batch_size", 1), ("num_workers", 0), ("exact_search", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.bank_npy is not None:
            if self.model is not None or len(self.bank_npy) != 2:
                raise InputError("bank_npy takes two files, IMAGE.npy and TEXT.npy, and no model.")
            for each in fields(self):
                if each.name not in _OF_PUBLISHED and getattr(self, each.name) != each.default:
                    raise InputError(
                        f"{each.name} says how a model scores, and with bank_npy none does: leave it out."
                    )


def parse_bank(arguments: Sequence[str]) -> tuple[BankArguments, DataArguments]:
    """Parses `[MODEL] [--field value …]`.

    Raises:
        InputError: there is neither a model nor a published bank, an unknown field, or a value of the wrong kind.
    """
    in_one_process("A bank is built")
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words = ["--model", *words]
    classes = (BankArguments, DataArguments)
    values = Parser(classes, allow_abbrev=False).values_of(words)
    args, data = (cls(**{f.name: values[f.name] for f in fields(cls)}) for cls in classes)
    if args.model is None and args.bank_npy is None:
        raise InputError("Name a model first: recipes/build_bank.py MODEL --dataset … --output FILE")
    if data.streaming:
        raise InputError("A memory bank needs all pairs at once: leave --streaming out.")
    return args, data


def make_bank(args: BankArguments, data: DataArguments) -> tuple[MemoryBank, Pairs]:
    """Builds or reads the bank of the training pairs, and writes it.

    Args:
        args: how.
        data: the pairs, by the same words as in the training that is to use the bank.

    Raises:
        InputError: the model or the data cannot be read, no pair is clean, or something else is at `output`.
    """
    _check_output(args)
    pairs = load_pairs(data)[0]
    bank = _published(args.bank_npy, pairs) if args.bank_npy else _built(args, pairs)
    bank = bank.told(noise=pairs.pedigree)
    try:
        bank.save(args.output)
    except OSError as error:
        raise InputError(f"{args.output} cannot be written: {error}.") from error
    return bank, pairs


def truth(bank: MemoryBank, is_noisy: np.ndarray, known: np.ndarray | None = None) -> dict:
    """What a bank got right, as far as wrong pairs are known.

    Args:
        bank: of N pairs.
        is_noisy: bool (N,).
        known: of which pairs that is known, bool (N,); of all if left out.

    Returns:
        `entries`: by kind, the share of entries that are right pairs. Of a bank with scores also `auc` (the chance
        that a right pair scores better than a wrong one), and `precision` and `recall` of the clean set. Empty where
        no pair is known to be wrong, or none to be right.
    """
    known = np.ones(len(is_noisy), dtype=bool) if known is None else known
    if not is_noisy.any() or is_noisy[known].all():
        return {}
    entries = {name: rows.numpy() for name, rows in bank.entries.items()}
    figures = {"entries": {name: float(1 - is_noisy[rows[known[rows]]].mean()) for name, rows in entries.items()}}
    if (score := bank.provenance.get("score")) in bank.scores:
        auc = separation(np.where(known, bank.scores[score].numpy(), np.nan), is_noisy)["auc"]
        clean = bank.scores["clean_posterior"].numpy() > bank.provenance["clean_threshold"]
        figures["auc"] = 1 - auc if score == "loss" else auc
        figures["precision"] = float(1 - is_noisy[clean & known].mean())
        figures["recall"] = float(clean[known & ~is_noisy].mean())
    return figures


def told(bank: MemoryBank, pairs: Pairs, output: str | Path) -> str:
    """What was built, as lines of text."""
    facts = bank.provenance
    lines = [f"{output}: a memory bank of {len(pairs):,} pairs over {len(pairs.image_id):,} pictures"]
    for name, rows in bank.entries.items():
        lines.append(f"  {f'different pairs among the entries, {name} side':46} {len(rows.unique()):>9,}")
    if "mixture" in facts:
        share = facts["clean_pairs"] / facts["pairs"]
        words = f"clean, posterior above {facts['clean_threshold']}, by the {facts['score']}"
        lines.append(f"  {words:46} {facts['clean_pairs']:>9,} {share:7.1%}")
        mixture = facts["mixture"]
        for place, name in enumerate(("clean", "other")):
            mean, variance, share = (mixture[key][place] for key in ("means", "variances", "shares"))
            words = f"{name} component: mean, deviation, share"
            lines.append(f"  {words:46} {mean:9.3f}, {variance**0.5:.3f}, {share:.1%}")
        lines.append(f"  {'the mixture converged':46} {'yes' if mixture['converged'] else 'no':>9}")
    for name, words in (
        ("wrong_that_pass", "pairs wrong on purpose that would be clean"),
        ("estimated_noise", "wrong pairs, estimated from the cosines"),
    ):
        if facts.get(name) is not None:
            lines.append(f"  {words:46} {'':9} {facts[name]:7.1%}")
    lines += _told_truth(truth(bank, pairs.is_noisy, pairs.noise_is_known), float(pairs.is_noisy.mean()))
    return "\n".join([*lines, *(f"warning: {doubt}" for doubt in facts.get("doubts", []))])


def _told_truth(figures: dict, noise: float) -> list[str]:
    if not figures:
        return []
    lines = [f"  {'wrong pairs, known':46} {'':9} {noise:7.1%}"]
    if "auc" in figures:
        lines.append(f"  {'AUC of the score, right against wrong pairs':46} {figures['auc']:9.3f}")
        for name in ("precision", "recall"):
            lines.append(f"  {f'{name} of the clean set':46} {'':9} {figures[name]:7.1%}")
    for name, share in figures["entries"].items():
        lines.append(f"  {f'entries that are right pairs, {name} side':46} {'':9} {share:7.1%}")
    return lines


def _built(args: BankArguments, pairs: Pairs) -> MemoryBank:
    model, processor = load_model(args.model)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = PairCollator(processor, pairs, max_length=model.config.text_config.max_position_embeddings)
    encoded = encode(model, collator, args.batch_size, args.num_workers)
    scoring = Scoring(args.bank_score, args.bank_batch_size, args.bank_seed, args.same_image)
    with torch.no_grad():
        bank = build_bank(
            encoded, model.logit_scale, args.clean_threshold, args.exclude_self, scoring, args.exact_search
        )
    return bank.told(scorer={"model": shown(args.model), "weights_sha256": weights_sha256(model.clip)})


def _published(paths: Sequence[str], pairs: Pairs) -> MemoryBank:
    for path in paths:
        check_stated_rate(path, pairs)
    entries = {name: torch.from_numpy(rows) for name, rows in read_published_bank(*paths, pairs).items()}
    facts = {"fingerprint": pairs.fingerprint, "pairs": len(pairs), "published": [Path(path).name for path in paths]}
    return MemoryBank(entries, provenance=facts)


def _check_output(args: BankArguments) -> None:
    """Refuses before the work what would be refused after it."""
    output = Path(args.output)
    if output.is_dir():
        raise InputError(f"{output} is a folder; name a file, for example {output / 'bank.safetensors'}.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{output} cannot be written: name a file in a folder where you may write.")
    if not output.exists():
        return
    try:
        old = MemoryBank.read(output).provenance
    except InputError as error:
        raise InputError(f"{output} is there already and no memory bank, so it is not replaced.") from error
    if not args.overwrite:
        raise InputError(
            f"{output} is a memory bank already (of {old.get('pairs')} pairs, fingerprint {old.get('fingerprint')}): "
            f"name another --output, or give --overwrite true."
        )
