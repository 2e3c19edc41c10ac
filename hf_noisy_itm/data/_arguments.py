"""What is told of the data."""

from dataclasses import dataclass, field
from typing import Literal

from ..errors import InputError


@dataclass
class DataArguments:
    """Which pairs to train and evaluate on."""

    dataset: str = field(
        default="scenes",
        metadata={
            "help": "'scenes'; 'flickr30k', 'mscoco', 'cc120k', 'emoji', 'wikipedia' (labels) with data_dir; a file "
            "(.parquet, .csv, .tsv, .jsonl, WebDataset's .tar) or a pattern of them; a folder (ImageFolder, "
            "save_to_disk, shards); or a name on the Hub."
        },
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration, e.g. 'street' of scenes."})
    data_dir: str | None = field(
        default=None,
        metadata={
            "aliases": ["--data"],
            "help": "Folder of your copy of a named data set, e.g. of flickr30k.",
        },
    )
    image_root: str | None = field(
        default=None, metadata={"help": "Folder that picture paths start from and may not leave; the file's if unset."}
    )
    image_column: str = field(default="image", metadata={"help": "Column of pictures, or of paths to them."})
    caption_column: str | None = field(
        default=None,
        metadata={
            "help": "Column of captions, each a string or a list; the first of captions, caption, text if unset."
        },
    )
    image_id_column: str = field(
        default="image_id", metadata={"help": "Column whose equal values are the same picture; optional."}
    )
    weight_column: str | None = field(
        default=None,
        metadata={"help": "Column of the training rows: how much each pair counts, 0 to 1; all alike if unset."},
    )
    label_column: str | None = field(
        default=None,
        metadata={
            "help": "Column of class labels, for methods and figures of categories; or a column for each modality, "
            "with commas between them: the picture's, the caption's."
        },
    )
    feature_columns: str | None = field(
        default=None,
        metadata={
            "help": "Columns of vectors instead of pictures and captions, one for each modality, with commas between "
            "them; needs a label_column. A column NAME_features is the modality NAME."
        },
    )
    standardize: bool = field(
        default=True,
        metadata={"help": "Vectors: less the mean of the training rows, over their deviation, number by number."},
    )
    where: str | None = field(default=None, metadata={"help": "Keep rows of one value: column=value."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    eval_split: str | None = field(
        default=None, metadata={"help": "Split to evaluate on; test, validation, or held-out rows if unset."}
    )
    test_split: str | None = field(
        default=None,
        metadata={
            "help": "Split to report on once, after training; eval_split then is for choosing a model. none: no such.",
            "or_none": True,  # a recipe may name one
        },
    )
    holdout_every: int = field(
        default=10, metadata={"help": "Without a split to evaluate on, every n-th picture is held out."}
    )
    holdout_offset: int = field(
        default=0,
        metadata={"help": "Hold out those that come so many before the n-th instead, to choose on, below n."},
    )
    holdout_by: str | None = field(
        default=None, metadata={"help": "Hold out every n-th of the sorted values of this column instead."}
    )
    match_by: str | None = field(
        default=None,
        metadata={
            "help": "Column of the training rows whose equal values mean that a caption of one picture fits the other "
            "too; for figures about negatives alone. Of scenes it is known."
        },
    )
    max_train_pictures: int | None = field(
        default=None, metadata={"help": "Train on the first so many rows of pictures."}
    )
    max_eval_pictures: int | None = field(
        default=None, metadata={"help": "Evaluate on the first so many rows of pictures."}
    )
    noise_rate: float | None = field(
        default=None, metadata={"help": "Share of the training captions to make wrong, 0 to 1; for experiments."}
    )
    noise_seed: int = field(default=0, metadata={"help": "Of the noise; apart from the training seed."})
    noise_kind: str = field(
        default="shuffle",
        metadata={
            "help": "How: shuffle (captions one by one), shuffle_images (all captions of a picture together), partial "
            "(a wrong detail; English only), truncated, duplicated (clutter of the web), semantic (a near caption, by "
            "the words they share); of labels, label_symmetric, label_asymmetric, label_symmetric_by_row."
        },
    )
    noise_keep_none: bool = field(
        default=False,
        metadata={
            "help": "No caption that is picked to be shuffled stays with its picture; no label that is picked stays."
        },
    )
    noise_joint: bool = field(
        default=False, metadata={"help": "Label noise: one draw for all modalities of a row, not one for each."}
    )
    noise_file: str | None = field(
        default=None,
        metadata={
            "help": "A published draw over all training captions instead, .npy or NPC's "
            "{ratio}_noise_train_caps.txt; noise_rate then is a check."
        },
    )
    streaming: bool = field(
        default=False,
        metadata={"help": "Read training pairs while training, never all of them; needs max_steps. For the baseline."},
    )
    shuffle_buffer: int = field(default=1000, metadata={"help": "Rows of a stream among which is shuffled; 1: none."})
    on_bad_row: Literal["stop", "skip"] = field(
        default="stop",
        metadata={
            "help": "A picture that is missing or does not decode, an empty caption: stop and name the row, or decode "
            "all pictures once before training and leave such rows out."
        },
    )

    def __post_init__(self):
        for name in ("max_train_pictures", "max_eval_pictures"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}.")
