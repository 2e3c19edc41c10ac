"""`NoisyITMTrainer`: a `transformers.Trainer` that lends every method its five verbs and names none of them."""

import torch
from torch.utils.data import DataLoader
from transformers.utils import logging

from .adapters import add_lora
from .bad_batches import LossWatch, is_left_out, tell_of_left_out
from .batches import collator_of, stream_loader
from .callbacks import Verbs
from .checkpointing_trainer import CheckpointingTrainer
from .data import FeatureRows, Pairs, StreamedPairs
from .data.matches import IsMatch
from .encode import encode
from .engines import exchange_of, flatten_scalars, refuse
from .errors import InputError
from .even_batches import evened
from .files import shown
from .memory.bank import EncodedPairs, MemoryBank
from .memory.means import RunningMeans
from .memory.pair_memory import PairMemory
from .memory.trust import TrustScores
from .methods import NoisyITMModel
from .scoring import score_pairs_once
from .training_arguments import NoisyITMArguments
from .truth import match_shares

logger = logging.get_logger(__name__)


class NoisyITMTrainer(CheckpointingTrainer):
    """Trains any method on `Pairs`.

    Beside what `Trainer` does: batches come from a `PairCollator` with entries of the memory bank; what `forward` asks
    to be remembered is gathered from all processes after each backward; `evaluate` embeds every picture and caption
    once and returns recall, and of data with labels mAP, as `eval_*`; a checkpoint holds bank, pair weights, pair
    negatives and the pedigree of the pairs, so that resuming is exact and on the same data.

    Args:
        model: a method.
        args: training arguments.
        train_dataset: pairs to train on; a stream of them for methods that need neither bank nor weights per pair; or
            vectors with labels, for methods that take these.
        eval_dataset: pairs, or vectors, to evaluate on.
        processing_class: CLIP's processor; of vectors a `FeatureProcessor`.
        bank: a memory bank of the training pairs that is there already: none is built before the first epoch. A method
            that refreshes its bank does so in later ones, and a checkpoint's bank goes before this one.
        trust: a frozen scorer's cosines of the training pairs, for methods that ask for them; those of the starting
            model are made before the first epoch if left out. A checkpoint's go before these.
        is_match: what is known of which captions fit which pictures, see `data.known_matches`; for the log alone.

    Raises:
        InputError: there is no processor, a trainable parameter is not float32, or one that nothing has trained is
            frozen; a stream meets a method that needs all pairs, or a bank or scores meet a method that takes none, or
            other pairs.
    """

    loss_is_scaled_for_ga = False  # `forward` returns the mean over its batch
    args: NoisyITMArguments
    model: NoisyITMModel

    def __init__(
        self,
        model: NoisyITMModel,
        args: NoisyITMArguments,
        train_dataset: Pairs | StreamedPairs | FeatureRows | None = None,
        eval_dataset: Pairs | FeatureRows | None = None,
        processing_class=None,
        bank: MemoryBank | None = None,
        is_match: IsMatch | None = None,
        trust: TrustScores | None = None,
        **kwargs,
    ):
        if processing_class is None:
            raise InputError("Give CLIP's processor as processing_class: pictures and captions need it.")
        _refuse_half_precision(model)
        if args.lora_r:
            alpha = 2 * args.lora_r if args.lora_alpha is None else args.lora_alpha
            add_lora(model, args.lora_r, alpha, args.lora_dropout)
        if train_dataset is not None:
            _refuse_idle(model)
        if bank is not None:
            if not model.needs_bank(0):
                raise InputError(f"{type(model).__name__} takes no memory bank; leave --bank out.")
            bank.refuse_other_data(*_known_of_data(train_dataset))
        if trust is not None and not model.needs_scorer:
            raise InputError(f"{type(model).__name__} asks for no scorer: leave its scores out.")
        weight = train_dataset.weight if isinstance(train_dataset, Pairs) else None
        data_weight = None if weight is None else torch.from_numpy(weight)
        self.memory = PairMemory(*_known_of_data(train_dataset), data_weight, trust)
        pairs = eval_dataset if train_dataset is None else train_dataset
        super().__init__(
            model,
            args,
            data_collator=collator_of(pairs, model, args, processing_class, args.cache_pictures),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.given_bank = bank
        self.exchange = exchange_of(self.accelerator)
        model.embed_in_chunks(args.grad_cache_chunk or None)
        refuse(model, self.exchange)
        if args.skip_bad_batches and self.exchange.engine:
            raise InputError(f"{self.exchange.engine} holds gradients itself: leave --skip_bad_batches out.")
        self.flattened = flatten_scalars(model) if self.exchange.engine else []
        self.is_match = is_match
        self.reports = RunningMeans()  # since the last log
        self.watch = LossWatch()
        self.add_callback(Verbs(self))
        self.model.attach(self.exchange, self.optimizer)  # methods gather in evaluation too

    def get_train_dataloader(self) -> DataLoader:
        """The training batches; a stream is shared out among the processes by itself."""
        if isinstance(self.train_dataset, StreamedPairs):
            return stream_loader(self.train_dataset, self._train_batch_size, self.args, self.data_collator)
        loader = super().get_train_dataloader()
        keeps_last = self.exchange.num_processes > 1 and not self.args.dataloader_drop_last
        return evened(loader, self.exchange.num_processes) if keeps_last else loader

    # -- one step -----------------------------------------------------------------------------------------------------

    def create_optimizer(self, model=None):
        """Creates the optimizer and lets the model read it."""
        optimizer = super().create_optimizer(model)
        inner = getattr(optimizer, "optimizer", optimizer)  # from the second training on, accelerate's wrapper has it
        self.model.attach(self.exchange, inner)
        return optimizer

    def get_decay_parameter_names(self, model) -> list[str]:
        """Weight decay for matrices only: not for biases, norms, the class embedding or the temperature."""
        parameters = model.named_parameters(remove_duplicate=False)  # a twin may share what is frozen
        shapes = {name: parameter.ndim for name, parameter in parameters}
        return [name for name in super().get_decay_parameter_names(model) if shapes[name] > 1]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Runs `forward`; what it wants remembered waits until after backward."""
        outputs = model(**inputs)
        self._pending = (inputs.get("index"), outputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def training_step(self, model, inputs, num_items_in_batch=None):
        """One micro-batch: forward, backward, then `remember` with the rows of all processes."""
        if (self.model.needs_scores or self.memory.data_weight is not None) and "index" in inputs:
            inputs["scores"] = self.memory.of(inputs["index"].cpu())  # no worker's job: weights change each step
        loss = super().training_step(model, inputs, num_items_in_batch)
        (index, outputs), self._pending = self._pending, None
        step = self.state.global_step + 1
        if self.args.skip_bad_batches:
            is_bad = is_left_out(self.model, loss, self.exchange)
            if is_bad:
                tell_of_left_out(index, self.train_dataset, step, self.exchange, tells=self.is_world_process_zero())
            self.watch.leave_out(is_bad, step)
            if is_bad:
                return torch.zeros_like(loss)
        self.watch.add(loss, step)
        gathered = self.exchange.gather_all(outputs.rows_to_gather(index))
        if outputs.to_remember:
            self.model.remember(**{name: gathered["remember", name] for name in outputs.to_remember})
        if outputs.weight_per_pair is not None:
            weight = self.exchange.gather(outputs.weight_per_pair)
            if index is not None:  # rows of a stream have none
                own = self.exchange.gather(outputs.own_weight_per_pair)
                self.memory.weights.add(gathered["index",], weight, own)
            self.reports.add("weight_mean", weight.mean())
        if outputs.negatives and index is not None:
            negatives = {
                name: {part: gathered["negatives", name, part] for part in chosen}
                for name, chosen in outputs.negatives.items()
            }
            self.memory.negatives.add(gathered["index",], negatives)
        for name in outputs.report or {}:
            self.reports.add(name, gathered["report", name])
        return loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Adds what methods reported since the last log of the loss, and what of that the truth makes.

        Means over all pairs for which there was a value; and, where the truth is known, how often the negatives of the
        pairs that were seen since are matches (`matches_…`).

        Raises:
            InputError: the loss is not finite; the last checkpoint is of before.
        """
        if "loss" in logs:
            self.watch.check(self.exchange)
            if (told := self.watch.rise(logs["loss"], self.state.global_step)) and self.is_world_process_zero():
                logger.warning(told)
            logs |= self.reports.take()
            if self.is_match is not None and self.memory.negatives is not None:
                shares = match_shares(*self.memory.negatives.take_fresh(), self.is_match)
                logs |= {f"matches_{name}": share for name, share in shares.items()}
        super().log(logs, *args, **kwargs)

    # -- one epoch ----------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Builds the memory bank, and scores the pairs, where the method wants that and none were given; tells it."""
        if self.model.needs_scorer and self.memory.trust is None:
            self.memory.trust = score_pairs_once(self.model, self.data_collator, None, *self._passes)
        if epoch == 0 and self.given_bank is not None:
            self.use_bank(self.given_bank)
        elif self.model.needs_bank(epoch):
            told = "Encoding the training pairs for the memory bank"
            encoded = encode(self.model, self.data_collator, *self._passes, told)
            bank = self._built(encoded, epoch)
            if bank is not None:
                scorer = {"model": shown(self.model.name_or_path), **bank.provenance.get("scorer", {})}
                self.use_bank(bank.told(scorer=scorer, noise=self.train_dataset.pedigree))
                for doubt in bank.provenance.get("doubts", []) if self.is_world_process_zero() else ():
                    logger.warning(f"The memory bank of epoch {epoch}: {doubt}")
        self.model.begin_epoch(epoch)

    def _built(self, encoded: EncodedPairs, epoch: int) -> MemoryBank | None:
        """The method's bank; where it can build none any more, the one that is there stays."""
        try:
            return self.model.build_bank(encoded, epoch)
        except InputError as error:
            if self.memory.bank is None:
                raise
            logger.warning(f"The memory bank of before epoch {epoch} stays in use: {error}")
            return None


def _known_of_data(pairs: Pairs | StreamedPairs | FeatureRows | None) -> tuple[str | None, int | None]:
    """Fingerprint and number of pairs that are all known."""
    return (pairs.fingerprint, len(pairs)) if isinstance(pairs, Pairs | FeatureRows) else (None, None)


def _refuse_half_precision(model: NoisyITMModel) -> None:
    trained = {name: parameter.dtype for name, parameter in model.named_parameters() if parameter.requires_grad}
    if half := [name for name, dtype in trained.items() if dtype != torch.float32]:
        raise InputError(
            f"{len(half)} of {len(trained)} trainable parameters are not float32, {half[0]} is {trained[half[0]]}, "
            f"which loses small updates: load the model with dtype=torch.float32, and give --bf16 true for speed."
        )


def _refuse_idle(model: NoisyITMModel) -> None:
    if idle := model.idle():
        raise InputError(
            f"{len(idle)} parameters, {idle[0]} for one, are as they started and frozen, so no training would make "
            f"them useful: train them too (with PEFT, name their module in modules_to_save), or leave their part of "
            f"the method out."
        )
