"""What is found in a training set: which pairs are suspicious, how many are wrong, what is there twice."""

from dataclasses import dataclass

import numpy as np

from ..functional.mismatch import add_witness, probability_wrong, signal_weights
from ..functional.mismatch_rate import NoiseRate, estimate_rate
from ..memory.bank import EncodedPairs
from .alike import Alike, find_alike, text_numbers
from .concepts import PairConcepts
from .signals import Neighbours, measure
from .suggestions import suggestions

TRAINING_WEIGHT = "training weight"
_SHARES = {"cosine": 0.2, "loss": 0.15, "agreement": 0.125, "prediction": 0.525}  # ours, see docs/noise_report.md


@dataclass(frozen=True)
class Findings:
    """Of N pairs.

    Args:
        signals: each on its own, higher is more suspicious, (N,) by name; NaN where it knows nothing.
        weights: of the signals in the sum, by name.
        suspicion: all together, (N,).
        suspicion_alone: before a training's weights are taken in, (N,).
        random_suspicion: likewise, of pairs that are wrong on purpose, (M,).
        probability: of being wrong, (N,) in [0, 1].
        noisy_by_loss: posterior of the loss mixture's worse component, (N,).
        rate: estimated share of wrong pairs.
        alike: near-duplicates and captions that may fit another picture.
        suggested: row of a caption that may belong to a pair's picture instead of its own, (N,), -1 for none.
        concepts: of pictures and captions, where the scorer knows any.
    """

    signals: dict[str, np.ndarray]
    weights: dict[str, float]
    suspicion: np.ndarray
    suspicion_alone: np.ndarray
    random_suspicion: np.ndarray
    probability: np.ndarray
    noisy_by_loss: np.ndarray
    rate: NoiseRate
    alike: Alike
    suggested: np.ndarray
    concepts: PairConcepts | None = None

    def __len__(self) -> int:
        return len(self.suspicion)

    @property
    def flagged(self) -> np.ndarray:
        """More likely wrong than right, bool (N,)."""
        return self.probability > 0.5

    @property
    def order(self) -> np.ndarray:
        """Rows, the most suspicious first, (N,)."""
        return np.argsort(-self.suspicion, kind="stable")

    @property
    def at_rate(self) -> np.ndarray:
        """The most suspicious pairs, as many as the estimated rate says, bool (N,)."""
        chosen = np.zeros(len(self), dtype=bool)
        chosen[self.order[: round(self.rate.value * len(self))]] = True
        return chosen


def examine(
    encoded: EncodedPairs,
    logit_scale: float,
    captions: list[str],
    training_weight: np.ndarray | None = None,
    duplicate_cosine: float = 0.98,
    seed: int = 0,
) -> Findings:
    """Looks at embedded pairs.

    Args:
        encoded: N pairs as the scorer embeds them; the work is done where they are.
        logit_scale: inverse temperature of the scorer.
        captions: texts of the pairs.
        training_weight: mean weight that a training gave each pair, (N,), NaN where it gave none.
        duplicate_cosine: pictures, and captions, above this are near-duplicates.
        seed: of the resampling behind the interval.

    Raises:
        InputError: all captions are of one picture.
    """
    neighbours = Neighbours.of(encoded)
    signals = measure(encoded, logit_scale, neighbours)
    own, wrong = signals.normal()
    weights = signal_weights(own, wrong, np.array([_SHARES[name] for name in signals.own]))
    alone, random_suspicion = own @ weights, wrong @ weights
    # Right captions of a picture that says little to the scorer look like random ones; captions play no part in this.
    clear = signals.clarity >= np.median(signals.clarity)
    rate = estimate_rate(alone, random_suspicion, signals.own_picture, signals.wrong_picture, clear, seed)
    probability = probability_wrong(alone, random_suspicion, rate.value)
    told, suspicion = dict(signals.own), alone
    if training_weight is not None:
        told[TRAINING_WEIGHT] = -np.asarray(training_weight, dtype=np.float64)
        suspicion, probability = add_witness(suspicion, probability, told[TRAINING_WEIGHT])
    alike = find_alike(encoded, captions, neighbours, duplicate_cosine, probability < 0.5)
    return Findings(
        told,
        dict(zip(signals.own, weights.tolist())),
        suspicion,
        alone,
        random_suspicion,
        probability,
        signals.noisy_by_loss,
        rate,
        alike,
        suggestions(encoded, alike, text_numbers(captions), probability, -signals.own["cosine"]),
    )
