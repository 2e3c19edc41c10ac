"""MRL: Learning Cross-Modal Retrieval with Noisy Labels (CVPR 2021).

Hu, Peng, Zhu, Zhen and Lin. Samples carry a class, which may be wrong, and an answer is right if the classes agree.
Every modality gets a head into one space; classes are unit rows there, proxies that all modalities share. A clustering
loss pulls samples to the proxy of their label by `log(1 - p)`, which follows a label the less the more unlikely the
model finds it, and a contrastive loss, which knows no labels, holds together what belongs to one sample.

Relations: the other methods doubt which caption belongs to which picture, MRL which class. With `beta = 0` it needs no
labels and is `baseline` with negatives of the own modality too, and a temperature that is not trained.
`clustering="cross_entropy"` with `beta=1` is plain classification, the control; with `beta=1` there is the clustering
loss alone, with `beta=0` the contrastive loss alone: the paper's ablation.
Differs from the official code: `log(1 - p)` in a form that is finite where p rounds to 1; the contrastive loss is of
the paper's scale for any number of modalities; proxies are parameters of the model, so a checkpoint has them, and they
are unit rows when the model is evaluated too; the learning rate is not one epoch late. `contrast_form="code"` leaves a
row's similarity with itself out, as that code does and the printed equation does not. Ours: CLIP in place of features
(`train_clip`), no heads at all (`heads="none"`), proxies that start from the names of the classes.
"""

from functools import partial

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from ..errors import InputError
from ..functional.categories import cross_entropy, multimodal_contrast, proxy_logits, robust_clustering
from ..functional.reduction import weighted_mean
from ..functional.similarity import normalize, same_image_mask
from ..memory.proxies import Proxies
from ._base import NoisyITMModel
from ._batch import PairBatch, PairLosses
from ._config import Paper
from ._heads import mlp_heads
from ._mrl_config import MRLConfig
from ._prompts import embed_prompts

_NO_LABELS = "MRL needs labels: name their column with --label_column (class_names in Python), or give --beta 0."
_CLUSTERING = {"robust": robust_clustering, "cross_entropy": cross_entropy}


