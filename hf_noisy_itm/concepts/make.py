"""From training captions to a file of concepts."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPProcessor
from transformers.utils import logging

from ..data import DataArguments, Pairs, load_pairs
from ..errors import InputError
from ..files import sha256_of_file, shown
from ..loading import load_model
from ..memory.concepts import Concepts
from ..memory.scores import weights_sha256
from ..methods import NoisyITMModel
from .arguments import ConceptArguments
from .association import association
from .knowledge import Knowledge, read_knowledge
from .vocabulary import STOP_WORDS, Vocabulary, find_vocabulary, unspaced, words_of

logger = logging.get_logger(__name__)
_BATCH = 256


def make_concepts(args: ConceptArguments, data: DataArguments) -> tuple[Concepts, Pairs]:
    """Finds the concepts of the training captions, and writes them.

    Args:
        args: how.
        data: the pairs, by the same words as in the training that is to use the concepts.

    Raises:
        InputError: the model, the data, the edges or the stop words cannot be read, there are fewer than two concepts,
            or something else is at `output`.
    """
    _check_output(args)
    stop_words = _read_words(args.stop_words) if args.stop_words else STOP_WORDS
    pairs = load_pairs(data)[0]
    if doubt := unspaced(pairs.captions):
        logger.warning(doubt)
    vocabulary = find_vocabulary(pairs.captions, args.max_concepts, args.min_captions, args.max_share, stop_words)
    links = association(vocabulary, args.min_together, args.min_strength)
    knowledge = None
    if args.edges:
        knowledge = read_knowledge(args.edges, vocabulary.words, args.language)
        links = np.maximum(links, knowledge.strength)
    model, processor = load_model(args.model)
    vectors = embed_words([args.prompt.replace("{}", word) for word in vocabulary.words], model, processor)
    provenance = _provenance(args, pairs, vocabulary, knowledge)
    provenance["scorer"] = {"model": shown(args.model), "weights_sha256": weights_sha256(model.clip)}
    try:
        concepts = Concepts(vocabulary.words, torch.from_numpy(links), vectors, provenance)
    except ValueError as error:
        raise InputError(
            f"What {args.model} makes of the words is no embedding: {error}; name another one."
        ) from error
    try:
        concepts.save(args.output)
    except OSError as error:
        raise InputError(f"{args.output} cannot be written: {error}.") from error
    return concepts, pairs


@torch.no_grad()
def embed_words(texts: list[str], model: NoisyITMModel, processor: CLIPProcessor) -> Tensor:
    """Unit rows of CLIP's own text embeddings, float32 (K, D), on the CPU."""
    model.eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    positions = model.config.text_config.max_position_embeddings
    parts = []
    for start in range(0, len(texts), _BATCH):
        tokens = processor.tokenizer(
            texts[start : start + _BATCH], padding=True, truncation=True, max_length=positions, return_tensors="pt"
        )
        tokens = {name: tokens[name].to(model.device) for name in ("input_ids", "attention_mask")}
        parts.append(model.clip.get_text_features(**tokens).pooler_output.float().cpu())
    return torch.nn.functional.normalize(torch.cat(parts), dim=1)


def told(concepts: Concepts, output: str | Path) -> str:
    """What was built, as lines of text."""
    facts, count = concepts.provenance, len(concepts)
    lines = [f"{output}: {count} concepts of {facts['captions_read']:,} captions"]
    for words, value in (
        ("captions with a concept", f"{facts['captions_with_concepts'] / facts['captions_read']:.1%}"),
        ("captions of the rarest concept", f"{facts['captions_of_the_rarest']:,}"),
        ("ties between two concepts", f"{concepts.edges:,}"),
        ("concepts without a tie", f"{int((concepts.links.sum(dim=1) == 0).sum()):,}"),
    ):
        lines.append(f"  {words:46} {value:>9}")
    if knowledge := facts["edges"]:
        lines.append(f"  {'edges of the graph between concepts':46} {knowledge['edges']:>9,}")
        lines.append(f"  {'edges with unknown nodes, ignored':46} {knowledge['unknown']:>9,}")
        lines.append(f"  {'edges that tell two apart, ignored':46} {knowledge['apart']:>9,}")
    lines.append(f"  most frequent: {', '.join(concepts.words[:12])}")
    strength, place = concepts.links.triu().flatten().sort(descending=True)
    ties = [divmod(number, count) for number in place[:6].tolist()]
    shown_ties = [
        f"{concepts.words[one]} – {concepts.words[other]} {value:.2f}"
        for (one, other), value in zip(ties, strength.tolist())
        if value > 0
    ]
    return "\n".join([*lines, f"  strongest ties: {', '.join(shown_ties) or 'none'}"])


def _provenance(args: ConceptArguments, pairs: Pairs, vocabulary: Vocabulary, knowledge: Knowledge | None) -> dict:
    how = ("max_concepts", "min_captions", "max_share", "min_together", "min_strength", "prompt", "language")
    return {
        "captions": pairs.caption_fingerprint,
        "captions_read": len(pairs),
        "captions_with_concepts": int((np.diff(vocabulary.occurs.indptr) > 0).sum()),
        "captions_of_the_rarest": int(vocabulary.captions.min()),
        "noise": pairs.pedigree,
        "how": {name: getattr(args, name) for name in how},
        "stop_words": args.stop_words
        and {"file": Path(args.stop_words).name, "sha256": sha256_of_file(args.stop_words)},
        "edges": knowledge
        and {
            "file": Path(args.edges).name,
            "sha256": sha256_of_file(args.edges),
            "edges": knowledge.edges,
            "unknown": knowledge.unknown,
            "apart": knowledge.apart,
        },
    }


def _read_words(path: str) -> list[str]:
    try:
        return sorted(set(words_of(Path(path).read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): name a file of words, UTF-8.") from error


def _check_output(args: ConceptArguments) -> None:
    """Refuses before the work what would be refused after it."""
    output = Path(args.output)
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{output} cannot be written: name a file in a folder where you may write.")
    if not output.exists():
        return
    try:
        count = len(Concepts.read(output))
    except InputError as error:
        raise InputError(f"{output} is there already and no file of concepts, so it is not replaced.") from error
    if not args.overwrite:
        raise InputError(f"{output} holds {count} concepts already: name another --output, or give --overwrite true.")
