"""The concept branch beside the instance branch: what it learns, the clusters it tells, and both at test time.

Part of CODER, of which only the abstract is known to us; the formulae are this project's.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import CLIPModel
from transformers.utils import logging

from ..errors import InputError
from ..exchange import Exchange
from ..files import sha256_of_file
from ..functional.assignment import prediction_losses
from ..functional.reduction import weighted_mean
from ..functional.similarity import inner_products
from ..memory.bank import EncodedPairs
from ..memory.concepts import ConceptGraph, Concepts, ConceptShares
from ..memory.prototypes import Prototypes
from ..memory.scores import weights_sha256
from ._concept_branch import ConceptBranch
from ._config import NoisyITMConfig
from ._contrast import Both, Contrast
from ._fusion import best_share, join

logger = logging.get_logger(__name__)
_ROWS = 4096  # whose shares of all concepts are in memory at once


class Coupled(nn.Module):
    """Everything that a model has for its concepts.

    Args:
        config: of CODER.
        graph: the concepts.
    """

    def __init__(self, config: NoisyITMConfig, graph: ConceptGraph):
        super().__init__()
        self.config, width = config, config.projection_dim
        self.graph, self.branch = graph, ConceptBranch(width, config.graph_layers)
        self.prototypes = None
        if config.pseudo_labels:
            self.prototypes = Prototypes(config.clusters, width, config.cluster_momentum, config.cluster_temperature)

    @classmethod
    def of(cls, config: NoisyITMConfig) -> "Coupled | None":
        """By the concepts of a file or a checkpoint, whose words and provenance the config then has; None without.

        Raises:
            InputError: the file is of another width, or of other concepts than the checkpoint.
        """
        given = Concepts.read(config.concepts) if config.concepts else None
        if given is not None:
            if given.vectors.shape[1] != config.projection_dim:
                raise InputError(
                    f"{config.concepts} holds concepts of width {given.vectors.shape[1]}, and this CLIP embeds in "
                    f"{config.projection_dim}: build it again with this model."
                )
            sha256 = sha256_of_file(config.concepts)
            if config.concepts_sha256 not in (None, sha256) or config.concept_words not in (None, given.words):
                raise InputError(
                    f"{config.concepts} holds other concepts than the model was trained with: leave it out."
                )
            config.concept_words = given.words
            config.concepts_sha256, config.concepts_made_from = sha256, given.provenance
        if config.concept_words is None:
            return None
        return cls(config, ConceptGraph(len(config.concept_words), config.projection_dim, given))

    def check(self, captions: str | None, clip: CLIPModel) -> None:
        """Refuses concepts of a file that were not made for a training, and warns where another CLIP embedded them.

        Args:
            captions: hash of the captions to train on, if it is known.
            clip: what training starts from.

        Raises:
            InputError: the file is of other captions, or there was none, and no checkpoint, but words alone.
        """
        if not self.graph.vectors.any():
            raise InputError(
                "concept_words alone are no concepts: give --concepts, a file of recipes/build_concepts.py."
            )
        made_from = (self.config.concepts and self.config.concepts_made_from) or {}  # a checkpoint's may go elsewhere
        own = made_from.get("captions")
        if own is not None and captions not in (None, own):
            raise InputError(
                f"{self.config.concepts} holds concepts of other captions (fingerprint {own}; these have {captions}): "
                f"build it again for this data."
            )
        scorer = made_from.get("scorer", {}).get("weights_sha256")
        if scorer is not None and scorer != weights_sha256(clip):
            logger.warning(f"{self.config.concepts} is of another CLIP than training starts from: build it again.")

    # -- reading ------------------------------------------------------------------------------------------------------

    def describe(self, encoded: EncodedPairs) -> EncodedPairs:
        """Descriptors in place of CLIP's embeddings."""
        basis = self.branch.basis(self.graph)
        images, texts = self._descriptors((encoded.image_embeds, encoded.text_embeds), basis)
        return replace(encoded, image_embeds=images, text_embeds=texts)

    def views(self, encoded: EncodedPairs) -> dict[str, EncodedPairs]:
        """Of CLIP's embeddings: the concept branch alone, and both joined, whose cosine is the weighted sum."""
        concept = self.describe(encoded)
        share = self.config.instance_share
        images = join(encoded.image_embeds, concept.image_embeds, share)
        texts = join(encoded.text_embeds, concept.text_embeds, share)
        return {"fused": replace(encoded, image_embeds=images, text_embeds=texts), "concept": concept}

    def strongest(self, embeds: Tensor, modality: str, k: int) -> ConceptShares:
        """The k strongest concepts (all, if there are fewer) of unit rows of a modality, (B, D); on the CPU."""
        words, basis = self.config.concept_words, self.branch.basis(self.graph)
        parts = [
            self.branch.shares(rows, modality, basis).topk(min(k, len(words)), dim=1)
            for rows in embeds.to(basis.device).split(_ROWS)
        ]
        places, shares = (torch.cat([part[way].cpu() for part in parts]) for way in (1, 0))
        return ConceptShares(words, places, shares)

    def losses(
        self, contrast: Contrast, embeds: Both, keys: Both, stored: Both | None, log_weights: list[Both] | None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """What this branch adds to the loss of each pair, (B,), what is to be remembered of it, and to be logged.

        The dictionaries of this branch are what it makes, here and now and without gradient, of those of the instance
        branch: its keys are of the momentum encoder in the towers, and of today in the branch. Queues of its own would
        be of a branch that was, and right and wrong could be told by age alone.

        Args:
            contrast: what the pairs are told apart from.
            embeds: unit rows of the instance branch, (B, D) each.
            keys: those of its twin, or the same without gradient.
            stored: its dictionaries, (K, D) each; None without.
            log_weights: see `Contrast.pair_losses`.
        """
        basis = self.branch.basis(self.graph)
        descriptors = self._descriptors(embeds, basis)
        with torch.no_grad():
            own_keys = self._descriptors(keys, basis)
            stored = None if stored is None else self._descriptors(stored, basis)
        scale = self.branch.logit_scale
        concept, *_ = contrast.pair_losses(descriptors, own_keys, stored, scale, log_weights)
        per_pair, report = self.config.concept_weight * concept, {"concept_loss": weighted_mean(concept)}
        if self.prototypes is not None:
            labels = self._label_losses(descriptors, keys, contrast.exchange)
            per_pair = per_pair + self.config.label_weight * labels
            report["label_loss"] = weighted_mean(labels)
        remembered = {"image_descriptors": own_keys[0], "text_descriptors": own_keys[1]}
        return per_pair, remembered, report

    def _descriptors(self, embeds: Both, basis: Tensor) -> Both:
        return self.branch(embeds[0], "image", basis), self.branch(embeds[1], "text", basis)

    def _label_losses(self, descriptors: Both, keys: Both, exchange: Exchange) -> Tensor:
        """The mean of both modalities' losses of predicting clusters, (B,); 0 until there are clusters."""
        own = exchange.own_rows(len(keys[0]), keys[0].device)
        labels = [self.prototypes.assign(exchange.gather(each))[own] for each in keys]
        if self.config.label_of == "other":
            labels.reverse()
        centres, temperature = self.prototypes.other_centres, self.config.label_temperature
        losses = [
            prediction_losses(inner_products(rows, centres) / temperature, label)
            for rows, label in zip(descriptors, labels)
        ]
        return (losses[0] + losses[1]) / 2 * self.prototypes.are_there

    # -- writing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def remember(self, keys: Both, descriptors: Both) -> None:
        """Moves the clusters; rows of all processes."""
        if self.prototypes is not None:
            self.prototypes.update(keys, descriptors)

    def choose(self, encoded: EncodedPairs) -> dict[str, float]:
        """Settles the share of either branch at test time, in the config, by validation pairs as CLIP embeds them."""
        self.config.instance_share, tried = best_share(encoded, self.describe(encoded))
        return {"instance_share": self.config.instance_share, **tried}
