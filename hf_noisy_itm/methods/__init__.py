"""One paper, one file. Importing this package registers every method with `AutoConfig` and `AutoModel`."""

from ._base import NoisyITMModel
from ._batch import NoisyITMOutput
from ._config import NoisyITMConfig
from ._published import folded, unfolded
from .baseline import BaselineConfig, BaselineModel
from .coder import CODERConfig, CODERModel
from .fne import FNEConfig, FNEModel
from .mrl import MRLConfig, MRLModel
from .npc import NPCConfig, NPCModel
from .osa import OSAConfig, OSAModel

__all__ = [
    "BaselineConfig",
    "BaselineModel",
    "CODERConfig",
    "CODERModel",
    "FNEConfig",
    "FNEModel",
    "MRLConfig",
    "MRLModel",
    "NPCConfig",
    "NPCModel",
    "NoisyITMConfig",
    "NoisyITMModel",
    "NoisyITMOutput",
    "OSAConfig",
    "OSAModel",
    "folded",
    "unfolded",
]
