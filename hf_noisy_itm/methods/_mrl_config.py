"""Fields of MRL: what each means, where its number is from, and which of them do not go together."""

from typing import Literal

from huggingface_hub.dataclasses import strict

from ..functional.categories import ContrastForm
from ._choices import DEFAULT, Choice
from ._config import NoisyITMConfig
from ._heads import is_name

_OF_PROXIES = ("clustering", "proxy_temperature", "start_proxies")
_OF_CONTRAST = ("contrast_temperature", "contrast_form")
_OF_HEADS = ("head_width", "embed_width")


@strict
class MRLConfig(NoisyITMConfig):
    """Fields of MRL; numbers with their sources.

    Args:
        class_names: of the K classes, in the order of the labels; recipes take them from the data. None only where
            `beta` is 0.
        feature_widths: widths of the vectors that stand for pictures and captions, by modality, two or more; recipes
            take them from the data. None: pictures and captions, embedded by CLIP.
        heads: "mlp", for each modality three layers with ReLU between them (paper); or "none" (ours), CLIP's
            embeddings as they are.
        head_width: of the two hidden layers. (4096: paper.)
        embed_width: L, of the common space. (512: official code.)
        train_clip: whether CLIP is trained too. (False: paper.)
        clustering: what pulls samples to proxies, "robust" (the method) or "cross_entropy" (its baseline).
        beta: weight of the clustering loss, in [0, 1]; the contrastive loss has the rest. (0.7: README's command for
            Wikipedia; the paper chooses on the validation set: good are 0.5 to 0.8 there, 0.85 to 0.95 with 100
            classes.)
        proxy_temperature: tau_1. (1: paper. For CLIP's embeddings as they are about 0.01 to 0.07.)
        contrast_temperature: tau_2. (1: paper.)
        contrast_form: see `functional.categories.multimodal_contrast`. ("code": official code.)
        start_proxies: from "orthogonal" rows (official code), or from the embeddings of "prompts" (ours), which
            heads="none" allows; `from_pretrained` embeds these.
        prompt: the text that stands for a class; `{}` is its name. (Radford et al. 2021, Sec. 3.1.4.)
    """

    model_type = "noisy_itm_mrl"
    choices = (
        *NoisyITMConfig.choices,
        Choice("beta", lambda beta: beta == 0, dict.fromkeys(_OF_PROXIES, DEFAULT)),
        Choice("beta", lambda beta: beta == 1, dict.fromkeys(_OF_CONTRAST, DEFAULT)),
        Choice("heads", lambda heads: heads == "none", dict.fromkeys(_OF_HEADS, DEFAULT) | {"train_clip": True}),
        Choice("start_proxies", lambda start: start == "prompts", {"heads": "none"}),
        Choice("start_proxies", lambda start: start == "orthogonal", {"prompt": DEFAULT}),
    )

    class_names: list[str] | None = None
    feature_widths: dict[str, int] | None = None
    heads: Literal["mlp", "none"] = "mlp"
    head_width: int = 4096
    embed_width: int = 512
    train_clip: bool = False
    clustering: Literal["robust", "cross_entropy"] = "robust"
    beta: float = 0.7
    proxy_temperature: float = 1.0
    contrast_temperature: float = 1.0
    contrast_form: ContrastForm = "code"
    start_proxies: Literal["orthogonal", "prompts"] = "orthogonal"
    prompt: str = "a photo of a {}."

    def validate_mrl(self):
        """Called by `@strict`."""
        if not 0 <= self.beta <= 1 or not self.proxy_temperature > 0 or not self.contrast_temperature > 0:
            raise ValueError(
                f"beta must be between 0 and 1 and temperatures above 0, got {self.beta}, {self.proxy_temperature} "
                f"and {self.contrast_temperature}."
            )
        if self.head_width < 1 or self.embed_width < 1:
            raise ValueError(f"Widths must be at least 1, got {self.head_width} and {self.embed_width}.")
        if self.class_names is not None and not 2 <= len(self.class_names) == len(set(self.class_names)):
            raise ValueError(f"There must be two different classes or more, got {self.class_names}.")
        if self.negatives != "all":
            raise ValueError(f"MRL counts all wrong answers alike: leave negatives={self.negatives!r} out.")
        if self.feature_widths is not None:
            self._validate_widths(self.feature_widths)
        if "{}" not in self.prompt:
            raise ValueError(f"A prompt names its class at {{}}, got {self.prompt!r}.")

    def to_dict(self) -> dict:
        """Without the towers, where there are none."""
        content = super().to_dict()
        towers = () if self.feature_widths is None else ("text_config", "vision_config")
        return {name: value for name, value in content.items() if name not in towers}

    def _validate_widths(self, widths: dict[str, int]) -> None:
        if len(widths) < 2 or min(widths.values()) < 1:
            raise ValueError(f"There must be vectors of two modalities or more, of width 1 or more, got {widths}.")
        if bad := [name for name in widths if not is_name(name)]:
            raise ValueError(f"A modality cannot be called {bad[0]!r}: give it another name.")
        if self.heads != "mlp" or self.train_clip:
            raise ValueError("Vectors need heads and have no CLIP: give heads='mlp' and train_clip=False.")
        if self.trust != "all":
            raise ValueError(f"Vectors are no pairs that a scorer knows: leave trust={self.trust!r} out.")
