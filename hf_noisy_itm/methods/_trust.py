"""How much others trust each pair, whatever the method thinks of it.

By the data's own word, where they have a column of weights, and by a frozen scorer: that is what all methods share of
OSA, see `osa.py` for the method.
"""

import torch
from torch import Tensor

from ..errors import InputError
from ..exchange import Exchange
from ..functional.trust import trust_as_released, trust_monotone, trust_of_paper
from ._batch import PairBatch
from ._config import NoisyITMConfig


@torch.no_grad()
def trust_in(batch: PairBatch, config: NoisyITMConfig, exchange: Exchange) -> Tensor | None:
    """Weight of each local pair by what the batch knows from others, (B,) in [0, 1]; None where nobody is asked.

    Raises:
        InputError: the config asks for a scorer, and the batch knows of none.
    """
    by_data = (batch.scores or {}).get("data_weight")
    if config.trust == "all":
        return by_data
    by_scorer = _by_scorer(batch.scores or {}, config, exchange)
    return by_scorer if by_data is None else by_data * by_scorer


def _by_scorer(known: dict[str, Tensor], config: NoisyITMConfig, exchange: Exchange) -> Tensor:
    if "scorer_cosine" not in known:
        raise InputError(
            "trust='osa' weighs pairs by a scorer's cosines, and this batch has none: train with NoisyITMTrainer, or "
            "hand `forward` the scores of its pairs (TrustScores.of)."
        )
    cosine, wrong = known["scorer_cosine"].float(), known["scorer_wrong"].float()
    if config.trust_form == "paper":
        return trust_of_paper(cosine, wrong)
    if config.trust_form == "monotone":
        return trust_monotone(cosine, wrong, known["scorer_confident"].float())
    excess = ((cosine - known["scorer_noise"]) * known["scorer_logit_scale"]).float().clamp(min=0)
    return trust_as_released(excess, exchange.gather(excess).max())
