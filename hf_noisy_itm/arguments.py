"""What a run is told: dataclasses, read from a YAML recipe first and from the command line over it."""

import dataclasses
import os
from argparse import SUPPRESS, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import get_type_hints

import torch
import yaml
from accelerate import PartialState
from transformers import CLIPConfig, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from .data import DataArguments
from .errors import InputError, did_you_mean
from .methods import NoisyITMConfig
from .parser import Parser, as_word, as_words, optional_number, refuse_unknown


@dataclass
class NoisyITMArguments(TrainingArguments):
    """`TrainingArguments` and what batches of pairs need beside them.

    Defaults that differ: `remove_unused_columns=False` and `dataloader_drop_last=True` (a smaller last batch has
    fewer negatives), `ddp_broadcast_buffers=False` (memory is the same on every process by construction),
    `ddp_find_unused_parameters=False` (methods use, or freeze, every parameter), `logging_nan_inf_filter=False` (a
    loss that is no number ends the training instead of being logged as another one), and the optimizer's
    constants, which are CLIP's (Radford et al. 2021, Table 18; learning rate: fine-tuning of ViT-B/32 in
    OSA's and CLIP_ITM's codes).
    """

    learning_rate: float = field(default=1e-5, metadata={"help": "Initial learning rate of AdamW."})
    adam_beta2: float = field(default=0.98, metadata={"help": "Decay of AdamW's squared gradients."})
    adam_epsilon: float = field(default=1e-6, metadata={"help": "Epsilon of AdamW."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off: rows are not columns here."})
    dataloader_drop_last: bool = field(default=True, metadata={"help": "Drop the last, smaller training batch."})
    ddp_broadcast_buffers: bool | None = field(default=False, metadata={"help": "Copy buffers of process 0."})
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "Look for unused parameters."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Log another loss where one is no number."})
    cache_pictures: int = field(
        default=0, metadata={"help": "Resized pictures to keep in memory, per worker (150 KB each at 224 pixels)."}
    )
    grad_cache_chunk: int = field(
        default=0,
        metadata={
            "help": "Pairs that pass the model at a time: batches of any size in the memory of one chunk, by one more "
            "forward pass (GradCache); 0 for all at once."
        },
    )
    lora_r: int = field(
        default=0,
        metadata={
            "help": "Rank of adapters beside the attention and MLP projections of CLIP, which is frozen then but for "
            "its temperature (LoRA, by peft); merged where the model is published. 0 trains CLIP itself."
        },
    )
    lora_alpha: float | None = field(
        default=None,
        metadata={"help": "The adapters' part is scaled by lora_alpha / lora_r; twice the rank if unset."},
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of what enters the adapters."})
    picture_cache: str | None = field(
        default=None,
        metadata={
            "help": "Folder in which to keep resized pictures for later epochs and runs (150 KB each at 224 pixels)."
        },
    )

    def __post_init__(self):
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched > 1 and not self.dataloader_drop_last:
            raise InputError(
                "In several processes a last, smaller batch would be filled up with pairs seen before: leave "
                "dataloader_drop_last on."
            )
        has_gpu = torch.accelerator.is_available()
        if not has_gpu:  # else accelerate gives every process a world of its own, and bf16 is refused
            if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true":  # which it has not on use_cpu
                self.ddp_backend = self.ddp_backend or "gloo"
            else:
                self.use_cpu = True
                if launched > 1:  # transformers hands the time-out on where there are GPUs only
                    PartialState(cpu=True, backend=self.ddp_backend, timeout=timedelta(seconds=self.ddp_timeout))
            if self.fp16:
                raise InputError(
                    "There is no GPU, and without one fp16 would change nothing, in silence: give --bf16 true, or "
                    "leave --fp16 out."
                )
        self.dataloader_pin_memory &= has_gpu
        super().__post_init__()
        unset_hf_deepspeed_config()  # models are loaded whole: ZeRO-3's loader cannot split CLIP's temperature
        self._check()
        if launched != self.world_size:
            raise InputError(
                f"The launcher started {launched} processes but accelerate sees {self.world_size}: start with "
                f"`accelerate launch --config_file` and one of accelerate_configs/."
            )
        if self.per_device_train_batch_size * self.world_size < 2:
            raise InputError("A batch of one pair has no negatives: give per_device_train_batch_size of 2 or more.")
        if self.n_gpu > 1:
            raise InputError(
                f"{self.n_gpu} GPUs but one process: start with `accelerate launch`, or show one GPU by "
                f"CUDA_VISIBLE_DEVICES (nn.DataParallel would lose what methods remember)."
            )

    def _check(self) -> None:
        for name, least in (
            ("learning_rate", 0),
            ("gradient_accumulation_steps", 1),
            ("per_device_eval_batch_size", 1),
            ("dataloader_num_workers", 0),
            ("cache_pictures", 0),
            ("grad_cache_chunk", 0),
            ("lora_r", 0),
        ):
            if not getattr(self, name) >= least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.max_steps <= 0 and not self.num_train_epochs > 0:
            raise InputError(
                f"Nothing to train: max_steps {self.max_steps}, num_train_epochs {self.num_train_epochs}."
            )
        if self.lora_alpha is not None and not self.lora_alpha > 0:
            raise InputError(f"lora_alpha must be above 0, got {self.lora_alpha}.")
        if not 0 <= self.lora_dropout < 1:
            raise InputError(f"lora_dropout must be at least 0 and below 1, got {self.lora_dropout}.")
        if not self.lora_r and (self.lora_alpha is not None or self.lora_dropout):
            raise InputError("lora_alpha and lora_dropout are of adapters, and there are none: give --lora_r too.")
        if self.hub_strategy in ("checkpoint", "all_checkpoints"):
            raise InputError(
                "Checkpoints are not pushed, the finished model is, with its figures: leave hub_strategy out, and use "
                "recipes/publish.py --with_training_state for what was remembered."
            )
        if os.path.isfile(self.output_dir):
            raise InputError(f"output_dir {self.output_dir} is a file; give a folder.")
        if self.dataloader_persistent_workers:
            raise InputError("dataloader_persistent_workers would keep an old memory bank; leave it off.")


@dataclass
class RunArguments:
    """Which model, trained by which method."""

    method: str = field(default="baseline", metadata={"help": "Name of a method: baseline, npc, …"})
    model: str = field(
        default="scenes-clip",
        metadata={"help": "'scenes-clip' (bundled), a folder, or a name on the Hub; of vectors 'none': a new one."},
    )
    bank: str | None = field(
        default=None,
        metadata={
            "help": "Memory bank of these training pairs, a file of recipes/build_bank.py: none is built before the "
            "first epoch, and the method's fields that say how count at a refresh only. A resumed checkpoint has its "
            "own."
        },
    )
    scorer: str | None = field(
        default=None,
        metadata={"help": "For --trust osa: the frozen CLIP that scores the training pairs; --model if unset."},
    )
    scorer_steps: int = field(
        default=0, metadata={"help": "Let the scorer train so many steps on the noisy pairs before it is frozen."}
    )
    score_cache: str | None = field(
        default=None, metadata={"help": "Folder in which scores are kept for later runs; one under HF_HOME if unset."}
    )

    report: bool = field(
        default=False,
        metadata={
            "help": "Leave a noise report of the training pairs in noise_report/ of output_dir: by the trained model "
            "and, where the method weighs pairs, their weights."
        },
    )

    def __post_init__(self):
        if self.scorer_steps < 0:
            raise InputError(f"scorer_steps must be at least 0, got {self.scorer_steps}.")


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe: everything that one training run needs to know."""

    run: RunArguments
    data: DataArguments
    training: NoisyITMArguments
    method: dict  # fields of the method's config that were given, and that go together
    extra: object | None = None  # what a script asked for beside these

    @property
    def name(self) -> str:
        """Of the method, as in `--method`."""
        return self.run.method


def parse_recipe(arguments: Sequence[str], defaults: dict | None = None, extra: type | None = None) -> Recipe:
    """Parses `[FILE.yaml] [--field value …]`; the command line wins over the file, the file over `defaults`.

    Where two fields of the method do not go together, the weaker does not count either, and a warning says so.

    Args:
        arguments: words of the command line.
        defaults: values of fields where neither file nor command line speak.
        extra: a dataclass of further fields that a script takes.

    Raises:
        InputError: no such file, an unknown field (the nearest known one is named), a value of the wrong kind, or two
            fields that were given in one place and do not go together.
    """
    arguments = list(arguments)
    given = dict(defaults or {})
    layers = [("in the script", given)]
    if arguments and not arguments[0].startswith("-"):
        path = Path(arguments.pop(0))
        content = _read_yaml(path)
        layers = [("in the script", {name: given[name] for name in given.keys() - content}), (f"in {path}", content)]
        given |= content
    config = config_class(_method_of(arguments, given))
    method = _as_dataclass(_config_fields(config))
    classes = (RunArguments, DataArguments, NoisyITMArguments, *([extra] if extra else []))
    options = (*classes, method)
    refuse_unknown(given, [f.name for cls in options for f in dataclasses.fields(cls) if f.init], "the recipe")
    may_be_none = {name for cls in options for name, kind in get_type_hints(cls).items() if optional_number(kind)}
    words = {where: as_words(fields, may_be_none) for where, fields in layers} | {"on the command line": arguments}
    values = Parser(options, allow_abbrev=False).values_of([word for layer in words.values() for word in layer])
    values["output_dir"] = values["output_dir"] or f"runs/{values['method']}"
    try:
        run, data, training, *more = (
            cls(**{f.name: values[f.name] for f in dataclasses.fields(cls) if f.init and f.name in values})
            for cls in classes
        )
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"The recipe does not hold together: {error}") from error
    parser = Parser(method, allow_abbrev=False, add_help=False)
    found = {where: vars(parser.parse_known_args(layer, Namespace())[0]) for where, layer in words.items()}
    chosen = [  # a list that was not given is None nevertheless
        (where, {name: value for name, value in fields.items() if value is not None or name in may_be_none})
        for where, fields in found.items()
    ]
    return Recipe(run, data, training, config.settled(*chosen), *more)


def config_class(method: str) -> type[NoisyITMConfig]:
    """The config of a method by its short name.

    Raises:
        InputError: there is no such method; the nearest is named.
    """
    names = {cls.model_type.removeprefix("noisy_itm_"): cls for cls in NoisyITMConfig.__subclasses__()}
    if method not in names:
        raise InputError(f"There is no method {method!r}{did_you_mean(method, names)}; there are {', '.join(names)}.")
    return names[method]


def _config_fields(config: type[NoisyITMConfig]) -> list[dataclasses.Field]:
    inherited = {f.name for f in dataclasses.fields(CLIPConfig)}
    return [f for f in dataclasses.fields(config) if f.name not in inherited and f.init]


def _as_dataclass(fields: list[dataclasses.Field]) -> type:
    """The method's own fields as options; what is not given is not there, so that a checkpoint's values are kept."""
    told = {f.name: {"help": f"Of the method; default {f.default!r}."} for f in fields}
    return dataclasses.make_dataclass(
        "MethodArguments",
        [(f.name, f.type, field(default=SUPPRESS, metadata=told[f.name])) for f in fields],
    )


def _read_yaml(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"There is no recipe {path}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold lines of `field: value`.")
    return content


def _method_of(arguments: list[str], given: dict) -> str:
    parser = Parser(RunArguments, allow_abbrev=False, add_help=False)
    words = [f"--method={as_word('method', given['method'])}"] if given.get("method") is not None else []
    return parser.parse_known_args([*words, *arguments], namespace=Namespace())[0].method
