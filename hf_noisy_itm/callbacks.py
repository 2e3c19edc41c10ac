"""Calls the writing verbs that belong to the loop and not to a batch."""

import math

from transformers import Trainer, TrainerCallback


class Verbs(TrainerCallback):
    """`begin_epoch` and `step`, at the moments when they are due.

    Args:
        trainer: whose `begin_epoch`, and whose model's `step`, are called.
    """

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        """The engine has prepared the model."""
        self.trainer.exchange.adopt(self.trainer.model)

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Once per epoch: a run that resumes within one has begun it before."""
        epoch = math.floor(state.epoch + 1e-6)
        if state.epoch - epoch < 1e-6:
            self.trainer.begin_epoch(epoch)

    def on_step_end(self, args, state, control, **kwargs):
        """After each optimizer step that was taken: float16 skips those whose gradient overflows."""
        if not self.trainer.accelerator.optimizer_step_was_skipped:
            self.trainer.model.step()
