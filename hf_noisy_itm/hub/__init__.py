"""Cards, and what is published with them: models of runs, noisy data sets, the metric's Space."""

from .cards import HYPERPARAMETERS, content_hash, escape, write_dataset_card, write_model_card
from .data_folder import damage_of
from .publishing import PublishArguments, parse_publish, publish, publish_run, reach, upload_dataset
from .results import on_hub
from .tokens import without_tokens
from .weights import weights_sha256

__all__ = [
    "HYPERPARAMETERS",
    "PublishArguments",
    "content_hash",
    "damage_of",
    "escape",
    "on_hub",
    "parse_publish",
    "publish",
    "publish_run",
    "reach",
    "upload_dataset",
    "weights_sha256",
    "without_tokens",
    "write_dataset_card",
    "write_model_card",
]
