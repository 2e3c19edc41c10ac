"""A frozen scorer's cosines of all training pairs, made once and kept on disk for later runs."""

import hashlib
import json
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HOME
from torch import Tensor
from transformers.utils import logging

from .data import PairCollator, Pairs
from .encode import encode
from .errors import InputError
from .exchange import Exchange
from .files import write_error
from .functional.similarity import normalize
from .memory.scores import weights_sha256
from .memory.trust import TrustScores, score_trust
from .methods import BaselineConfig, BaselineModel, NoisyITMModel

logger = logging.get_logger(__name__)

DEFAULT_CACHE = Path(HF_HOME) / "hf_noisy_itm" / "scores"
_VERSION = 2  # of what is computed: raise it when the same pairs and weights get other scores
_NOISE_PAIRS = 128  # of random pixels and random words
_WEAK = 0.05  # of the scale of cosines: closer levels tell hardly anything


def score_pairs_once(
    scorer: NoisyITMModel,
    collator: PairCollator,
    cache: str | Path | None = None,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
) -> TrustScores:
    """Scores the pairs of a collator, or reads what an earlier run has made of them.

    Where a method embeds by more than its CLIP, such as heads that nothing has trained yet, the CLIP alone is asked.
    What is kept is found by captions, pairing, pictures (their files' content), the scorer's weights and the settings
    of its processor: where one of these differs, scores are made anew. Where the cache cannot be written, a warning
    says so before the work, and the scores serve this run alone. Of the processes of a node one writes.

    Args:
        scorer: any method; it is not changed.
        collator: of the training pairs, with the scorer's processor.
        cache: folder of files of scores; none are read or written if left out.
        batch_size: pictures, and captions, per forward pass.
        num_workers: processes that decode pictures.
        exchange: the processes among which the work is shared; one if left out.

    Raises:
        InputError: all captions are of one picture.
    """
    exchange, scorer = exchange or Exchange(), clip_alone(scorer)
    weights = weights_sha256(scorer.clip, exchange)
    path = Path(cache) / f"{content_key(collator, weights)[:32]}.safetensors" if cache else None
    scores = _kept(path, collator.pairs)
    writes = path is not None and scores is None and exchange.first_of_node
    if writes and (error := write_error(path.parent)):
        _warn_of(path.parent, error)
        writes = False
    found = torch.tensor([scores is not None], device=scorer.device)
    if not exchange.gather(found).all():  # else one process would wait for another that has found it
        encoded = encode(scorer, collator, batch_size, num_workers, exchange, "Scoring the training pairs")
        scale = scorer.logit_scale.detach()
        scores = score_trust(encoded, scale, noise_cosines(scorer, collator)).told(
            scorer={"weights_sha256": weights}, noise=collator.pairs.pedigree
        )
        if writes:
            try:
                scores.save(path)
            except OSError as error:
                _warn_of(path.parent, error)
    levels = scores.levels
    if levels["confident"] - levels["wrong"] < _WEAK * (1 - levels["wrong"]):
        logger.warning(
            f"The scorer hardly tells right from wrong pairs: the mean cosine of those that it is confident of is "
            f"{levels['confident']:.3f}, that of random partners {levels['wrong']:.3f}; give a --scorer that knows "
            f"the data, or let it look at them with --scorer_steps."
        )
    return scores


def clip_alone(model: NoisyITMModel) -> NoisyITMModel:
    """A model that embeds by the CLIP of another, and shares it; the model itself, if it embeds so."""
    if model.embeds_by_clip_alone:
        return model
    with torch.device("meta"):  # its own towers take no room
        alone = BaselineModel(BaselineConfig.from_dict(model.config.to_dict()))
    alone.clip = model.clip
    return alone.train(model.training)


@torch.no_grad()
def noise_cosines(scorer: NoisyITMModel, collator: PairCollator, seed: int = 0) -> Tensor:
    """Cosines of random pixels with random words, (K,): what a scorer says of what means nothing.

    Pixels are standard normal, as processed pixels about are; words are drawn from the tokens of all captions, so that
    a sequence has a caption's length, beginning and end. (The official code's draw is its own.)
    """
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randn(_NOISE_PAIRS, *collator.images([0]).shape[1:], generator=rng)
    rows = torch.randint(len(collator.pairs), (_NOISE_PAIRS,), generator=rng)
    texts = collator.texts([collator.pairs.captions[row] for row in rows.tolist()])
    tokenizer = collator.processor.tokenizer
    special = torch.isin(texts["input_ids"], torch.tensor(tokenizer.all_special_ids))
    drawn = torch.randint(len(tokenizer), texts["input_ids"].shape, generator=rng)
    while (bad := torch.isin(drawn, torch.tensor(tokenizer.all_special_ids))).any():
        drawn = torch.where(bad, torch.randint(len(tokenizer), drawn.shape, generator=rng), drawn)
    texts["input_ids"] = torch.where(special, texts["input_ids"], drawn)
    was_training = scorer.training
    scorer.eval()
    images = scorer.embed_images(pixels.to(scorer.device))
    words = scorer.embed_texts(**{name: value.to(scorer.device) for name, value in texts.items()})
    scorer.train(was_training)
    return (normalize(images) * normalize(words)).sum(dim=1)


def content_key(collator: PairCollator, weights: str) -> str:
    """Stands for pairs, pictures, weights and processor: what the embeddings of pairs depend on, hexadecimal."""
    digest = hashlib.sha256(f"{_VERSION} {weights} {collator.pairs.fingerprint} {collator.max_length}\n".encode())
    processor = collator.processor
    digest.update(processor.image_processor.to_json_string().encode())
    tokenizer = json.loads(processor.tokenizer.backend_tokenizer.to_str())
    tokenizer |= dict.fromkeys(("truncation", "padding"))  # which are those of its last use
    digest.update(json.dumps(tokenizer, sort_keys=True).encode())
    for row in range(len(collator.pairs.image_id)):
        digest.update(str(collator.pairs.content_key(row)).encode() + b"\n")
    return digest.hexdigest()


def _kept(path: Path | None, pairs: Pairs) -> TrustScores | None:
    """What the cache has; a file that is broken counts as none, and will be replaced."""
    if path is None or not path.is_file():
        return None
    try:
        return TrustScores.load(path, pairs.fingerprint, len(pairs))
    except InputError as error:
        logger.warning(f"{error}")
        return None


def _warn_of(folder: Path, error: OSError) -> None:
    logger.warning(
        f"{folder} cannot be written ({error}), so scores of pairs are not kept: give another --score_cache."
    )
