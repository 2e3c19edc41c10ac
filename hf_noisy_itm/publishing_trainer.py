"""The part of the trainer that speaks to the Hub: one push, of what `recipes/publish.py` publishes too."""

from pathlib import Path

from huggingface_hub import HfApi

from .evaluating_trainer import EvaluatingTrainer
from .hub import PublishArguments, publish_run, reach


class PublishingTrainer(EvaluatingTrainer):
    """A trainer whose `push_to_hub=True` publishes the finished run, with our card and its figures, in one commit.

    `Trainer` would push at every checkpoint and whenever a model is saved, arguments with the token in them included,
    and write its own card over ours. Here `run.train_model` calls `push_to_hub` when the figures are there.
    """

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Makes the repository, on process 0, before anything is trained.

        Raises:
            InputError: the Hub refuses.
        """
        if self.is_world_process_zero():
            self.hub_model_id = reach(self._where(private), HfApi(token=token or self.args.hub_token))

    def create_model_card(self, *args, **kwargs) -> None:
        """Writes no card: the one that is there was written with the figures, and publishing writes it anew."""

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Pushes nothing: a checkpoint is no model with figures."""

    def push_to_hub(
        self,
        commit_message: str | None = None,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs,
    ) -> str | None:
        """Publishes `output_dir`, which must hold `metrics.json`: `run.train` writes it.

        Args:
            commit_message: not used.
            blocking: not used: it returns when all is there.
            token: of the user; that of the arguments, or of `hf auth login`, if left out.
            revision: branch.
            private: whether the repository is to be private.
            kwargs: not used: what a card says is known of the run.

        Returns:
            Name of the repository; None on processes other than the first.

        Raises:
            InputError: there are no figures, or the Hub refuses.
        """
        if not self.is_world_process_zero():
            return None
        where = self._where(private, revision)
        return publish_run(self.args.output_dir, where, HfApi(token=token or self.args.hub_token))

    def _where(self, private: bool | None = None, revision: str | None = None) -> PublishArguments:
        name = self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).resolve().name
        private = self.args.hub_private_repo if private is None else private
        return PublishArguments(name, private=bool(private), revision=revision or self.args.hub_revision)
