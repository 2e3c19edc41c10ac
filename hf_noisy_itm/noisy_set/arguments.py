"""What is told of a noisy data set that is to be made."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ..data import DataArguments
from ..data._folders import refuse_pattern
from ..errors import InputError
from ..functional.noise import KINDS, LABEL_KINDS
from ..parser import Parser, in_one_process

_KEEP_NONE = ("shuffle", "shuffle_images", "label_symmetric", "label_symmetric_by_row")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


@dataclass
class NoisySetArguments:
    """Which noise, and where to write."""

    output: str = field(metadata={"help": "Folder to make."})
    kind: str | None = field(
        default=None,
        metadata={"help": f"One of {', '.join((*KINDS, *LABEL_KINDS))}; partial knows English captions only."},
    )
    rate: float | None = field(
        default=None, metadata={"help": "Share of the training captions, or labels, to make wrong, 0 to 1."}
    )
    seed: int | None = field(default=None, metadata={"help": "Of the noise; 0 if unset."})
    keep_none: bool = field(
        default=False, metadata={"help": "For shuffles and symmetric labels: nothing that is picked stays as it is."}
    )
    k: int | None = field(
        default=None, metadata={"help": "For semantic: draw from so many nearest captions; 10 if unset."}
    )
    text_model: str | None = field(
        default=None, metadata={"help": "For semantic: a CLIP whose text tower says what is near; TF-IDF if unset."}
    )
    license: str | None = field(
        default=None, metadata={"help": "Of the pictures and captions, as the Hub names it: cc-by-4.0, for one."}
    )
    shard_mb: int = field(default=500, metadata={"help": "Begin another file after so many megabytes."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a noisy data set that is there already."})
    push_to_hub: str | None = field(
        default=None, metadata={"help": "Repository on the Hub to upload the folder to; made private if it is new."}
    )
    config_name: str | None = field(
        default=None, metadata={"help": "With push_to_hub: its name among several in that repository, which are kept."}
    )

    def __post_init__(self):
        for name, least in (("seed", 0), ("k", 1), ("shard_mb", 1)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        refuse_pattern(self.output, "--output")
        if self.config_name is not None and self.push_to_hub is None:
            raise InputError("config_name names what is pushed: give --push_to_hub too, or leave it out.")
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise InputError(
                f"license {self.license!r} is no identifier of the Hub, such as cc-by-4.0 or other: small letters, "
                f"digits, dots and hyphens."
            )
        if self.kind is not None and self.kind not in (*KINDS, *LABEL_KINDS):
            raise InputError(f"There is no kind {self.kind!r}; there are {', '.join((*KINDS, *LABEL_KINDS))}.")
        if self.rate is not None and not 0.0 <= self.rate <= 1.0:
            raise InputError(f"rate is a share between 0 and 1, got {self.rate}.")
        for name in ("text_model", "k"):
            if getattr(self, name) is not None and self.kind != "semantic":
                raise InputError(f"{name} is for --kind semantic; leave it out.")
        if self.keep_none and self.kind not in _KEEP_NONE:
            raise InputError(f"keep_none is for --kind {', '.join(_KEEP_NONE)}; leave it out.")


def parse_noisy_set(words: Sequence[str]) -> tuple[NoisySetArguments, DataArguments]:
    """Parses `--field value …`.

    Raises:
        InputError: an unknown field, a value of the wrong kind, or fields that contradict each other.
    """
    in_one_process("A noisy data set is made")
    classes = (NoisySetArguments, DataArguments)
    values = Parser(classes, allow_abbrev=False).values_of(words)
    args, data = (cls(**{f.name: values[f.name] for f in fields(cls)}) for cls in classes)
    for name in ("noise_rate", "noise_seed", "noise_kind", "noise_keep_none"):
        if getattr(data, name) != getattr(DataArguments(), name):
            raise InputError(f"{name} is for noise at training time: say --{name.removeprefix('noise_')} here.")
    for name in ("holdout_every", "holdout_by", "shuffle_buffer"):
        if getattr(data, name) != getattr(DataArguments(), name):
            raise InputError(f"No row is held out or shuffled here: leave {name} out.")
    unused = ["match_by", "noise_joint", "label_column", "feature_columns", "standardize", "test_split"]
    unused += ["caption_column", "image_id_column"] if args.kind in LABEL_KINDS else []
    for name in unused:
        if getattr(data, name) != getattr(DataArguments(), name):
            raise InputError(f"{name} does nothing for {args.kind or 'a noise_file'}: leave it out.")
    if data.noise_file and args.kind not in (None, "shuffle", "shuffle_images"):
        raise InputError(f"A noise_file moves captions, so it is not of the kind {args.kind}; leave --kind out.")
    if data.noise_file and (args.keep_none or data.streaming or args.seed is not None):
        raise InputError("A noise_file says of all captions where they go; leave keep_none, seed and streaming out.")
    if not data.noise_file and (args.kind is None or args.rate is None):
        raise InputError("Say which noise: --kind and --rate, or --noise_file for a published draw.")
    return args, data
