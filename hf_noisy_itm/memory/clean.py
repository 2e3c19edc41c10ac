"""Which training pairs are clean, and a memory bank of them.

A mixture of two Gaussians over the scores of all pairs (`scores.py`) says of each how likely it is clean; those above
a threshold are the clean set, among which every picture and every caption finds its nearest (`neighbors.py`). Nothing
here knows a method: NPC builds its bank so, and recipes/build_bank.py leaves one in a file.

Any data have two components. Where all pairs are right, the clean set is the easier part of them, which does no harm;
where nearly all are wrong, it is what scores least badly, and mostly wrong too. Both are said (`doubts.py`). A clean
set that is empty is an error, and so are scores that do not differ.
"""

from dataclasses import asdict, replace
from importlib.metadata import version

import torch
from torch import Tensor

from ..errors import InputError
from ..functional.mixture import CleanMixture, fit_cosine_mixture, fit_loss_mixture
from ..functional.nearest import EXACT
from .bank import EncodedPairs, MemoryBank
from .doubts import assess, estimate_noise
from .neighbors import nearest_by_image, nearest_by_text
from .scores import Scoring, check_scoring, score_pairs, score_wrong_pairs

_ROUNDING = 1e-6  # of float32 scores, relative
_LIBRARIES = ("numpy", "scikit-learn", "torch")


def check_bank(clean_threshold: float, bank_batch_size: int, bank_seed: int) -> None:
    """Does nothing if a bank can be built so; the names are those that users give.

    Raises:
        InputError: it cannot.
    """
    if not 0 <= clean_threshold < 1:
        raise InputError(f"clean_threshold is a probability below 1, got {clean_threshold}.")
    check_scoring(bank_batch_size, bank_seed, ("bank_batch_size", "bank_seed"))


@torch.no_grad()
def build_bank(
    encoded: EncodedPairs,
    logit_scale: Tensor | float,
    clean_threshold: float = 0.9,
    exclude_self: bool = False,
    scoring: Scoring | None = None,
    exact: int = EXACT,
) -> MemoryBank:
    """Scores all pairs, calls some clean, and finds the nearest clean pair of every picture and caption.

    Args:
        encoded: the training pairs as the scoring model embeds them; the work is done where they are.
        logit_scale: inverse temperature of the scoring model, > 0.
        clean_threshold: a pair is clean if its posterior of the clean component is above this, in [0, 1).
        exclude_self: a clean pair is not its own entry, see `neighbors.py`.
        scoring: NPC's if left out; its seed is that of the mixture's start too.
        exact: clean pairs up to which the nearest is searched among all; with more through cells, see
            `functional/nearest.py`.

    Returns:
        Entries "image" and "text"; scores "loss" or "cosine", and "clean_posterior"; in the provenance what is known
        here, `doubts` for the user among it. Who knows more (scorer, epoch, noise) adds it by `MemoryBank.told`.

    Raises:
        InputError: no pair is clean by the threshold, all score alike, or a score is not finite.
    """
    scoring = scoring or Scoring()
    is_loss = scoring.score == "loss"
    scores = score_pairs(encoded, logit_scale, scoring)
    try:
        mixture = (fit_loss_mixture if is_loss else fit_cosine_mixture)(scores.cpu().numpy(), scoring.seed)
    except ValueError as error:
        raise InputError(f"The memory bank cannot be built: {error}") from error
    if scores.max() - scores.min() <= _ROUNDING * max(1.0, scores.abs().max()):
        raise InputError(
            f"The memory bank cannot be built: all {len(scores)} pairs have the same {scoring.score}, so that nothing "
            f"tells right from wrong ones; do they show one picture, or have one caption?"
        )
    posterior = torch.from_numpy(mixture.clean_posterior).to(scores.device)
    clean = torch.nonzero(posterior > clean_threshold).squeeze(1)
    if not len(clean):
        raise InputError(
            f"None of {len(scores)} pairs is clean with a posterior above {clean_threshold} "
            f"(highest: {posterior.max():.3f}); lower clean_threshold, or start from a model that knows the data."
        )
    return MemoryBank(
        entries={
            "image": nearest_by_image(encoded, clean, scores if is_loss else -scores, exclude_self, exact).cpu(),
            "text": nearest_by_text(encoded, clean, exclude_self, exact).cpu(),
        },
        scores={scoring.score: scores.cpu(), "clean_posterior": posterior.float().cpu()},
        provenance={
            "fingerprint": encoded.fingerprint,
            "pairs": len(scores),
            "clean_pairs": len(clean),
            "clean_threshold": clean_threshold,
            "exclude_self": exclude_self,
            "search": "exact" if len(clean) <= exact else "cells",
            **asdict(scoring),
            "logit_scale": float(logit_scale),
            "mixture": {name: value for name, value in vars(mixture).items() if name != "clean_posterior"},
            **_judged(encoded, logit_scale, clean_threshold, scoring, scores, mixture),
            "versions": {name: version(name) for name in _LIBRARIES},
        },
    )


def _judged(
    encoded: EncodedPairs,
    logit_scale: Tensor | float,
    clean_threshold: float,
    scoring: Scoring,
    scores: Tensor,
    mixture: CleanMixture,
) -> dict:
    """What pairs that are wrong on purpose say of the clean set."""
    by_cosine = replace(scoring, score="cosine")
    wrong = score_wrong_pairs(encoded, logit_scale, scoring).cpu().numpy()
    passing = noise = None
    if len(wrong):
        passing = float((mixture.posterior(wrong) > clean_threshold).mean())
        cosines = score_pairs(encoded, logit_scale, by_cosine), score_wrong_pairs(encoded, logit_scale, by_cosine)
        noise = estimate_noise(*(each.cpu().numpy() for each in cosines))
    doubts = assess(scores.cpu().numpy(), mixture, clean_threshold, scoring.score == "loss", passing, noise)
    return {"wrong_that_pass": passing, "estimated_noise": noise, "doubts": doubts}
