"""How a run trains: `TrainingArguments` that fit batches of pairs, and what would go wrong in silence, refused."""

import os
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from transformers import TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import is_torch_bf16_gpu_available

from .errors import InputError


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
    skip_bad_batches: bool = field(
        default=False,
        metadata={
            "help": "Leave batches out whose loss or gradient is no number, and name their pairs; looks at all "
            "gradients in each step. Else the training ends."
        },
    )
    picture_cache: str | None = field(
        default=None,
        metadata={
            "help": "Folder in which to keep resized pictures for later epochs and runs (150 KB each at 224 pixels)."
        },
    )

    def __post_init__(self):
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        self._take_from_launcher(launched)
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

    def _take_from_launcher(self, launched: int) -> None:
        """Precision, device and time-out, which accelerate and transformers would each settle in their own way."""
        launched_in = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        if launched_in in ("bf16", "fp16") and not (self.bf16 or self.fp16):
            setattr(self, launched_in, True)  # DeepSpeed would find the launcher's file and these at odds
        for engine in ("deepspeed", "fsdp"):
            if getattr(self, engine):
                raise InputError(
                    f"Engines are accelerate's here: instead of --{engine}, start with `accelerate launch "
                    f"--config_file` and one of accelerate_configs/, of which deepspeed_config_file may name a JSON."
                )
        on_cpu = self.use_cpu or parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
        if on_cpu:  # else accelerate gives every process a world of its own, and bf16 is refused
            if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):  # which it has not on use_cpu
                self.ddp_backend = self.ddp_backend or "gloo"
                if self.bf16 and not is_torch_bf16_gpu_available():
                    raise InputError(
                        "DeepSpeed trains in float32 on CPUs: give --mixed_precision no to accelerate launch, and "
                        "leave bf16 out."
                    )
            else:
                self.use_cpu = True
                if launched > 1:  # transformers hands the time-out on where there are GPUs only
                    PartialState(cpu=True, backend=self.ddp_backend, timeout=timedelta(seconds=self.ddp_timeout))
            if self.fp16:
                raise InputError(
                    "This run is on CPUs, where fp16 would change nothing, in silence: give --bf16 true, or leave "
                    "fp16 out."
                )
        self.dataloader_pin_memory &= not on_cpu

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
        if self.skip_bad_batches and self.fp16:
            raise InputError("With fp16 such steps are left out already: leave --skip_bad_batches out.")
        if self.hub_strategy in ("checkpoint", "all_checkpoints"):
            raise InputError(
                "Checkpoints are not pushed, the finished model is, with its figures: leave hub_strategy out, and use "
                "recipes/publish.py --with_training_state for what was remembered."
            )
        if os.path.isfile(self.output_dir):
            raise InputError(f"output_dir {self.output_dir} is a file; give a folder.")
        if self.dataloader_persistent_workers:
            raise InputError("dataloader_persistent_workers would keep an old memory bank; leave it off.")
