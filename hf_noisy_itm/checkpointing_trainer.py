"""The part of the trainer that keeps what was trained: checkpoints that are exact, and the model at the end."""

from contextlib import suppress
from pathlib import Path

from transformers.utils import logging

from .adapters import FILES as ADAPTER_FILES
from .adapters import FOLDER as ADAPTER_FOLDER
from .adapters import adapted, merged_state, save_adapter
from .bad_batches import LossWatch, refuse_no_numbers
from .checkpoint import load_memory, of_this_training, refuse_other_shapes, save_memory
from .data.pedigree import check_checkpoint_pedigree, write_checkpoint_pedigree
from .engines import unflatten_scalars
from .files import check_writable, shown
from .full_disk import named_if_full
from .memory.bank import MemoryBank
from .memory.means import RunningMeans
from .memory.pair_memory import PairMemory
from .publishing_trainer import PublishingTrainer
from .resuming import STATE_FILE, refuse_other_method, refuse_other_number, refuse_strange_state, to_resume

logger = logging.get_logger(__name__)


class CheckpointingTrainer(PublishingTrainer):
    """A trainer whose checkpoints hold bank, ledgers and the pedigree of the pairs beside what `Trainer` writes.

    Resuming is exact, and on the same data, method and number of processes only.
    """

    memory: PairMemory
    reports: RunningMeans
    watch: LossWatch
    flattened: list[str]  # 0-dim parameters, of which an engine has vectors
    _publishes = False  # what `_save` writes; else it is a checkpoint

    def use_bank(self, bank: MemoryBank) -> None:
        """Hands a bank to the collator; workers see it from the next epoch's start."""
        self.memory.bank = bank
        self.data_collator.entries = {name: rows.numpy() for name, rows in bank.entries.items()}

    def train(self, resume_from_checkpoint: str | bool | None = None, *args, **kwargs):
        """See `Trainer.train`; bank and pair weights of the checkpoint are read first, whatever engine reads the rest.

        Raises:
            InputError: the checkpoint is not whole, or is of other data.
            OSError: nothing can be written into `output_dir`.
        """
        if self.args.should_save:
            check_writable(self.args.output_dir)
        checkpoint = to_resume(resume_from_checkpoint, self.args.output_dir, tells=self.is_world_process_zero())
        self.reports.take()  # those of a training that was interrupted
        self.watch = LossWatch()
        if self.args.gradient_accumulation_steps > 1 and self.is_world_process_zero():
            logger.warning(
                "Gradient accumulation adds no negatives: each pair is told apart from those of its own batch alone. "
                "For more, give a larger per_device_train_batch_size, with --grad_cache_chunk if memory is short."
            )
        if checkpoint is not None:
            refuse_other_number(checkpoint, self.args.world_size)
            refuse_strange_state(checkpoint)
            check_checkpoint_pedigree(Path(checkpoint), self.train_dataset)
            refuse_other_method(checkpoint, self.model.config.method)
            load_memory(checkpoint, self.memory, self.model.resume_run, self.model.needs_scorer)
            if self.memory.bank is not None:
                self.use_bank(self.memory.bank)
        else:
            self.model.begin_run(getattr(self.train_dataset, "caption_fingerprint", None))
            self.memory.begin_run()
        done = super().train(checkpoint, *args, **kwargs)
        self.refuse_no_numbers()
        self.model.end_run()
        return done

    def refuse_no_numbers(self) -> None:
        """Looks whether the losses since the last log, and all weights, are numbers.

        Raises:
            InputError: they are not; no checkpoint was made of such.
        """
        self.watch.check(self.exchange)
        refuse_no_numbers(self.model, self.exchange, self.state.global_step)

    def _save_checkpoint(self, *args, **kwargs) -> None:
        self.refuse_no_numbers()
        with named_if_full(self.args.output_dir):
            super()._save_checkpoint(*args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args, **kwargs) -> None:
        with of_this_training(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)

    def _issue_warnings_after_load(self, load_result) -> None:
        """Refuses other tensors than the model's: going on without some of them would be another run."""
        if strange := [*(set(load_result.missing_keys) - set(self.model.memory())), *load_result.unexpected_keys]:
            raise ValueError(f"the weights and the model differ in {len(strange)} tensors, {min(strange)} for one")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with of_this_training(checkpoint or ""):
            super()._load_optimizer_and_scheduler(checkpoint)
            if checkpoint is not None and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):  # these have shards
                refuse_other_shapes(getattr(self.optimizer, "optimizer", self.optimizer))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with of_this_training(checkpoint or ""):
            super()._load_rng_state(checkpoint)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """See `Trainer.save_model`, which every checkpoint calls, under every engine; bank and weights go along.

        Nothing is pushed, see `PublishingTrainer`.
        """
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            is_checkpoint = _internal_call and output_dir is not None  # else it is published
            self._publishes = not is_checkpoint
            if not is_checkpoint:
                _remove_what_tells_of_other_weights(folder)
            if is_checkpoint:
                (folder / STATE_FILE).unlink(missing_ok=True)  # until it is written again, this is no whole checkpoint
            of_method = self.model.memory() if is_checkpoint else None
            save_memory(folder, self.memory, of_method, self.exchange.num_processes)
            if self.train_dataset is not None:
                write_checkpoint_pedigree(folder, self.train_dataset)
        with named_if_full(output_dir or self.args.output_dir):
            super().save_model(output_dir, _internal_call=True)

    def _save(self, output_dir: str | None = None, state_dict=None) -> None:
        if state_dict is not None:  # of an engine, and there on the process that writes
            state_dict = unflatten_scalars(state_dict, self.flattened)
        if self._publishes and adapted(self.model) and self.args.should_save:
            folder, base = Path(output_dir or self.args.output_dir), shown(self.model.name_or_path)
            state_dict = self.model.learnt(state_dict)
            save_adapter(self.model, folder / ADAPTER_FOLDER, base, state_dict)
            state_dict = merged_state(self.model, state_dict)
        super()._save(output_dir, state_dict)
        pickled = Path(output_dir or self.args.output_dir) / "training_args.bin"
        pickled.unlink(missing_ok=True)  # nobody reads it; metrics.json tells


def _remove_what_tells_of_other_weights(folder: Path) -> None:
    """Figures and adapters of an earlier run in the same folder: publishing would take them for this one's."""
    (folder / "metrics.json").unlink(missing_ok=True)
    for name in ADAPTER_FILES:
        (folder / ADAPTER_FOLDER / name).unlink(missing_ok=True)
    with suppress(OSError):  # not there, or with files of others
        (folder / ADAPTER_FOLDER).rmdir()
