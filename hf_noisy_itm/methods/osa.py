"""OSA: One-step Noisy Label Mitigation (arXiv 2024), https://arxiv.org/abs/2410.01944

A frozen image-text model scores every training pair once, before the training. The cosine of its picture and caption,
measured against that of pairs of random partners, becomes the weight of the pair's loss in every epoch. No second
model is trained and no memory bank is built: it pays with one pass over the data, and trusts what the scorer knows.

Relations: with all weights 1 this is `baseline`, which at the same learning rate, schedule and clipping is its
control. NPC weighs by what the current model learns from a pair; OSA multiplies NPC's and FNE's weights as the field
`trust = "osa"` of theirs, and this method is that field and nothing else.
Differs from the paper in its default form of the weight, "monotone" (ours): the paper's falls again for the most
confident pairs and never exceeds 0.15, so that it also shortens the steps. The paper's is `trust_form = "paper"`. Of
the official code only the weight is offered (`trust_form = "released"`), which gives the most confident pair of every
batch the weight 0; its "noise" level, logits of random pixels with random words, is computed from our own draw of
these. The paper's domain adaptation, a short training of the scorer on the noisy pairs themselves, is `--scorer_steps`
of recipes/train.py.
"""  # noqa: D400, D415

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, AutoModel

from ._base import NoisyITMModel
from ._config import NoisyITMConfig, Paper


@strict
class OSAConfig(NoisyITMConfig):
    """No fields of its own: what others ask for by `trust` is on.

    Args:
        trust: "osa".
    """

    model_type = "noisy_itm_osa"

    trust: Literal["osa"] = "osa"


class OSAModel(NoisyITMModel):
    """CLIP whose pairs count as a frozen scorer trusts them."""

    config_class = OSAConfig
    config: OSAConfig
    paper = Paper(
        title="One-step Noisy Label Mitigation",
        venue="arXiv 2024",
        url="https://arxiv.org/abs/2410.01944",
        bibtex="""@article{li2024onestep,
  title   = {One-step Noisy Label Mitigation},
  author  = {Li, Hao and Gu, Jiayang and Song, Jingkuan and Zhang, An and Gao, Lianli},
  journal = {arXiv preprint arXiv:2410.01944},
  year    = {2024}
}""",
    )


AutoConfig.register(OSAConfig.model_type, OSAConfig)
AutoModel.register(OSAConfig, OSAModel)
