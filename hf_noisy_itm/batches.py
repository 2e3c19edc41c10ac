"""Which collator and which loader belong to which data set."""

import torch
from torch.utils.data import DataLoader

from .data import FeatureCollator, FeatureProcessor, FeatureRows, PairCollator, Pairs, StreamCollator, StreamedPairs
from .errors import InputError
from .methods import NoisyITMModel
from .training_arguments import NoisyITMArguments


def collator_of(
    pairs: Pairs | StreamedPairs | FeatureRows,
    model: NoisyITMModel,
    args: NoisyITMArguments,
    processor,
    cache_pictures: int = 0,
) -> PairCollator | StreamCollator | FeatureCollator:
    """The collator of one data set; a caption is cut where the model's positions end.

    Raises:
        InputError: a stream, and a method that needs all pairs at once, or no number of steps; see `collator_of_all`.
    """
    if isinstance(pairs, FeatureRows) and model.needs_scorer:
        raise InputError("A scorer looks at pictures and captions, and these data are vectors: leave --trust osa out.")
    if not isinstance(pairs, StreamedPairs):
        return collator_of_all(pairs, model, processor, cache_pictures, args.picture_cache)
    if model.needs_bank(0) or model.needs_scorer:
        wants = "builds a memory bank of" if model.needs_bank(0) else "asks a scorer of"
        raise InputError(
            f"{type(model).__name__} {wants} all training pairs, and a stream does not know them all: leave "
            f"--streaming out."
        )
    if args.max_steps <= 0:
        raise InputError("A stream has no end: say with --max_steps how long to train.")
    return StreamCollator(processor, model.config.text_config.max_position_embeddings)


def collator_of_all(
    pairs: Pairs | FeatureRows,
    model: NoisyITMModel,
    processor,
    cache_pictures: int = 0,
    picture_cache: str | None = None,
) -> PairCollator | FeatureCollator:
    """The collator of a data set that is all there.

    Raises:
        InputError: the data are vectors and the model is for pictures and captions, or the other way round.
    """
    of_vectors = isinstance(processor, FeatureProcessor), isinstance(pairs, FeatureRows)
    kinds = ["vectors" if each else "pictures and captions" for each in of_vectors]
    if kinds[0] != kinds[1]:
        raise InputError(f"{type(model).__name__} was made for {kinds[0]} here, and the data are {kinds[1]}.")
    if isinstance(pairs, FeatureRows):
        return FeatureCollator(processor, pairs)
    positions = model.config.text_config.max_position_embeddings
    return PairCollator(processor, pairs, cache_pictures, positions, picture_cache)


def stream_loader(
    pairs: StreamedPairs, batch_size: int, args: NoisyITMArguments, collator: StreamCollator
) -> DataLoader:
    """Batches of a stream, which is shared out among the processes by itself."""
    return DataLoader(
        pairs.share(args.process_index, args.world_size),
        batch_size,
        collate_fn=collator,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory,
        generator=torch.Generator(),
    )
