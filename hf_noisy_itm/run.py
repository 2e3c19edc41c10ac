"""One training run from a recipe: data, model, trainer, figures. The scripts under recipes/ are thin over this."""

import time
from importlib.metadata import version
from pathlib import Path

import transformers
from transformers import CLIPProcessor

from .arguments import Recipe
from .data import (
    BadRows,
    FeatureProcessor,
    FeatureRows,
    Pairs,
    StreamedPairs,
    known_matches,
    load_pairs,
    load_stream,
    load_test,
    table,
)
from .errors import InputError
from .files import check_writable, write_json
from .hub import weights_sha256, write_model_card
from .loading import start_model
from .memory.bank import MemoryBank
from .memory.trust import TrustScores
from .methods import NoisyITMModel
from .noise_report import check_report_of_training, report_training
from .resuming import to_resume
from .run_record import record_of
from .scorer import scores_for
from .trainer import NoisyITMTrainer

Loaded = tuple[Pairs | StreamedPairs | FeatureRows, Pairs | FeatureRows, Pairs | FeatureRows | None]


def train(recipe: Recipe, pairs: tuple[Pairs | StreamedPairs, Pairs] | None = None) -> dict:
    """Trains by a recipe and leaves model, processor and `metrics.json` in its output folder.

    Args:
        recipe: what to do.
        pairs: training and evaluation pairs, if they are loaded already.

    Returns:
        The content of `metrics.json`.
    """
    loaded = load_and_report(recipe) if pairs is None else (*pairs, load_test(recipe.data, pairs[0]))
    transformers.set_seed(recipe.training.seed)
    start = recipe.run.model, recipe.name, recipe.method, loaded[0], recipe.data.standardize
    model, processor = start_model(*start)
    return train_model(recipe, model, processor, loaded)


def load_and_report(recipe: Recipe) -> Loaded:
    """Loads what to train, to evaluate and, if a split is named for that, to report on.

    Process 0 prints what was found in the rows, also where that stops the run; those of a stream are not known yet.
    """
    if recipe.data.streaming:
        pairs = load_stream(recipe.data, recipe.training.seed)
        return (*pairs, load_test(recipe.data, pairs[0]))
    is_first, reports = recipe.training.process_index == 0, []
    try:
        pairs = load_pairs(recipe.data)
        reports += [each.report for each in pairs]
        test = load_test(recipe.data, pairs[0])
        reports += [] if test is None else [test.report]
    except BadRows as error:
        reports += error.reports
        raise
    finally:
        if is_first and reports:
            print(table(reports))
    return (*pairs, test)


def train_model(
    recipe: Recipe,
    model: NoisyITMModel,
    processor: CLIPProcessor | FeatureProcessor,
    loaded: Loaded,
) -> dict:
    """The part of `train` after data and model are there."""
    train_pairs, eval_pairs, test = loaded
    is_stream = isinstance(train_pairs, StreamedPairs)
    if recipe.training.should_save:
        check_writable(recipe.training.output_dir)  # before a scorer works for it, too
    if recipe.run.report and not isinstance(train_pairs, Pairs):
        reason = "a stream does not know them" if is_stream else "vectors have no captions"
        raise InputError(f"A noise report needs all pairs at once, and {reason}: leave --report out.")
    if recipe.run.report:
        check_report_of_training(recipe.training.output_dir)
    if not is_stream:
        _check_size(recipe, train_pairs)
    bank = _read_bank(recipe, train_pairs) if recipe.run.bank else None
    is_match = None if is_stream else known_matches(recipe.data, train_pairs)
    resume = _resume(recipe)
    worked = time.process_time()
    trust = _score(recipe, model, processor, (train_pairs, eval_pairs)) if resume is None else None
    scored = time.process_time() - worked
    trainer = NoisyITMTrainer(
        model, recipe.training, train_pairs, eval_pairs, processor, bank, is_match=is_match, trust=trust
    )
    if trainer.is_world_process_zero():
        print(
            f"Training {recipe.name} on {train_pairs.told}, "
            f"in {trainer.args.world_size} process{'es' if trainer.args.world_size > 1 else ''} "
            f"({trainer.accelerator.distributed_type.value}), on {trainer.args.device}."
        )
    start, worked = time.perf_counter(), time.process_time()
    trainer.train(resume_from_checkpoint=resume)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    folder = Path(recipe.training.output_dir)
    chosen = trainer.choose(eval_pairs) if model.needs_validation and test is not None else None
    trainer.save_model(str(folder))  # before the evaluation, which may find a bad picture
    figures = trainer.evaluate()
    reported = {} if test is None else trainer.evaluate(test, metric_key_prefix="test")
    metrics = record_of(recipe, trainer, model, (train_pairs, eval_pairs, test), is_match) | {
        "metrics": {name.removeprefix("eval_"): value for name, value in figures.items() if "runtime" not in name},
        "test": {name.removeprefix("test_"): value for name, value in reported.items() if "runtime" not in name},
        "seconds": {"train": seconds, "train_cpu": worked, "score_cpu": scored, "eval": figures["eval_runtime"]},
        "chosen": chosen,
    }
    if trainer.is_world_process_zero():
        metrics["weights_sha256"] = weights_sha256(folder)  # to publish them with no others
        write_json(folder / "metrics.json", metrics)
        write_model_card(folder, metrics, type(model), version("hf-noisy-itm"), model.embeds_by_clip_alone)
    if recipe.run.report:
        report_training(
            model, processor, train_pairs, trainer.memory.weights, recipe.data, trainer.args, trainer.exchange
        )
    if recipe.training.push_to_hub and (place := trainer.push_to_hub()):
        print(f"{folder} is published as {place}.")
    return metrics


def _read_bank(recipe: Recipe, pairs: Pairs | StreamedPairs) -> MemoryBank:
    if isinstance(pairs, StreamedPairs):
        raise InputError("A memory bank is of pairs that are all known, and a stream's are not: leave --bank out.")
    return MemoryBank.load(recipe.run.bank, pairs.fingerprint, len(pairs))


def _score(
    recipe: Recipe, model: NoisyITMModel, processor: CLIPProcessor, pairs: tuple[Pairs | StreamedPairs, Pairs]
) -> TrustScores | None:
    if model.needs_scorer and isinstance(pairs[0], Pairs):
        return scores_for(recipe, model, processor, pairs)
    if recipe.run.scorer or recipe.run.scorer_steps:
        raise InputError(f"{type(model).__name__} asks for no scorer: give --trust osa, or leave scorer fields out.")
    return None


def _check_size(recipe: Recipe, pairs: Pairs | FeatureRows) -> None:
    batch = recipe.training.per_device_train_batch_size * recipe.training.world_size
    if len(pairs) < batch:
        raise InputError(
            f"There are {len(pairs)} training pairs but a batch takes {batch}: "
            f"give a smaller per_device_train_batch_size."
        )


def _resume(recipe: Recipe) -> str | None:
    args = recipe.training
    return to_resume(args.resume_from_checkpoint, args.output_dir, tells=args.process_index == 0)