class MRLModel(NoisyITMModel):
    """A head for each modality, on CLIP's or any features, and a proxy for each class.

    `embed_images` and `embed_texts` (of vectors: `embed_features`) give unit rows in the common space.
    """

    config_class = MRLConfig
    config: MRLConfig
    paper = Paper(
        title="Learning Cross-Modal Retrieval with Noisy Labels",
        venue="CVPR 2021",
        url="https://openaccess.thecvf.com/content/CVPR2021/html/"
        "Hu_Learning_Cross-Modal_Retrieval_With_Noisy_Labels_CVPR_2021_paper.html",
        bibtex="""@inproceedings{hu2021learning,
  title     = {Learning Cross-Modal Retrieval with Noisy Labels},
  author    = {Hu, Peng and Peng, Xi and Zhu, Hongyuan and Zhen, Liangli and Lin, Jie},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2021}
}""",
    )

    @classmethod
    def from_pretrained(cls, *args, output_loading_info: bool = False, **kwargs):
        """See `NoisyITMModel.from_pretrained`; prompts are embedded by CLIP and the tokenizer in the same place."""
        model, report = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        config = model.config
        if config.start_proxies == "prompts" and "proxies.weight" in report["missing_keys"]:
            prompts = [config.prompt.format(name) for name in config.class_names]
            model.proxies.take(embed_prompts(model, prompts, *args, **kwargs))
            model.fresh -= {"proxies.weight"}
        return (model, report) if output_loading_info else model

    def _build_towers(self, config: MRLConfig) -> None:
        if config.feature_widths is None:
            super()._build_towers(config)

    def _build(self, config: MRLConfig) -> None:
        widths = config.feature_widths or dict.fromkeys(("image", "text"), config.projection_dim)
        width = config.embed_width if config.heads == "mlp" else config.projection_dim
        self.heads = None
        if config.heads == "mlp":
            widths = {name: widths[name] for name in self.modalities}
            self.heads = mlp_heads(widths, config.head_width, width)
        self.proxies = None
        if config.beta > 0:
            if config.class_names is None:
                raise InputError(_NO_LABELS)
            self.proxies = Proxies(len(config.class_names), width)

    @property
    def frozen(self) -> tuple[str, ...]:
        """CLIP, or its temperature alone, which no loss here uses."""
        if self.config.feature_widths is not None:
            return ()
        return ("clip.logit_scale",) if self.config.train_clip else ("clip",)

    @property
    def embeds_by_clip_alone(self) -> bool:
        """Only without heads."""
        return self.heads is None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in the order in which `embed` returns them; a stored config has them sorted."""
        return tuple(sorted(self.config.feature_widths or ("image", "text")))

    # -- reading ------------------------------------------------------------------------------------------------------

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Embeds pictures, (B, C, H, W) -> unit rows (B, L)."""
        return self._in_common_space("image", self.image_features(pixel_values))

    def embed_texts(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embeds captions, (B, T) -> unit rows (B, L)."""
        return self._in_common_space("text", self.text_features(input_ids, attention_mask))

    def embed_features(self, name: str, features: Tensor) -> Tensor:
        """Embeds vectors of a modality, (B, D) -> unit rows (B, L)."""
        return self._in_common_space(name, features)

    def _in_common_space(self, name: str, features: Tensor) -> Tensor:
        return normalize(features if self.heads is None else self.heads[name](features))

    @property
    def embedders(self) -> dict:
        """See `NoisyITMModel.embedders`."""
        if self.config.feature_widths is None:
            return super().embedders
        return {name: partial(self.embed_features, name) for name in self.modalities}

    def embed(self, batch: PairBatch) -> tuple[Tensor, ...]:
        """See `NoisyITMModel.embed`; of vectors one matrix for each modality."""
        if self.config.feature_widths is None:
            return super().embed(batch)
        if batch.features is None:
            raise InputError("This model was made for vectors, and the data are pictures and captions.")
        return tuple(self.embed_features(name, batch.features[name]) for name in self.modalities)

    def losses(self, batch: PairBatch, *embeds: Tensor) -> PairLosses:
        """`beta L_r + (1 - beta) L_c` of each sample, its modalities added (Eq. 5, 7 and 8)."""
        beta, report = self.config.beta, {}
        embeds = torch.stack([each[: len(batch)] for each in embeds])  # (M, B, L)
        per_pair = embeds.new_zeros(len(batch), dtype=torch.float32)
        if beta > 0:
            clustering = self.clustering_losses(batch, embeds).sum(dim=0)
            per_pair, report["clustering"] = per_pair + beta * clustering, weighted_mean(clustering)
        if beta < 1:
            contrast = self.contrast_losses(batch, embeds).sum(dim=0)
            per_pair, report["contrast"] = per_pair + (1 - beta) * contrast, weighted_mean(contrast)
        return PairLosses(per_pair, report=report)

    def clustering_losses(self, batch: PairBatch, embeds: Tensor) -> Tensor:
        """Loss of each sample's label in each modality, (M, B, L) -> (M, B)."""
        if batch.category is None:
            raise InputError(_NO_LABELS)
        loss = _CLUSTERING[self.config.clustering]
        logits = (proxy_logits(each, self.proxies.weight, self.config.proxy_temperature) for each in embeds)
        return torch.stack([loss(each, batch.category[name]) for name, each in zip(self.modalities, logits)])

    def contrast_losses(self, batch: PairBatch, embeds: Tensor) -> Tensor:
        """Loss of finding each sample among those of all processes and modalities, (M, B, L) -> (M, B)."""
        own = self.exchange.own_rows(len(batch), embeds.device)
        every = self.exchange.gather(embeds.transpose(0, 1)).transpose(0, 1)  # rows are gathered, not modalities
        same = None
        if batch.image_id is not None:
            same = same_image_mask(batch.image_id, self.exchange.gather(batch.image_id), own)
        temperature, form = self.config.contrast_temperature, self.config.contrast_form
        return multimodal_contrast(embeds, every, own, temperature, form, same, self.config.same_image)

    # -- writing ------------------------------------------------------------------------------------------------------

    def embed_in_chunks(self, rows: int | None) -> None:
        """See `NoisyITMModel.embed_in_chunks`."""
        if self.config.feature_widths is not None and rows is not None:
            raise InputError("A model of vectors has no towers to pass in chunks: leave --grad_cache_chunk out.")
        super().embed_in_chunks(rows)

    def gradient_checkpointing_enable(self, *args, **kwargs) -> None:
        """See `PreTrainedModel.gradient_checkpointing_enable`.

        Raises:
            InputError: of vectors; heads are too small for it.
        """
        if self.config.feature_widths is not None:
            raise InputError("A model of vectors has no towers to checkpoint: leave --gradient_checkpointing out.")
        super().gradient_checkpointing_enable(*args, **kwargs)

    @torch.no_grad()
    def step(self) -> None:
        """Proxies become unit rows again."""
        if self.config.feature_widths is None:
            super().step()
        if self.proxies is not None:
            self.exchange.rewrite(self.proxies.weight, normalize)


AutoConfig.register(MRLConfig.model_type, MRLConfig)
AutoModel.register(MRLConfig, MRLModel)
