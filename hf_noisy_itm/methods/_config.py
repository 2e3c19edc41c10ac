"""What a method declares: the fields that all share, and its paper."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from huggingface_hub.dataclasses import strict
from transformers import CLIPConfig
from transformers.utils import logging

from ..errors import InputError, did_you_mean
from ._choices import DEFAULT, Choice, settle
from ._published import unfolded

logger = logging.get_logger(__name__)

POSTERIOR = ("match_prior", "min_right_pairs", "monotone", "moments", "moments_kept")
FADING = Choice("moments", lambda moments: moments == "per_epoch", {"moments_kept": DEFAULT})

_TAKEN_BY_TRANSFORMERS = {  # `PreTrainedConfig` and `CLIPConfig` take these beside their declared fields
    "attn_implementation",
    "experts_implementation",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "text_config_dict",
    "torch_dtype",
    "vision_config_dict",
}


@strict
class NoisyITMConfig(CLIPConfig):
    """CLIP's config and what all methods share.

    Args:
        same_image: captions of one picture that meet in a batch are left out of each other's negatives ("mask"), are
            negatives ("negative", as in the released codes of NPC and FNE), or are right answers too ("positive").
        negatives: "all" wrong answers of a batch count alike, or each by the chance that it is wrong indeed, as FNE
            estimates it ("fne": a component for every method with a contrastive loss, ours). What follows is of that.
        match_prior: chance, before its similarity is seen, that a candidate is a right answer, in (0, 1). (Ours; FNE's
            code has 1 / 10,000, and compares with the hardest wrong answers, among which matches are far less rare.)
        min_right_pairs: so many right answers of the model must have been seen, since the statistics started, before
            any candidate is suspected; `right_pairs` of the log. (200: FNE's code.)
        monotone: a more similar candidate is never less suspicious. (Ours; false in FNE's code.)
        moments: statistics start anew "per_epoch" (FNE's code), or the past fades at each batch ("ema", ours).
        moments_kept: by "ema", what remains of the past at each batch, in (0, 1]. (Ours.)
        trust: "all" pairs alike, as far as the method does not weigh them, or each as a frozen scorer says ("osa"): a
            component for every method, whose weights it multiplies.
        trust_form: how the scorer's cosine becomes a weight, see `functional/trust.py`: by the "paper", as "released",
            or "monotone" (ours).

    Raises:
        InputError: an unknown field; the nearest is named. Unknown fields of a stored config are kept, as
            `transformers` does: checkpoints of any age load.
    """

    model_type = "noisy_itm"
    # Of `predict`: what is one number per batch among rows per pair, and what is for training alone.
    keys_to_ignore_at_inference = ["loss", "to_remember", "report", "negatives"]
    # Which fields of a method do not go together.
    choices: ClassVar[tuple[Choice, ...]] = (
        Choice("negatives", lambda negatives: negatives == "all", dict.fromkeys(POSTERIOR, DEFAULT)),
        FADING,
    )

    same_image: Literal["mask", "negative", "positive"] = "mask"
    negatives: Literal["all", "fne"] = "all"
    match_prior: float = 0.01
    min_right_pairs: int = 200
    monotone: bool = True
    moments: Literal["per_epoch", "ema"] = "ema"
    moments_kept: float = 0.99
    trust: Literal["all", "osa"] = "all"
    trust_form: Literal["paper", "released", "monotone"] = "monotone"

    def __post_init__(self, **kwargs):
        if not kwargs.pop("_is_stored", False):
            known = {field.name for field in dataclasses.fields(self)} | _TAKEN_BY_TRANSFORMERS
            for name in kwargs:
                if name not in known and not name.startswith("_"):
                    raise InputError(f"{type(self).__name__} has no field {name!r}{did_you_mean(name, known)}.")
        super().__post_init__(**kwargs)

    @classmethod
    def variants(cls) -> tuple[str, ...]:
        """What the field `variant` may be, where a method has one."""
        return get_args(getattr(cls.__dataclass_fields__.get("variant"), "type", None))

    @classmethod
    def default_of(cls, name: str, variant: str | None = None) -> Any:
        """What a field is where nobody says, by a variant, where the method has such."""
        return cls.__dataclass_fields__[name].default

    @property
    def method(self) -> dict[str, Any]:
        """The method, as `model_type`, and the fields that it has beside CLIP's."""
        own = [each.name for each in dataclasses.fields(self) if not hasattr(CLIPConfig, each.name)]
        return {"model_type": self.model_type} | {name: getattr(self, name) for name in own}

    @classmethod
    def settled(cls, *layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        """The fields that stay of those given in several places, see `settle`; a warning names each that does not."""
        given, left_out = settle(cls.choices, {each.name: each.default for each in dataclasses.fields(cls)}, layers)
        for sentence in left_out:
            logger.warning(sentence)
        return given

    def validate_choices(self):
        """Called by `@strict`."""
        variant = getattr(self, "variant", None)
        defaults = {each.name: self.default_of(each.name, variant) for each in dataclasses.fields(self)}
        for choice in self.choices:
            if choice.against(vars(self), defaults):
                raise ValueError(choice.refusal(vars(self), defaults))

    def validate_negatives(self):
        """Called by `@strict`."""
        if self.min_right_pairs < 0:
            raise ValueError(f"min_right_pairs must not be negative, got {self.min_right_pairs}.")
        if not 0 < self.match_prior < 1:
            raise ValueError(f"match_prior is a probability, got {self.match_prior}.")
        if not 0 < self.moments_kept <= 1:
            raise ValueError(f"moments_kept must be above 0 and at most 1, got {self.moments_kept}.")

    @classmethod
    def get_config_dict(cls, *args, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `PreTrainedConfig.get_config_dict`; of a published model as the method wrote it."""
        stored, rest = super().get_config_dict(*args, **kwargs)
        return unfolded(stored), rest

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Takes the dictionary of a plain CLIP, or of another method, too: its `model_type` does not stick.

        Fields of `kwargs` go before those of the dictionary, which give way where both do not go together. What is
        stored of a method's fields holds for that method and its `variant`, since most of it was nobody's choice:
        where either is given anew, the fields that are not given too start from its numbers.
        """
        config_dict = unfolded(config_dict)
        if "_variant" in kwargs:
            kwargs["variant"] = kwargs.pop("_variant")
        own = {field.name for field in dataclasses.fields(cls) if not hasattr(CLIPConfig, field.name)}
        given = {key: kwargs.pop(key) for key in own & kwargs.keys()}  # else set after defaults were worked out
        lapsed = {"model_type"} | (own if cls._is_another(config_dict, given) else set())
        stored = {key: value for key, value in config_dict.items() if key not in lapsed}
        if given:
            variant = stored.get("variant")
            kept = {key: stored.pop(key) for key in own & stored.keys()}
            kept = {key: value for key, value in kept.items() if value != cls.default_of(key, variant)}
            stored |= cls.settled(("in the stored config", kept), ("given", given))
        config = super().from_dict({**stored, "_is_stored": True}, **kwargs)
        (config[0] if isinstance(config, tuple) else config).validate()  # with kwargs, which are set afterwards
        return config

    @classmethod
    def _is_another(cls, stored: dict, given: dict) -> bool:
        """Whether a stored config is of another method or variant than what is given makes it."""
        if stored.get("model_type", cls.model_type) != cls.model_type:
            return True
        field = cls.__dataclass_fields__.get("variant")
        before = None if field is None else stored.get("variant", field.default)
        return given.get("variant", before) != before


@dataclass(frozen=True)
class Paper:
    """Where a method comes from; cards cite it."""

    title: str
    venue: str
    url: str
    bibtex: str
    caveat: str = ""  # a sentence on what of this package is not the paper's
