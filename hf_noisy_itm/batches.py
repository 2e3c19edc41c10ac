"""Which collator and which loader belong to which data set."""

import torch
from torch.utils.data import DataLoader

from .arguments import NoisyITMArguments
from .data import PairCollator, Pairs, StreamCollator, StreamedPairs
from .errors import InputError
from .methods import NoisyITMModel


def collator_of(
    pairs: Pairs | StreamedPairs, model: NoisyITMModel, args: NoisyITMArguments, processor, cache_pictures: int = 0
) -> PairCollator | StreamCollator:
    """The collator of one data set; a caption is cut where the model's positions end.

    Raises:
        InputError: a stream, and a method that needs all pairs at once, or no number of steps.
    """
    positions = model.config.text_config.max_position_embeddings
    if not isinstance(pairs, StreamedPairs):
        return PairCollator(processor, pairs, cache_pictures, positions, args.picture_cache)
    if model.needs_bank(0) or model.needs_scorer:
        wants = "builds a memory bank of" if model.needs_bank(0) else "asks a scorer of"
        raise InputError(
            f"{type(model).__name__} {wants} all training pairs, and a stream does not know them all: leave "
            f"--streaming out."
        )
    if args.max_steps <= 0:
        raise InputError("A stream has no end: say with --max_steps how long to train.")
    return StreamCollator(processor, positions)


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
