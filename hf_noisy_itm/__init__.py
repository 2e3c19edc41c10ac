"""Train image-text models on captions that are partly wrong."""

from .data import PairCollator, Pairs, Scenes, load_pairs
from .encode import encode
from .errors import InputError
from .functional.retrieval import recall
from .methods import (
    BaselineConfig,
    BaselineModel,
    CODERConfig,
    CODERModel,
    FNEConfig,
    FNEModel,
    MRLConfig,
    MRLModel,
    NoisyITMConfig,
    NoisyITMModel,
    NPCConfig,
    NPCModel,
    OSAConfig,
    OSAModel,
)
from .trainer import NoisyITMTrainer
from .training_arguments import NoisyITMArguments

__version__ = "0.1.0.dev0"

__all__ = [
    "BaselineConfig",
    "BaselineModel",
    "CODERConfig",
    "CODERModel",
    "FNEConfig",
    "FNEModel",
    "InputError",
    "MRLConfig",
    "MRLModel",
    "NPCConfig",
    "NPCModel",
    "NoisyITMArguments",
    "NoisyITMConfig",
    "NoisyITMModel",
    "NoisyITMTrainer",
    "OSAConfig",
    "OSAModel",
    "PairCollator",
    "Pairs",
    "Scenes",
    "encode",
    "load_pairs",
    "recall",
]
