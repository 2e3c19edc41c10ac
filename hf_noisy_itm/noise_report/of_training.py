"""A noise report of the pairs of a training, by the model that came out and by the weights that its method gave."""

from pathlib import Path

from ..batches import collator_of_all
from ..data import DataArguments, Pairs
from ..encode import encode
from ..exchange import Exchange
from ..files import shown
from ..memory.scores import weights_sha256
from ..memory.weights import PairWeights
from ..methods import NoisyITMModel
from ..training_arguments import NoisyITMArguments
from .concepts import PairConcepts
from .make import check_folder, says_something, write_report
from .summary import told

FOLDER = "noise_report"  # of the training's


def check_report_of_training(output_dir: str | Path) -> None:
    """Refuses before a training what `report_training` would refuse after it.

    Raises:
        InputError: something else stands where the report goes.
    """
    check_folder(Path(output_dir) / FOLDER)


def report_training(
    model: NoisyITMModel,
    processor,
    pairs: Pairs,
    weights: PairWeights,
    data: DataArguments,
    args: NoisyITMArguments,
    exchange: Exchange,
) -> None:
    """Embeds the pairs, in all processes, and leaves a report in `noise_report/` of the output folder; prints it.

    Args:
        model: as it was trained.
        processor: CLIP's.
        pairs: that it was trained on.
        weights: what the method gave them of its own; no signal where it gave none.
        data: how the pairs were loaded.
        args: of the training.
        exchange: its processes.

    Raises:
        InputError: see `write_report`.
    """
    collator = collator_of_all(pairs, model, processor, args.cache_pictures, args.picture_cache)
    size, workers = args.per_device_eval_batch_size, args.dataloader_num_workers
    encoded = encode(model, collator, size, workers, exchange, "Embedding for the noise report")
    # All processes, since the model may lie in parts.
    sha256, scale = weights_sha256(model.clip, exchange), float(model.logit_scale.detach())
    concepts = PairConcepts.of(model, encoded)
    if args.process_index:
        return
    weight = weights.own_mean().numpy()
    weighs = says_something(weight)
    facts = {
        "scorer": {"model": shown(args.output_dir), "weights_sha256": sha256},
        "data": {name: value for name, value in vars(data).items() if value is not None},
        "run": shown(args.output_dir) if weighs else None,
    }
    folder = Path(args.output_dir) / FOLDER
    _, figures = write_report(folder, pairs, encoded, scale, facts, weight if weighs else None, concepts=concepts)
    print(f"{told(figures)}\nOpen {folder / 'report.html'}.")
