"""Plain fine-tuning of CLIP: the control, and the template to copy.

Learning Transferable Visual Models From Natural Language Supervision (ICML 2021), https://arxiv.org/abs/2103.00020

The symmetric contrastive loss, every pair trusted. What a robust method gains is what it gains over this one at the
same learning rate, schedule and clipping.

Relations: NPC with all weights 1 and without its bank loss is this.
Differs from `CLIPModel(return_loss=True)`: negatives come from all processes, captions of the same picture are no
negatives (`same_image`), and the temperature is bounded.
"""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, AutoModel

from ._base import NoisyITMModel
from ._config import NoisyITMConfig, Paper


@strict
class BaselineConfig(NoisyITMConfig):
    """No fields of its own."""

    model_type = "noisy_itm_baseline"


class BaselineModel(NoisyITMModel):
    """CLIP as it is; see the module's text."""

    config_class = BaselineConfig
    paper = Paper(
        title="Learning Transferable Visual Models From Natural Language Supervision",
        venue="ICML 2021",
        url="https://arxiv.org/abs/2103.00020",
        bibtex="""@inproceedings{radford2021learning,
  title     = {Learning Transferable Visual Models From Natural Language Supervision},
  author    = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and Agarwal,
               Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and others},
  booktitle = {International Conference on Machine Learning},
  year      = {2021}
}""",
    )


AutoConfig.register(BaselineConfig.model_type, BaselineConfig)
AutoModel.register(BaselineConfig, BaselineModel)
