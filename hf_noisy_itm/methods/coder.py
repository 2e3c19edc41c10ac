"""CODER: Coupled Diversity-Sensitive Momentum Contrastive Learning for Image-Text Retrieval (ECCV 2022),
https://arxiv.org/abs/2208.09843

Two branches see every picture and caption: the instance branch, which is CLIP, and a concept branch, which asks a
graph of concepts what there is to be seen. Both learn by contrast with dictionaries of a momentum encoder's
embeddings, in which every wrong answer is weighed by how it stands among the others of its anchor. The instance branch
sorts its embeddings into clusters of one size, and the concept branch is to predict which: so both mean the same.

Only the abstract of the paper is known to us; the formulae are this project's. So are all numbers.

Relations: without concepts and with `kappa = 0`, `in_batch = "own"`, this is momentum contrast (MoCo); without
dictionaries too, and with `in_batch = "embeds"`, it is `baseline`. FNE has the same dictionaries, and leaves out what
may be true; `weighting = "fne"` does so here. NPC and OSA weigh pairs, and this method wrong answers alone.
Known of CODER's relatives and taken from there: the shape of the graph network, its slope and the first sharpness of
the query (CVSE, by the same first author); both similarities in one product of joined rows (MKVSE).
Ours, for CLIP: the batch is contrasted as in CLIP's loss, and the dictionaries stand beside it; CLIP itself embeds the
concepts, so that the branch starts with what CLIP knows of them; clusters are balanced within a batch, and their
centres are fading means. What is published is the instance branch, a plain CLIP.
"""  # noqa: D205, D400, D415

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from ..errors import InputError
from ..exchange import Exchange
from ..functional.reduction import weighted_mean
from ..memory.bank import EncodedPairs
from ..memory.concepts import ConceptShares
from ..memory.queue import PairQueue
from ._base import NoisyITMModel
from ._batch import PairBatch, PairLosses
from ._coder_config import CODERConfig
from ._config import Paper
from ._contrast import Contrast, weighting_of
from ._coupled import Coupled
from ._negatives import Candidates, InBatch, match_moments, rows_of, told
from ._twin import Twin, twin_copies

logger = logging.get_logger(__name__)


