"""The part of the trainer that trains nothing: recall and mAP of all pairs at once, and loaders for `predict`."""

import time
from collections.abc import Callable

from torch.utils.data import DataLoader
from transformers import Trainer

from .batches import collator_of
from .data import Pairs
from .encode import encode, evaluate_pairs
from .errors import InputError
from .exchange import Exchange
from .methods import NoisyITMModel
from .training_arguments import NoisyITMArguments


class EvaluatingTrainer(Trainer):
    """A `Trainer` that embeds every picture and caption once and ranks all; `NoisyITMTrainer` trains upon it."""

    args: NoisyITMArguments
    model: NoisyITMModel
    exchange: Exchange

    @property
    def _passes(self) -> tuple[int, int, Exchange]:
        """How pictures and captions pass the model where nothing is trained: rows at a time, workers, processes."""
        return self.args.per_device_eval_batch_size, self.args.dataloader_num_workers, self.exchange

    def choose(self, pairs: Pairs) -> dict[str, float]:
        """Lets the method settle by validation pairs what it leaves to them, after training; what it settled on."""
        collator = collator_of(pairs, self.model, self.args, self.processing_class)
        return self.model.choose(encode(self.model, collator, *self._passes, "Validating"))

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Recall in both directions over all of `eval_dataset`, and mAP where it has labels, logged as `eval_*`."""
        pairs = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(pairs, dict):
            parts = (self.evaluate(part, ignore_keys, f"{metric_key_prefix}_{name}") for name, part in pairs.items())
            return {name: value for part in parts for name, value in part.items()}
        if pairs is None:
            raise InputError("There are no pairs to evaluate on: give eval_dataset.")
        start = time.perf_counter()
        collator = collator_of(pairs, self.model, self.args, self.processing_class)
        figures = evaluate_pairs(self.model, collator, *self._passes)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in figures.items()}
        metrics[f"{metric_key_prefix}_runtime"] = time.perf_counter() - start
        self.log(dict(metrics))  # which adds the epoch to what it gets
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def get_eval_dataloader(self, eval_dataset=None) -> DataLoader:
        """Batches of all pairs, collated with their own pictures and captions; a name chooses among `eval_dataset`."""
        pairs = self.eval_dataset if eval_dataset is None else eval_dataset
        pairs = self.eval_dataset[pairs] if isinstance(pairs, str) else pairs
        return self._collating(super().get_eval_dataloader, pairs)

    def get_test_dataloader(self, test_dataset) -> DataLoader:
        """Likewise, for `predict`."""
        return self._collating(super().get_test_dataloader, test_dataset)

    def _collating(self, get_loader: Callable[[Pairs], DataLoader], pairs: Pairs | None) -> DataLoader:
        """A loader as `Trainer` makes it, but of other pairs than those of training, and of the last ones too."""
        if pairs is None:
            raise InputError("There are no pairs to evaluate on: give eval_dataset.")
        kept = self.data_collator, self.args.dataloader_drop_last
        self.data_collator = collator_of(pairs, self.model, self.args, self.processing_class)
        self.args.dataloader_drop_last = False
        try:
            return get_loader(pairs)
        finally:
            self.data_collator, self.args.dataloader_drop_last = kept
