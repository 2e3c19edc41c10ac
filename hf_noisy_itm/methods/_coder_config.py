"""Fields of CODER: what each means, where its number is from, and which of them do not go together."""

import math
import operator
from typing import Literal

from huggingface_hub.dataclasses import strict

from ..memory.concepts import check_words
from ._choices import DEFAULT, Choice
from ._config import FADING, POSTERIOR, NoisyITMConfig

_AT_LEAST = {"queue_size": 1, "graph_layers": 0, "clusters": 2, "kappa": 0, "dictionary_weight": 0}
_AT_LEAST |= {"concept_weight": 0, "label_weight": 0, "cluster_temperature": 1e-6, "label_temperature": 1e-6}
_OF_DICTIONARIES = ("queue_size", "twin_momentum", "in_batch", "dictionary_weight")
_OF_LABELS = ("label_weight", "label_of", "clusters", "cluster_momentum", "cluster_temperature", "label_temperature")
_OF_FILE = ("concepts_sha256", "concepts_made_from", "concept_words")
_OF_CONCEPTS = ("concepts", *_OF_FILE, "graph_layers", "concept_weight", "instance_share", *_OF_LABELS)


@strict
class CODERConfig(NoisyITMConfig):
    """Fields of CODER; all numbers are ours, for none is known.

    Args:
        dictionaries: keys of a momentum encoder, of earlier pairs too, as wrong answers.
        queue_size: pairs in the dictionaries. (Of 512 and 4,096 the better on `scenes` and emoji, where 4,096 lost to
            the control: recipes/results/coder/tried. Longer trainings of more pairs were not measured.)
        twin_momentum: of the momentum encoder, in [0, 1).
        in_batch: what the batch's own pairs are compared with: each other's embeddings ("embeds": CLIP's loss, with
            the dictionaries in a second one beside it), or, in one loss with the dictionaries, each other's keys
            ("keys") or their own keys alone ("own": MoCo).
        dictionary_weight: by "embeds", of the second loss, >= 0.
        weighting: of wrong answers: all alike ("uniform"), by their standing among the anchor's others ("adaptive"),
            or by the chance that they are wrong, as FNE estimates it ("fne", see `NoisyITMConfig`).
        kappa: of "adaptive", >= 0: how much more harder ones count; 0 is uniform. (Of 0.25 and 1 the better on both;
            1 lost to the control on emoji, where 0 was better still. Likewise.)
        spread: of "adaptive", what the standing of a wrong answer is counted in: the deviation of its own anchor's
            ("anchor": odds of hard ones are alike for all anchors), or the mean of these deviations over the batch
            ("batch": they are sharper for anchors of diverse wrong answers).
        concepts: file of recipes/build_concepts.py, read when the model is made; checkpoints do not need it. Where
            neither it nor a checkpoint has concepts, there is no concept branch.
        concepts_sha256: of that file, by which a training is resumed with the concepts that it began with; not to be
            given, nor are
        concepts_made_from: its provenance, and
        concept_words: its words. A checkpoint has all three.
        concept_branch: whether to have that branch.
        graph_layers: of its graph network.
        concept_weight: of its contrast, beside 1 of the instance branch's, >= 0.
        pseudo_labels: whether the concept branch predicts the clusters of the instance branch.
        label_weight: of that loss, >= 0.
        label_of: whose cluster a picture or caption is to predict: its own ("same"), or that of the caption or picture
            beside it ("other").
        clusters: how many.
        cluster_momentum: what remains of a cluster's centre at each step, in [0, 1).
        cluster_temperature: of the assignment to clusters, in deviations of the cosines with their centres.
        label_temperature: of its prediction, in cosines.
        instance_share: of the instance branch in the similarity at test time, in [0, 1], until it is chosen on
            validation pairs (those of `eval_split`, where there is a `test_split` too), which a checkpoint keeps.
    """

    model_type = "noisy_itm_coder"
    choices = (
        Choice("weighting", lambda weighting: weighting != "fne", dict.fromkeys(POSTERIOR, DEFAULT)),
        Choice("weighting", lambda weighting: weighting != "adaptive", {"kappa": DEFAULT, "spread": DEFAULT}),
        Choice("dictionaries", operator.not_, dict.fromkeys(_OF_DICTIONARIES, DEFAULT)),
        Choice("in_batch", lambda in_batch: in_batch != "embeds", {"dictionary_weight": DEFAULT}),
        Choice("concept_branch", operator.not_, dict.fromkeys(_OF_CONCEPTS, DEFAULT)),
        Choice("pseudo_labels", operator.not_, dict.fromkeys(_OF_LABELS, DEFAULT)),
        FADING,
    )

    dictionaries: bool = True
    queue_size: int = 512
    twin_momentum: float = 0.95
    in_batch: Literal["embeds", "keys", "own"] = "embeds"
    dictionary_weight: float = 1.0
    weighting: Literal["uniform", "adaptive", "fne"] = "adaptive"
    kappa: float = 0.25
    spread: Literal["batch", "anchor"] = "batch"
    concepts: str | None = None
    concepts_sha256: str | None = None
    concepts_made_from: dict | None = None
    concept_words: list[str] | None = None
    concept_branch: bool = True
    graph_layers: int = 2
    concept_weight: float = 1.0
    pseudo_labels: bool = True
    label_weight: float = 0.1
    label_of: Literal["same", "other"] = "same"
    clusters: int = 64
    cluster_momentum: float = 0.9
    cluster_temperature: float = 0.2
    label_temperature: float = 0.1
    instance_share: float = 0.9

    def validate_coder(self):
        """Called by `@strict`."""
        for name, least in _AT_LEAST.items():
            if not least <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and at least {least}, got {getattr(self, name)}.")
        for name in ("twin_momentum", "cluster_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}.")
        if not 0 <= self.instance_share <= 1:
            raise ValueError(f"instance_share must be between 0 and 1, got {self.instance_share}.")
        if self.concept_words is not None:
            check_words(self.concept_words)
        if self.negatives != "all":
            raise ValueError(f"Here wrong answers are weighed by weighting={self.negatives!r}; leave negatives out.")

    def to_dict(self) -> dict:
        """Without the file, whose content is in the model."""
        return {name: value for name, value in super().to_dict().items() if name != "concepts"}
