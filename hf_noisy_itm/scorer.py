"""Who scores the training pairs of a recipe, after a short look at them if that is asked for."""

from dataclasses import replace
from pathlib import Path

from transformers import CLIPProcessor

from .arguments import Recipe
from .batches import collator_of_all
from .data import Pairs
from .exchange import exchange_among
from .files import shown
from .loading import load_model
from .memory.trust import TrustScores
from .methods import NoisyITMModel
from .scoring import DEFAULT_CACHE, score_pairs_once
from .trainer import NoisyITMTrainer

_FOLDER = "scorer"  # of the output folder


def scores_for(
    recipe: Recipe, model: NoisyITMModel, processor: CLIPProcessor, pairs: tuple[Pairs, Pairs]
) -> TrustScores:
    """Scores the training pairs by the scorer of a recipe: the starting model if none is named.

    With `scorer_steps` it first trains so many steps on the noisy pairs as the control does, with the recipe's
    settings, and is left in `scorer/` of the output folder.

    Args:
        recipe: with `scorer`, `scorer_steps` and `score_cache`.
        model: that is to be trained; not changed.
        processor: of the model.
        pairs: to train and to evaluate on.

    Raises:
        InputError: the scorer cannot be loaded.
    """
    run, args = recipe.run, recipe.training
    name = run.scorer or run.model
    scorer = model
    if run.scorer or run.scorer_steps:
        scorer, processor = load_model(name, "baseline")
    if run.scorer_steps:
        _adapt(recipe, scorer, processor, pairs)
    scorer.to(args.device)
    collator = collator_of_all(pairs[0], scorer, processor, args.cache_pictures, args.picture_cache)
    scores = score_pairs_once(
        scorer,
        collator,
        run.score_cache or DEFAULT_CACHE,
        args.per_device_eval_batch_size,
        args.dataloader_num_workers,
        exchange_among(args.world_size),
    )
    facts = {"model": shown(name), "steps": run.scorer_steps, **scores.provenance["scorer"]}
    return scores.told(scorer=facts)


def _adapt(recipe: Recipe, scorer: NoisyITMModel, processor: CLIPProcessor, pairs: tuple[Pairs, Pairs]) -> None:
    folder = Path(recipe.training.output_dir) / _FOLDER
    args = replace(
        recipe.training,
        output_dir=str(folder),
        max_steps=recipe.run.scorer_steps,
        save_strategy="no",
        eval_strategy="no",
        load_best_model_at_end=False,
        resume_from_checkpoint=None,
        report_to="none",
        push_to_hub=False,
    )
    trainer = NoisyITMTrainer(scorer, args, *pairs, processor)
    trainer.train()
    trainer.save_model(str(folder))
