"""Embeds a whole data set: each picture once, each caption once, shared among the processes; recall from that."""

from itertools import permutations
from math import fsum

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging

from .data import FeatureCollator, Labels, PairCollator, Pairs
from .errors import InputError
from .exchange import Exchange
from .functional.retrieval import category_map, recall
from .memory.bank import EncodedPairs
from .methods import NoisyITMModel

_ITEMS = {"image": "picture", "text": "caption"}

logger = logging.get_logger(__name__)


@torch.no_grad()
def encode(
    model: NoisyITMModel,
    collator: PairCollator,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
    description: str = "Encoding",
) -> EncodedPairs:
    """Embeds the pictures and captions of `collator.pairs` in order, whatever the number of processes.

    Args:
        model: any method; its mode (train or eval) is left as it was found.
        collator: of the pairs to embed; what its memory bank would add is not looked up.
        batch_size: pictures, and captions, per forward pass.
        num_workers: processes that decode pictures.
        exchange: the processes among which the rows are shared; one if left out.
        description: of the progress bar.

    Returns:
        Unit rows in float32 on the model's device.
    """
    embeds = embed_modalities(model, collator, batch_size, num_workers, exchange, description)
    return encoded_pairs(embeds, collator.pairs)


def encoded_pairs(embeds: dict[str, Tensor], pairs: Pairs) -> EncodedPairs:
    """Pictures and captions, embedded, and which belong together."""
    image_of_pair = torch.from_numpy(pairs.image_row).to(embeds["image"].device)
    return EncodedPairs(embeds["image"], embeds["text"], image_of_pair, pairs.fingerprint)


@torch.no_grad()
def embed_modalities(
    model: NoisyITMModel,
    collator: PairCollator | FeatureCollator,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
    description: str = "Encoding",
) -> dict[str, Tensor]:
    """Embeds all items of a data set, by modality.

    Pictures of equal files, and captions of equal tokens, are embedded once, so that their embeddings are equal to the
    last bit: computed in different batches they would differ by rounding, and chance would decide what are ties.

    Args:
        model: see `encode`.
        collator: likewise, or of vectors.
        batch_size: likewise.
        num_workers: likewise.
        exchange: likewise.
        description: likewise.

    Returns:
        Unit rows in float32 on the model's device, (items, D) each.

    Raises:
        InputError: an embedding is not finite, or the model does not know a modality.
    """
    exchange = exchange or Exchange()
    was_training = model.training
    model.eval()
    modalities = collator.modalities()
    if modalities.keys() != model.embedders.keys():
        raise InputError(
            f"{type(model).__name__} embeds {' and '.join(model.embedders)}, "
            f"and the data hold {' and '.join(modalities)}."
        )
    shares = {name: exchange.share(len(modality)) for name, modality in modalities.items()}
    progress = tqdm(total=sum(map(len, shares.values())), desc=description, delay=2, unit="rows", leave=False)
    embeds = {}
    with progress:
        for name, modality in modalities.items():
            parts = []
            for inputs in DataLoader(
                list(shares[name]),
                batch_size,
                collate_fn=modality.collate,
                num_workers=num_workers if modality.decodes else 0,
                generator=torch.Generator(),  # a loader without one draws from, and so moves, the global generator
            ):
                on_device = {key: value.to(model.device) for key, value in inputs.items()}
                parts.append(model.embed_modality(name, **on_device))
                progress.update(len(parts[-1]))
            place = torch.from_numpy(modality.place).to(model.device)
            embeds[name] = exchange.merge(torch.cat(parts), len(modality))[place]
    model.train(was_training)
    for name, rows in embeds.items():
        bad = torch.nonzero(~torch.isfinite(rows).all(dim=1))
        if len(bad):
            raise InputError(
                f"The model's embedding of {_ITEMS.get(name, name)} {int(bad[0])} is not finite: its weights are "
                f"broken, or training diverged; try a smaller learning_rate."
            )
    return embeds


def evaluate_pairs(
    model: NoisyITMModel,
    collator: PairCollator | FeatureCollator,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
) -> dict[str, float]:
    """What a model retrieves of the collator's data: recall of pairs, and mAP where there are labels.

    See `functional.retrieval.recall` and `category_figures`; figures of the model's `views` stand beside the recall,
    their names before those of the figures. Below ten pictures the larger cut-offs are left out, and `rsum` is a sum
    of fewer figures; a warning says so.
    """
    embeds, pairs = embed_modalities(model, collator, batch_size, num_workers, exchange, "Evaluating"), collator.pairs
    figures = {} if pairs.labels is None else category_figures(embeds, pairs.labels)
    if not isinstance(pairs, Pairs):
        return figures
    encoded = encoded_pairs(embeds, pairs)
    smallest = min(len(encoded.image_embeds), len(encoded.text_embeds))
    ks = [k for k in (1, 5, 10) if k <= smallest]
    if len(ks) < 3:
        logger.warning(f"The gallery has {smallest} rows: recall is at K = {ks} alone, and rsum the sum of these.")
    recalled = recall(encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair, ks)
    for name, view in model.views(encoded).items():
        of_view = recall(view.image_embeds, view.text_embeds, view.image_of_pair, ks)
        recalled |= {f"{name}_{key}": value for key, value in of_view.items()}
    return recalled | figures


def category_figures(embeds: dict[str, Tensor], labels: Labels) -> dict[str, float]:
    """Mean average precision of each modality's items as queries in each other's gallery, see `category_map`.

    Args:
        embeds: by modality, (items, D).
        labels: of the same items; the true ones count.

    Returns:
        Percentages: `i2t_map`, `t2i_map` and so on (whole names where initials are equal), and `map`, their mean.
    """
    short = {name: name[0] for name in embeds}
    if len(set(short.values())) < len(short):
        short = {name: name for name in embeds}
    true = {name: torch.from_numpy(each) for name, each in labels.true.items()}
    figures = {
        f"{short[query]}2{short[items]}_map": category_map(embeds[query], true[query], embeds[items], true[items])
        for query, items in permutations(embeds, 2)
    }
    return figures | {"map": fsum(figures.values()) / len(figures)}
