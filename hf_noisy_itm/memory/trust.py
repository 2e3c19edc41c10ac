"""What a frozen scorer says of each training pair, once and for the whole training, and the levels to judge it by."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..functional.mixture import fit_cosine_mixture
from .bank import EncodedPairs
from .scores import Scoring, score_pairs, score_wrong_pairs
from .stored import read_tensors, refuse_other_data, write_tensors

_BY_COSINE = Scoring("cosine")
_LEVELS = ("wrong", "confident", "noise")


@dataclass(frozen=True)
class TrustScores:
    """Cosines of N training pairs by a scorer, and where it puts pairs of known kinds.

    Args:
        cosine: of each pair, float32 (N,).
        levels: mean cosine of pairs of random partners ("wrong"), of the pairs that a mixture of two Gaussians takes
            for right ("confident"), and of random pixels with random words ("noise").
        logit_scale: inverse temperature of the scorer.
        provenance: JSON-able facts; `fingerprint` names the data.

    Raises:
        ValueError: cosines are no vector of finite float32 in [-1, 1]; or a level, or the temperature, is missing, no
            such number, or out of order.
    """

    cosine: Tensor
    levels: dict[str, float]
    logit_scale: float
    provenance: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.cosine.ndim != 1 or self.cosine.dtype != torch.float32 or not self.cosine.isfinite().all():
            raise ValueError("the cosines are no vector of finite float32 numbers")
        if set(self.levels) != set(_LEVELS):
            raise ValueError(f"the levels are {sorted(self.levels)}, not {sorted(_LEVELS)}")
        for name, level in (
            *self.levels.items(),
            ("largest cosine", float(self.cosine.abs().amax()) if len(self.cosine) else 0.0),
        ):
            if isinstance(level, bool) or not -1.001 <= level <= 1.001:
                raise ValueError(f"the {name} is {level}, which is no cosine")
        if not self.levels["wrong"] < self.levels["confident"]:
            raise ValueError("the level of confident pairs is not above that of wrong ones")
        if isinstance(self.logit_scale, bool) or not 0 < self.logit_scale < math.inf:
            raise ValueError(f"the inverse temperature is {self.logit_scale}")

    def of(self, index: Tensor) -> dict[str, Tensor]:
        """What a batch is told of its pairs, float32 (B,) by name.

        Args:
            index: rows of the pairs, int64 (B,).
        """
        known = {f"scorer_{name}": torch.full((len(index),), level) for name, level in self.levels.items()}
        scale = torch.full((len(index),), self.logit_scale)
        return {"scorer_cosine": self.cosine[index], "scorer_logit_scale": scale, **known}

    def told(self, **facts) -> "TrustScores":
        """The same scores with further facts in their provenance."""
        return replace(self, provenance={**self.provenance, **facts})

    def refuse_other_data(
        self, fingerprint: str | None, pairs: int | None = None, name: str = "The file of scores"
    ) -> None:
        """Does nothing if the scores are of the data of that fingerprint; see `load`.

        Raises:
            InputError: they are of other data.
        """
        refuse_other_data(self.provenance, fingerprint, len(self.cosine), pairs, name, "scores")

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file."""
        facts = {"levels": self.levels, "logit_scale": self.logit_scale, **self.provenance}
        write_tensors(path, {"cosine": self.cosine}, facts)

    @classmethod
    def load(cls, path: str | Path, fingerprint: str | None, pairs: int | None = None) -> "TrustScores":
        """Reads scores of the data of that fingerprint.

        Args:
            path: of the file.
            fingerprint: of the pairs.
            pairs: how many there are; not compared if left out.

        Raises:
            InputError: the file holds no such scores, or those of other data.
        """
        try:
            tensors, facts = read_tensors(path)
            levels, scale = facts.pop("levels"), facts.pop("logit_scale")
            scores = cls(tensors["cosine"], levels, scale, facts)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} holds no scores of pairs ({error}); delete it, and they are made anew."
            ) from error
        scores.refuse_other_data(fingerprint, pairs, f"The file of scores {path}")
        return scores


@torch.no_grad()
def score_trust(encoded: EncodedPairs, logit_scale: Tensor | float, noise_cosine: Tensor) -> TrustScores:
    """Scores all pairs and finds the levels.

    Args:
        encoded: N >= 2 training pairs as the scorer embeds them.
        logit_scale: inverse temperature of the scorer.
        noise_cosine: cosines of random pixels with random words, (K,).

    Raises:
        InputError: no pair of random partners can be made, since all captions are of one picture.
    """
    cosines = score_pairs(encoded, logit_scale, _BY_COSINE)
    wrong = score_wrong_pairs(encoded, logit_scale, _BY_COSINE)
    if not len(wrong):
        raise InputError("All training captions are of one picture, so that nobody knows what wrong pairs look like.")
    mixture = fit_cosine_mixture(cosines.cpu().numpy())
    level = float(wrong.mean())
    return TrustScores(
        cosines.cpu(),
        {
            "wrong": level,
            "confident": max(mixture.means[0], level + 1e-6),
            "noise": float(noise_cosine.mean()),
        },
        float(logit_scale),
        {"fingerprint": encoded.fingerprint, "pairs": len(cosines)},
    )
