"""Fields of FNE: what each means, where its number is from, and which of them do not go together."""

import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict

from ._choices import DEFAULT, Choice
from ._config import FADING, NoisyITMConfig

_NUMBERS = {  # where a field is not given: by its variant, the official code's or ours
    "loss": ("triplet", "triplet"),
    "queue_size": (8224, 1024),
    "twin_momentum": (0.995, 0.95),
    "warmup_epochs": (1, 0),
    "margin": (0.2, 3.0),
    "units": ("absolute", "standardised"),
    "window": ("global", "anchor"),
    "elimination": (0.5, 20.0),
    "cut_down": (0.5, 0.1),
    "threshold": (0.001, 0.001),
    "match_prior": (1e-4, 0.01),
    "min_right_pairs": (200, 200),
    "monotone": (False, True),
    "moments": ("per_epoch", "ema"),
    "same_image": ("negative", "mask"),
}
_OF_TRIPLETS = ("margin", "units", "window", "elimination", "cut_down", "threshold", "draw_seed")


@strict
class FNEConfig(NoisyITMConfig):
    """Fields of FNE. What is not given takes the official code's number with `variant = "released"`, else ours.

    Args:
        variant: "clip", or "released": the official code's statistics and its treatment of empty rows, too.
        loss: "triplet", or "infonce" (ours; it gained nothing over the control in our runs).
        queue_size: pairs in the queue. (Official code: 8,224.)
        twin_momentum: of the momentum encoder, in [0, 1). (0.995.)
        warmup_epochs: so many epochs train within the batch: on the hardest wrong answer, or by "infonce" on all. (1.)
        margin: of the triplet loss, and of the window in which negatives are drawn. (0.2.)
        units: of margin and cut-down: "absolute" cosines, or "standardised" by the spread of the similarities (ours).
        window: negatives are drawn above the mean of right pairs less the margin ("global"; official code), or above
            the anchor's own pair less the margin ("anchor"), where the hinge is not zero.
        elimination: how rarely suspected candidates are drawn, `exp(-elimination * posterior)`. (0.5.)
        cut_down: how rarely easy candidates are drawn, `exp(-cut_down * (s - s_own)^2)`. (0.5.)
        threshold: a candidate is suspected if its posterior is above this. (0.001.)
        match_prior: see `NoisyITMConfig`; likewise the next ones. (1 / 10,000.)
        min_right_pairs: see above. (200.)
        monotone: see above. (False.)
        moments: see above. ("per_epoch".)
        same_image: see above; captions of the own picture are never drawn, whatever it says, nor are they right
            answers of a triplet ("positive" is for "infonce"). ("negative".)
        draw_seed: of the draw.
    """

    model_type = "noisy_itm_fne"
    choices = (Choice("loss", lambda loss: loss == "infonce", dict.fromkeys(_OF_TRIPLETS, DEFAULT)), FADING)

    variant: Literal["clip", "released"] = "clip"
    loss: Literal["triplet", "infonce"] | None = None
    queue_size: int | None = None
    twin_momentum: float | None = None
    warmup_epochs: int | None = None
    margin: float | None = None
    units: Literal["absolute", "standardised"] | None = None
    window: Literal["global", "anchor"] | None = None
    elimination: float | None = None
    cut_down: float | None = None
    threshold: float | None = None
    match_prior: float | None = None
    min_right_pairs: int | None = None
    monotone: bool | None = None
    moments: Literal["per_epoch", "ema"] | None = None
    same_image: Literal["mask", "negative", "positive"] | None = None
    draw_seed: int = 0

    def __post_init__(self, **kwargs):
        for name in _NUMBERS:
            if getattr(self, name) is None:
                setattr(self, name, self.default_of(name, self.variant))
        super().__post_init__(**kwargs)

    @classmethod
    def default_of(cls, name: str, variant: str | None = None) -> Any:
        """The number of the variant, where it has one."""
        return _NUMBERS[name][variant != "released"] if name in _NUMBERS else super().default_of(name)

    def validate_fne(self):
        """Called by `@strict`."""
        if self.queue_size < 1 or self.warmup_epochs < 0:
            raise ValueError(
                f"queue_size must be at least 1 and warmup_epochs not negative, "
                f"got {self.queue_size} and {self.warmup_epochs}."
            )
        if not 0 <= self.twin_momentum < 1:
            raise ValueError(f"twin_momentum must be at least 0 and below 1, got {self.twin_momentum}.")
        for name in ("margin", "elimination", "cut_down"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}.")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is a probability, got {self.threshold}.")
        if self.same_image == "positive" and self.loss == "triplet":
            raise ValueError(
                "same_image='positive' does not go with loss='triplet', which has one right answer: "
                "give loss='infonce' too, or another same_image."
            )
        if self.negatives != "all":
            raise ValueError(
                "negatives='fne' lends FNE's posterior to other methods, and this one has it: leave it out."
            )
