"""`NoisyITMTrainer`: a `transformers.Trainer` that lends every method its five verbs and names none of them."""

import math
import time
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from .arguments import NoisyITMArguments
from .data import PairCollator, Pairs, StreamCollator, StreamedPairs
from .data.pedigree import check_checkpoint_pedigree, write_checkpoint_pedigree
from .encode import encode
from .errors import InputError
from .exchange import Exchange, ProcessExchange
from .files import atomic_path
from .functional.retrieval import recall
from .memory.bank import MemoryBank
from .memory.weights import PairWeights
from .methods import NoisyITMModel

BANK_FILE = "memory_bank.safetensors"
WEIGHTS_FILE = "pair_weights.safetensors"


class NoisyITMTrainer(Trainer):
    """Trains any method on `Pairs`.

    Beside what `Trainer` does: batches come from a `PairCollator` with entries of the memory bank; what `forward` asks
    to be remembered is gathered from all processes after each backward; `evaluate` embeds every picture and caption
    once and returns recall as `eval_*`; a checkpoint holds bank, pair weights and the
    pedigree of the pairs, so that resuming is exact and on the same data.

    Args:
        model: a method.
        args: training arguments.
        train_dataset: pairs to train on; a stream of them for methods that need neither bank nor weights per pair.
        eval_dataset: pairs to evaluate on.
        processing_class: CLIP's processor.
    """

    loss_is_scaled_for_ga = False  # `forward` returns the mean over its batch
    args: NoisyITMArguments
    model: NoisyITMModel

    def __init__(
        self,
        model: NoisyITMModel,
        args: NoisyITMArguments,
        train_dataset: Pairs | StreamedPairs | None = None,
        eval_dataset: Pairs | None = None,
        processing_class=None,
        **kwargs,
    ):
        if processing_class is None:
            raise InputError("Give CLIP's processor as processing_class: pictures and captions need it.")
        positions = model.config.text_config.max_position_embeddings
        is_stream = isinstance(train_dataset, StreamedPairs)
        if is_stream:
            _refuse_without_length(model, args)
            collator = StreamCollator(processing_class, positions)
        else:
            collator = PairCollator(
                processing_class, train_dataset or eval_dataset, args.cache_pictures, positions, args.picture_cache
            )
        super().__init__(
            model,
            args,
            data_collator=collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.exchange = ProcessExchange() if args.world_size > 1 else Exchange()
        self.bank: MemoryBank | None = None
        self.pair_weights = None if train_dataset is None or is_stream else PairWeights(len(train_dataset))
        self._reports: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.add_callback(_Verbs(self))

    def get_train_dataloader(self) -> DataLoader:
        """The training batches; a stream is shared out among the processes by itself."""
        if not isinstance(self.train_dataset, StreamedPairs):
            return super().get_train_dataloader()
        return DataLoader(
            self.train_dataset.share(self.args.process_index, self.args.world_size),
            self._train_batch_size,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            generator=torch.Generator(),
        )

    # -- one step -----------------------------------------------------------------------------------------------------

    def create_optimizer(self, model=None):
        """Creates the optimizer and lets the model read it."""
        optimizer = super().create_optimizer(model)
        self.model.attach(self.exchange, optimizer)
        return optimizer

    def get_decay_parameter_names(self, model) -> list[str]:
        """Weight decay for matrices only: not for biases, norms, the class embedding or the temperature."""
        shapes = {name: parameter.ndim for name, parameter in model.named_parameters()}
        return [name for name in super().get_decay_parameter_names(model) if shapes[name] > 1]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Runs `forward`; what it wants remembered waits until after backward."""
        outputs = model(**inputs)
        self._pending = (inputs.get("index"), outputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One micro-batch: forward, backward, then `remember` with the rows of all processes."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        index, outputs = self._pending
        self._pending = None
        if outputs.to_remember:
            self.model.remember(
                **{name: self.exchange.gather(rows.detach()) for name, rows in outputs.to_remember.items()}
            )
        if outputs.weight_per_pair is not None:
            weight = self.exchange.gather(outputs.weight_per_pair)
            if index is not None:  # rows of a stream have none
                self.pair_weights.add(self.exchange.gather(index), weight)
            self._reports["weight_mean"].append(weight.mean())
        for name, value in (outputs.report or {}).items():
            self._reports[name].append(value.detach())
        return loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Adds the means of what methods reported since the last log of the loss."""
        if "loss" in logs:
            logs |= {name: torch.stack(values).mean().item() for name, values in self._reports.items()}
            self._reports.clear()
        super().log(logs, *args, **kwargs)

    # -- one epoch ----------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Builds the memory bank where the method wants one, and tells the method."""
        if self.model.needs_bank(epoch):
            collator = self.data_collator
            encoded = encode(
                self.model,
                collator,
                self.args.per_device_eval_batch_size,
                self.args.dataloader_num_workers,
                self.exchange,
                "Encoding the training pairs for the memory bank",
            )
            bank = self.model.build_bank(encoded, epoch)
            if bank is not None:
                self.use_bank(bank)
        self.model.begin_epoch(epoch)

    def use_bank(self, bank: MemoryBank) -> None:
        """Hands a bank to the collator; workers see it from the next epoch's start."""
        self.bank = bank
        self.data_collator.entries = {name: rows.numpy() for name, rows in bank.entries.items()}

    # -- evaluation ---------------------------------------------------------------------------------------------------

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Recall in both directions over all pictures and captions of `eval_dataset`, logged as `eval_*`."""
        pairs = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(pairs, dict):
            parts = (self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}") for name, part in pairs.items())
            return {name: value for part in parts for name, value in part.items()}
        if pairs is None:
            raise InputError("There are no pairs to evaluate on: give eval_dataset.")
        start = time.perf_counter()
        figures = evaluate_pairs(
            self.model,
            PairCollator(
                self.processing_class,
                pairs,
                max_length=self.data_collator.max_length,
                picture_cache=self.args.picture_cache,
            ),
            self.args.per_device_eval_batch_size,
            self.args.dataloader_num_workers,
            self.exchange,
        )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        metrics[f"{metric_key_prefix}_runtime"] = time.perf_counter() - start
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict=None) -> None:
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir)
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle that nobody reads; metrics.json tells
        for name in (BANK_FILE, WEIGHTS_FILE):
            (folder / name).unlink(missing_ok=True)  # of an earlier run
        if self.bank is not None:
            self.bank.save(folder / BANK_FILE)
        if self.train_dataset is not None:
            write_checkpoint_pedigree(folder, self.train_dataset)
        if self.pair_weights is not None and self.pair_weights.count.any():
            with atomic_path(folder / WEIGHTS_FILE) as temporary:
                save_file(self.pair_weights.state_dict(), temporary)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        folder = Path(resume_from_checkpoint)
        check_checkpoint_pedigree(folder, self.train_dataset)
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if (folder / BANK_FILE).exists():
            self.use_bank(MemoryBank.load(folder / BANK_FILE, self.train_dataset.fingerprint))
        if self.pair_weights is not None and (folder / WEIGHTS_FILE).exists():
            self.pair_weights.load_state_dict(load_file(folder / WEIGHTS_FILE))


def _refuse_without_length(model: NoisyITMModel, args: NoisyITMArguments) -> None:
    if model.needs_bank(0):
        raise InputError(
            f"{type(model).__name__} builds a memory bank of all training pairs, and a stream does not know them all: "
            f"leave --streaming out."
        )
    if args.max_steps <= 0:
        raise InputError("A stream has no end: say with --max_steps how long to train.")


class _Verbs(TrainerCallback):
    """Calls the writing verbs that belong to the loop and not to a batch."""

    def __init__(self, trainer: NoisyITMTrainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        epoch = math.floor(state.epoch + 1e-6)
        if state.epoch - epoch < 1e-6:  # a run that resumes within an epoch has begun it before
            self.trainer.begin_epoch(epoch)

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.model.step()


def evaluate_pairs(
    model: NoisyITMModel,
    collator: PairCollator,
    batch_size: int = 256,
    num_workers: int = 0,
    exchange: Exchange | None = None,
) -> dict[str, float]:
    """Recall of a model on the collator's pairs, see `functional.retrieval.recall`; K up to the smaller gallery."""
    encoded = encode(model, collator, batch_size, num_workers, exchange, "Evaluating")
    smallest = min(len(encoded.image_embeds), len(encoded.text_embeds))
    ks = [k for k in (1, 5, 10) if k <= smallest]
    return recall(encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair, ks)
