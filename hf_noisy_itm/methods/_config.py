"""What a method declares: the fields that all share, and its paper."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import CLIPConfig

from ..errors import InputError, did_you_mean

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

    Raises:
        InputError: an unknown field; the nearest is named. Unknown fields of a stored config are kept, as
            `transformers` does: checkpoints of any age load.
    """

    model_type = "noisy_itm"
    keys_to_ignore_at_inference = ["loss"]  # of `predict`: one number per batch among rows per pair

    same_image: Literal["mask", "negative", "positive"] = "mask"

    def __post_init__(self, **kwargs):
        if not kwargs.pop("_is_stored", False):
            known = {field.name for field in dataclasses.fields(self)} | _TAKEN_BY_TRANSFORMERS
            for name in kwargs:
                if name not in known and not name.startswith("_"):
                    raise InputError(f"{type(self).__name__} has no field {name!r}{did_you_mean(name, known)}.")
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Takes a plain CLIP's dictionary too: its `model_type` does not stick to the method's config."""
        stored = {key: value for key, value in config_dict.items() if key != "model_type"}
        config = super().from_dict({**stored, "_is_stored": True}, **kwargs)
        (config[0] if isinstance(config, tuple) else config).validate()  # with kwargs, which are set afterwards
        return config


@dataclass(frozen=True)
class Paper:
    """Where a method comes from; cards cite it."""

    title: str
    venue: str
    url: str
    bibtex: str
