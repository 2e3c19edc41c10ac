"""The one table of methods; a new method is a new row, and every test of the contract runs on it."""

import os
from pathlib import Path

import torch

from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.concepts import Concepts
from hf_noisy_itm.methods import (
    BaselineConfig,
    BaselineModel,
    CODERConfig,
    CODERModel,
    FNEConfig,
    FNEModel,
    MRLConfig,
    MRLModel,
    NPCConfig,
    NPCModel,
    OSAConfig,
    OSAModel,
)


def concepts(count: int = 9, width: int = 32, **provenance) -> Concepts:
    """Words, each tied to the next, and random vectors of the width of the tests' CLIP."""
    generator = torch.Generator().manual_seed(0)
    links = torch.zeros(count, count)
    for word in range(count - 1):
        links[word, word + 1] = links[word + 1, word] = 0.1 + 0.05 * word
    vectors = normalize(torch.randn(count, width, generator=generator))
    return Concepts([f"word{number}" for number in range(count)], links, vectors, provenance)


CONCEPTS = Path(os.environ["HF_HOME"]) / f"concepts-{os.getpid()}.safetensors"  # goes with the session
concepts().save(CONCEPTS)
COUPLED = {"clusters": 6, "concepts": str(CONCEPTS)}
CODER = {"queue_size": 40, **COUPLED}

_CLASSES = {"class_names": ["red", "green", "blue"]}  # of the tests' pairs

# name -> class, config, and fields that suit the tests' 120 pairs
METHODS = {
    "baseline": (BaselineModel, BaselineConfig, {}),
    "npc": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "bank_refresh_epochs": 1}),
    "npc-pair": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "virtual_step": "pair", "bank_share": 0.5}),
    "npc-blocks": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "virtual_blocks": 0, "impact_every": 2}),
    "npc-sgd": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "virtual_optimizer": "sgd"}),
    "npc-released": (
        NPCModel,
        NPCConfig,
        {
            "clean_threshold": 0.5,
            "variant": "released",
            "same_image": "negative",
            "virtual_optimizer": "adamw_own_state",
        },
    ),
    "baseline-fne": (BaselineModel, BaselineConfig, {"negatives": "fne", "min_right_pairs": 4}),
    "npc-fne": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "negatives": "fne", "min_right_pairs": 4}),
    "fne": (FNEModel, FNEConfig, {"queue_size": 40, "min_right_pairs": 4}),
    "fne-infonce": (FNEModel, FNEConfig, {"loss": "infonce", "queue_size": 40, "min_right_pairs": 4}),
    "fne-released": (FNEModel, FNEConfig, {"variant": "released", "queue_size": 40, "min_right_pairs": 4}),
    "coder": (CODERModel, CODERConfig, CODER),
    "coder-keys": (CODERModel, CODERConfig, {"queue_size": 40, "in_batch": "keys", "kappa": 0.5}),
    "coder-fne": (CODERModel, CODERConfig, {**CODER, "weighting": "fne", "min_right_pairs": 4, "label_of": "other"}),
    "coder-batch": (CODERModel, CODERConfig, {**COUPLED, "dictionaries": False, "weighting": "uniform"}),
    "osa": (OSAModel, OSAConfig, {}),
    "osa-paper": (OSAModel, OSAConfig, {"trust_form": "paper"}),
    "osa-released": (OSAModel, OSAConfig, {"trust_form": "released"}),
    "npc-osa": (NPCModel, NPCConfig, {"clean_threshold": 0.5, "trust": "osa", "impact_every": 2}),
    "fne-osa": (FNEModel, FNEConfig, {"queue_size": 40, "min_right_pairs": 4, "trust": "osa"}),
    "mrl": (MRLModel, MRLConfig, {**_CLASSES, "head_width": 24, "embed_width": 16}),
    "mrl-trained": (MRLModel, MRLConfig, {**_CLASSES, "head_width": 24, "embed_width": 16, "train_clip": True}),
    "mrl-clip": (
        MRLModel,
        MRLConfig,
        {
            **_CLASSES,
            "heads": "none",
            "train_clip": True,
            "proxy_temperature": 0.05,
            "contrast_temperature": 0.05,
            "beta": 0.3,
        },
    ),
    "mrl-contrast": (
        MRLModel,
        MRLConfig,
        {"beta": 0.0, "head_width": 24, "embed_width": 16, "same_image": "positive", "contrast_form": "paper"},
    ),
}
