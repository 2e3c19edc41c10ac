"""Embeds a whole data set: each picture once, each caption once, shared among the processes; recall from that."""

import torch
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers.utils import logging

from .data import PairCollator
from .errors import InputError
from .exchange import Exchange
from .functional.retrieval import recall
from .memory.bank import EncodedPairs
from .methods import NoisyITMModel

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

    Pictures of equal files, and captions of equal tokens, are embedded once, so that their embeddings are equal to the
    last bit: computed in different batches they would differ by rounding, and chance would decide what are ties.

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
    exchange, pairs = exchange or Exchange(), collator.pairs
    was_training = model.training
    model.eval()
    image_rows, image_place = collator.distinct_pictures()
    text_rows, text_place = collator.distinct_captions()
    pictures, captions = exchange.share(len(image_rows)), exchange.share(len(text_rows))
    progress = tqdm(total=len(pictures) + len(captions), desc=description, delay=2, unit="rows", leave=False)
    image_embeds, text_embeds = [], []
    with progress:
        for pixel_values in DataLoader(
            [image_rows[place] for place in pictures],
            batch_size,
            collate_fn=collator.images,
            num_workers=num_workers,
            generator=torch.Generator(),  # a loader without one draws from, and so moves, the global generator
        ):
            image_embeds.append(model.embed_images(pixel_values.to(model.device)))
            progress.update(len(pixel_values))
        for places in DataLoader(list(captions), batch_size, collate_fn=list, generator=torch.Generator()):
            tokens = collator.texts([pairs.captions[text_rows[place]] for place in places])
            text_embeds.append(model.embed_texts(**{name: value.to(model.device) for name, value in tokens.items()}))
            progress.update(len(places))
    model.train(was_training)
    images = exchange.merge(torch.cat(image_embeds), len(image_rows))[torch.from_numpy(image_place).to(model.device)]
    texts = exchange.merge(torch.cat(text_embeds), len(text_rows))[torch.from_numpy(text_place).to(model.device)]
    for what, embeds in (("picture", images), ("caption", texts)):
        bad = torch.nonzero(~torch.isfinite(embeds).all(dim=1))
        if len(bad):
            raise InputError(
                f"The model's embedding of {what} {int(bad[0])} is not finite: its weights are broken, or training "
                f"diverged; try a smaller learning_rate."
            )
    return EncodedPairs(
        images,
        texts,
        torch.from_numpy(pairs.image_row).to(model.device),
        pairs.fingerprint,
    )


def evaluate_pairs(
    model: NoisyITMModel,
    collator: PairCollator,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
) -> dict[str, float]:
    """Recall of a model on the collator's pairs, see `functional.retrieval.recall`.

    Figures of the model's `views` stand beside them, their names before those of the figures. Below ten pictures the
    larger cut-offs are left out, and `rsum` is a sum of fewer figures; a warning says so.
    """
    encoded = encode(model, collator, batch_size, num_workers, exchange, "Evaluating")
    smallest = min(len(encoded.image_embeds), len(encoded.text_embeds))
    ks = [k for k in (1, 5, 10) if k <= smallest]
    if len(ks) < 3:
        logger.warning(f"The gallery has {smallest} rows: recall is at K = {ks} alone, and rsum the sum of these.")
    figures = recall(encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair, ks)
    for name, view in model.views(encoded).items():
        of_view = recall(view.image_embeds, view.text_embeds, view.image_of_pair, ks)
        figures |= {f"{name}_{key}": value for key, value in of_view.items()}
    return figures
