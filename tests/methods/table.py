"""The one table of methods; a new method is a new row, and every test of the contract runs on it."""

from hf_noisy_itm.methods import (
    BaselineConfig,
    BaselineModel,
    FNEConfig,
    FNEModel,
    MRLConfig,
    MRLModel,
    NPCConfig,
    NPCModel,
    OSAConfig,
    OSAModel,
)

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
