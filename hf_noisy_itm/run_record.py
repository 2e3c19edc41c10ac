"""What `metrics.json` says of a run beside its figures: on what, by what, and in which surroundings it was trained."""

import os
import platform
import sys
from importlib.metadata import version

import numpy as np
import torch
import transformers

from .arguments import Recipe
from .data import FeatureRows, Pairs, StreamedPairs
from .hub import HYPERPARAMETERS, on_hub, without_tokens
from .methods import NoisyITMModel
from .trainer import NoisyITMTrainer
from .training_arguments import NoisyITMArguments
from .truth import negatives_in_truth, separation, where_known


def record_of(
    recipe: Recipe,
    trainer: NoisyITMTrainer,
    model: NoisyITMModel,
    loaded: tuple[Pairs | StreamedPairs | FeatureRows, Pairs | FeatureRows, Pairs | FeatureRows | None],
    is_match: np.ndarray | None,
) -> dict:
    """What is known of a run when its model is saved.

    Args:
        recipe: what was done.
        trainer: who did it.
        model: what was trained, as it was before any engine wrapped it.
        loaded: pairs to train, to evaluate and, if there are any, to report on.
        is_match: see `data.known_matches`.

    Returns:
        Content of `metrics.json` without what `run.train_model` measured.
    """
    train_pairs, eval_pairs, test = loaded
    is_stream = isinstance(train_pairs, StreamedPairs)
    return {
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
        "curve": _curve(trainer.state.log_history),
        "weights": None if is_stream else _told_apart(trainer.memory.weights.mean().numpy(), train_pairs),
        "negatives": None if is_stream else negatives_in_truth(trainer.memory.negatives.read(), is_match),
        "bank_scores": {
            name: _told_apart(score.numpy(), train_pairs) for name, score in trainer.memory.bank.scores.items()
        }
        if trainer.memory.bank
        else None,
        "bank": trainer.memory.bank.provenance if trainer.memory.bank else None,
        "sources": model.sources,
        "trust": _told_trust(trainer, train_pairs),
        "on_hub": {"model": on_hub(recipe.run.model), "dataset": on_hub(recipe.data.dataset)},
        "embeds_by_clip_alone": model.embeds_by_clip_alone,
        "processes": trainer.args.world_size,
        "hardware": hardware(trainer.args.device),
        "versions": versions(),
        "command": without_tokens(sys.argv),
    }


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
