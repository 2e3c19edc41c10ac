"""One training run from a recipe: data, model, trainer, figures. The scripts under recipes/ are thin over this."""

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
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
from .files import write_json
from .hub import on_hub, without_tokens, write_model_card
from .loading import start_model
from .memory.bank import MemoryBank
from .memory.trust import TrustScores
from .methods import NoisyITMModel
from .noise_report import check_report_of_training, report_training
from .resuming import to_resume
from .scorer import scores_for
from .trainer import NoisyITMTrainer
from .training_arguments import NoisyITMArguments
from .truth import negatives_in_truth, separation, where_known

Loaded = tuple[Pairs | StreamedPairs | FeatureRows, Pairs | FeatureRows, Pairs | FeatureRows | None]


HYPERPARAMETERS = (  # stated, whether or not they were given
    *("learning_rate", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("optim", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm"),
    *("lr_scheduler_type", "warmup_steps", "bf16", "fp16", "seed"),
)


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
    trust = _score(recipe, model, processor, (train_pairs, eval_pairs)) if resume is None else None
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
    metrics = {
        "method": recipe.name,
        "model": recipe.run.model,
        "data": {name: value for name, value in vars(recipe.data).items() if value is not None},
        "pairs": {
            "train": None if is_stream else len(train_pairs),
            "eval": len(eval_pairs),
            **({} if test is None else {"test": len(test)}),
            "fingerprint": None if is_stream else train_pairs.fingerprint,
        },
        "noise": _told_noise(recipe, train_pairs),
        "method_config": {**recipe.method},
        "training": told_training(recipe.training),
        "metrics": {name.removeprefix("eval_"): value for name, value in figures.items() if "runtime" not in name},
        "test": {name.removeprefix("test_"): value for name, value in reported.items() if "runtime" not in name},
        "curve": _curve(trainer.state.log_history),
        "seconds": {"train": seconds, "train_cpu": worked, "eval": figures["eval_runtime"]},
        "weights": None if is_stream else _told_apart(trainer.memory.weights.mean().numpy(), train_pairs),
        "negatives": None if is_stream else negatives_in_truth(trainer.memory.negatives.read(), is_match),
        "bank_scores": {
            name: _told_apart(score.numpy(), train_pairs) for name, score in trainer.memory.bank.scores.items()
        }
        if trainer.memory.bank
        else None,
        "bank": trainer.memory.bank.provenance if trainer.memory.bank else None,
        "sources": model.sources,
        "chosen": chosen,
        "trust": _told_trust(trainer, train_pairs),
        "on_hub": {"model": on_hub(recipe.run.model), "dataset": on_hub(recipe.data.dataset)},
        "embeds_by_clip_alone": model.embeds_by_clip_alone,
        "processes": trainer.args.world_size,
        "hardware": hardware(trainer.args.device),
        "versions": versions(),
        "command": without_tokens(sys.argv),
    }
    if trainer.is_world_process_zero():
        write_json(folder / "metrics.json", metrics)
        write_model_card(folder, metrics, type(model), version("hf-noisy-itm"), model.embeds_by_clip_alone)
    if recipe.run.report:
        report_training(
            model, processor, train_pairs, trainer.memory.weights, recipe.data, trainer.args, trainer.exchange
        )
    if recipe.training.push_to_hub and (place := trainer.push_to_hub()):
        print(f"{folder} is published as {place}.")
    return metrics


def given(training: NoisyITMArguments) -> dict:
    """The training arguments that differ from their defaults; tokens masked."""
    defaults = NoisyITMArguments(output_dir="").to_dict()
    return {name: value for name, value in training.to_dict().items() if value != defaults[name]}


def told_training(training: NoisyITMArguments) -> dict:
    """What was `given`, and the hyper-parameters that every training has."""
    values = training.to_dict()
    return given(training) | {name: values[name] for name in HYPERPARAMETERS}


def hardware(device: torch.device) -> dict[str, str | int]:
    """What a process of the run computes on."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device)}
    return {"device": f"{device.type} ({platform.machine()}, {os.cpu_count()} cores)"}


def versions() -> dict[str, str]:
    """Of what figures may depend on."""
    return {
        "hf-noisy-itm": version("hf-noisy-itm"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


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


def _told_apart(scores: np.ndarray, pairs: Pairs | FeatureRows) -> dict | None:
    return separation(where_known(scores, pairs), pairs.is_noisy)


def _told_trust(trainer: NoisyITMTrainer, pairs: Pairs) -> dict | None:
    """Who scored the pairs, by which levels, and how well the cosines tell right from wrong."""
    trust = trainer.memory.trust
    if trust is None:
        return None
    return {**trust.provenance, "levels": trust.levels, "cosine": _told_apart(trust.cosine.numpy(), pairs)}


def _told_noise(recipe: Recipe, pairs: Pairs | StreamedPairs | FeatureRows) -> dict:
    """The pedigree, and what share of these samples is wrong: in any modality, and by whatever made them wrong.

    `realised` of captions is that share, for a part of a noisy data set may have less of it. Of labels it is the rate
    that was drawn, and `samples_wrong` that share: a sample has several, and is wrong if one of them is.
    """
    told = {"nominal": recipe.data.noise_rate or 0.0, "realised": None, **(pairs.pedigree or {})}
    if isinstance(pairs, StreamedPairs):
        return told
    known = where_known((pairs.is_noisy | pairs.label_is_noisy).astype(float), pairs)
    wrong = float(np.nanmean(known))
    return {**told, **({"samples_wrong": wrong} if "labels" in told else {"realised": wrong})}


def _curve(history: list[dict]) -> list[dict[str, float]]:
    """What evaluations on the way found, each with its step."""
    found = [entry for entry in history if "eval_runtime" in entry]
    names = [[name for name in entry if name.startswith("eval_") and name != "eval_runtime"] for entry in found]
    return [
        {"step": entry["step"], **{name.removeprefix("eval_"): entry[name] for name in each}}
        for entry, each in zip(found, names)
    ]


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