class CODERModel(NoisyITMModel):
    """CLIP as the instance branch, its momentum twin and dictionaries, and a concept branch if there are concepts.

    What is published, and what `embed_images` and `embed_texts` return, is the instance branch alone. `views` makes of
    their rows what is compared at test time: both branches joined.
    """

    config_class = CODERConfig
    config: CODERConfig
    paper = Paper(
        title="CODER: Coupled Diversity-Sensitive Momentum Contrastive Learning for Image-Text Retrieval",
        venue="ECCV 2022",
        url="https://arxiv.org/abs/2208.09843",
        bibtex="""@inproceedings{wang2022coder,
  title     = {{CODER}: Coupled Diversity-Sensitive Momentum Contrastive Learning for Image-Text Retrieval},
  author    = {Wang, Haoran and He, Dongliang and Wu, Wenhao and Xia, Boyang and Yang, Min and Li, Fu and Yu, Yunlong
               and Ji, Zhong and Ding, Errui and Wang, Jingdong},
  booktitle = {European Conference on Computer Vision},
  year      = {2022}
}""",
        caveat="Of the paper the abstract alone was known: the formulae and their numbers are of this package.",
    )

    def _build(self, config: CODERConfig) -> None:
        self.twin = Twin(self.clip) if config.dictionaries else None
        self.queue = PairQueue(config.queue_size, config.projection_dim) if config.dictionaries else None
        if config.weighting == "fne":
            self.match_moments = match_moments(config)
        self.coupled = Coupled.of(config) if config.concept_branch else None

    def attach(self, exchange: Exchange, optimizer: torch.optim.Optimizer | None = None) -> None:
        """See `NoisyITMModel.attach`; the twin takes adapters over that were put into the towers since."""
        super().attach(exchange, optimizer)
        if self.twin is not None:
            self.twin.adopt(self.clip)

    @property
    def copies(self) -> dict[str, str]:
        """What starts as a copy, and follows."""
        return {} if self.twin is None else twin_copies

    @property
    def needs_validation(self) -> bool:
        """For the share of both similarities."""
        return self.coupled is not None

    @property
    def sources(self) -> dict[str, dict]:
        """The file of concepts: its hash, and what it says that it was made from."""
        sha256, made_from = self.config.concepts_sha256, self.config.concepts_made_from or {}
        return {} if sha256 is None else {"concepts": {"sha256": sha256, **made_from}}

    # -- reading ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def views(self, encoded: EncodedPairs) -> dict[str, EncodedPairs]:
        """The concept branch alone, and both by the weighted sum of their similarities ("fused")."""
        return {} if self.coupled is None else self.coupled.views(encoded)

    @torch.no_grad()
    def concepts(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        k: int = 5,
    ) -> list[list[tuple[str, float]]]:
        """The k strongest concepts (all, if there are fewer) of each picture or caption, with shares in [0, 1].

        Args:
            pixel_values: (B, C, H, W); or
            input_ids: (B, L), with
            attention_mask: of these.
            k: how many.

        Raises:
            InputError: the model has no concept branch, not one of pictures and captions is given, or k is no count.
        """
        if self.coupled is None:
            raise InputError("The model has no concepts: train it with a file of recipes/build_concepts.py.")
        if (pixel_values is None) == (input_ids is None):
            raise InputError("Give pictures or captions, and not both.")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"k is how many concepts to name, a whole number from 1 on, got {k!r}.")
        if not len(input_ids if pixel_values is None else pixel_values):
            return []  # CLIP embeds no empty batch
        if input_ids is None:
            found = self.concepts_of(self.embed_images(pixel_values), "image", k)
        else:
            found = self.concepts_of(self.embed_texts(input_ids, attention_mask), "text", k)
        return [found.of(row) for row in range(len(found))]

    @torch.no_grad()
    def concepts_of(self, embeds: Tensor, modality: str, k: int = 5) -> ConceptShares | None:
        """See `NoisyITMModel.concepts_of`."""
        return None if self.coupled is None else self.coupled.strongest(embeds, modality, k)

    def losses(self, batch: PairBatch, image_embeds: Tensor, text_embeds: Tensor) -> PairLosses:
        """Of each pair, in both branches; in evaluation CLIP's loss within the batch."""
        config, embeds = self.config, (image_embeds[: len(batch)], text_embeds[: len(batch)])
        if not self.training:
            return PairLosses(self.pair_losses(*embeds, batch.image_id))
        keys = (embeds[0].detach(), embeds[1].detach()) if self.twin is None else self.twin.embed(batch, self.chunk)
        seen = InBatch.of(*embeds, batch, self.exchange, config.same_image)
        candidates = Candidates.of(batch, seen, self.queue, self.exchange)
        how = config.weighting, config.kappa, config.spread
        weigh = weighting_of(*how, self.match_moments, seen, self.exchange)
        how = config.same_image, config.in_batch, config.dictionary_weight
        contrast = Contrast(candidates, *how, weigh, self.exchange)
        stored = None if self.queue is None else (self.queue.image_keys, self.queue.text_keys)
        per_pair, weights, _ = contrast.pair_losses(embeds, keys, stored, self.logit_scale)
        remembered = {**seen.to_remember, "image_keys": keys[0], "text_keys": keys[1]}
        remembered |= {"image_id": candidates.image_id, "row": rows_of(batch)}
        report = {} if self.match_moments is None else told({}, self.match_moments.read())
        if self.coupled is None:
            return PairLosses(per_pair, to_remember=remembered, report=report)
        report |= {"instance_loss": weighted_mean(per_pair)}
        weights = weights if config.weighting == "fne" else None  # FNE knows the instance branch's cosines alone
        concept, more, parts = self.coupled.losses(contrast, embeds, keys, stored, weights)
        return PairLosses(per_pair + concept, to_remember=remembered | more, report=report | parts)

    # -- writing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin_run(self, captions: str | None = None) -> None:
        """Refuses concepts of other captions, and starts anew.

        Raises:
            InputError: see above.
        """
        if self.coupled is not None:
            self.coupled.check(captions, self.clip)
        elif self.config.concept_branch:
            logger.warning("There is no concept branch: give --concepts, or say --concept_branch false.")
        super().begin_run(captions)

    @torch.no_grad()
    def remember(self, **to_remember: Tensor) -> None:
        """Writes the dictionaries, and moves the clusters."""
        super().remember(**to_remember)
        keys = to_remember["image_keys"], to_remember["text_keys"]
        if self.queue is not None:
            self.queue.push(*keys, to_remember["image_id"], to_remember["row"])
        if self.coupled is not None:
            self.coupled.remember(keys, (to_remember["image_descriptors"], to_remember["text_descriptors"]))

    @torch.no_grad()
    def step(self) -> None:
        """The twin follows."""
        super().step()
        if self.twin is not None:
            self.twin.follow(self.clip, self.config.twin_momentum)
        if self.coupled is not None:
            self.coupled.branch.clamp(self.exchange)

    @torch.no_grad()
    def choose(self, encoded: EncodedPairs) -> dict[str, float]:
        """The share of either branch at test time."""
        return {} if self.coupled is None else self.coupled.choose(encoded)


AutoConfig.register(CODERConfig.model_type, CODERConfig)
AutoModel.register(CODERConfig, CODERModel)
