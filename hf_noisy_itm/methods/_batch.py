"""What goes into a method's `forward`, what its `losses` return, and what comes out."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers.utils import ModelOutput


@dataclass(frozen=True)
class PairBatch:
    """The arguments of `forward`, and the rows to embed: the batch's own first, then what the bank adds to them.

    `kept` is where a method puts what one of its steps within `forward` leaves for a later one.
    """

    pixel_values: Tensor | None
    input_ids: Tensor | None
    attention_mask: Tensor | None
    image_id: Tensor | None
    index: Tensor | None
    bank: dict | None
    scores: dict[str, Tensor] | None = None
    features: dict[str, Tensor] | None = None
    category: dict[str, Tensor] | None = None
    kept: dict = field(default_factory=dict)

    def __len__(self) -> int:
        rows = self.pixel_values if self.features is None else next(iter(self.features.values()))
        return len(rows)

    @property
    def entries(self) -> dict[str, dict[str, Tensor]]:
        """By kind: `image_row` and `text_row` among all rows, `image_id`, and `index`, the entry's pair, (B,) each."""
        return {} if self.bank is None else self.bank["entries"]

    @property
    def all_pixel_values(self) -> Tensor:
        """Pictures of the batch and further ones of the bank, (B + U, C, H, W)."""
        return self._with_bank("pixel_values")

    @property
    def all_input_ids(self) -> Tensor:
        """Captions of the batch and further ones of the bank, (B + V, L)."""
        return self._with_bank("input_ids")

    @property
    def all_attention_mask(self) -> Tensor | None:
        """Mask of `all_input_ids`."""
        return self._with_bank("attention_mask")

    def _with_bank(self, name: str) -> Tensor | None:
        own = getattr(self, name)
        return own if self.bank is None or own is None else torch.cat([own, self.bank[name]])


@dataclass(frozen=True)
class PairLosses:
    """What a method makes of an embedded batch of B pairs, before anything is weighted or averaged.

    Args:
        per_pair: (B,), with graph; `weigh` says how much each counts.
        further: losses that count in full whatever the weights, (B,) each, with graph, by name.
        to_remember: tensors (B, …) that the trainer gathers from all processes and hands to `remember`.
        report: what is worth logging, by name: a scalar, or a value for each pair, (B,), NaN where a pair has none.
        negatives: which wrong answers were compared with each pair, for analysis: by name of the choice, `row` in the
            training set, int64 (B,), -1 where there was none, and `score`, (B,), NaN there. The trainer keeps each
            pair's last ones.
    """

    per_pair: Tensor
    further: dict[str, Tensor] = field(default_factory=dict)
    to_remember: dict[str, Tensor] | None = None
    report: dict[str, Tensor] | None = None
    negatives: dict[str, dict[str, Tensor]] | None = None


@dataclass
class NoisyITMOutput(ModelOutput):
    """Result of `forward`; B is the local batch, D the embedding width.

    Args:
        loss: scalar, what is minimised.
        loss_per_pair: (B,), before weighting.
        weight_per_pair: (B,), trust in each pair in [0, 1]; None where the method does not weigh.
        own_weight_per_pair: (B,), what `weigh` alone said; the same unless a frozen scorer's trust multiplies it.
        image_embeds: unit rows, (B, D); of vectors those of the first modality.
        text_embeds: unit rows, (B, D); of vectors those of the second modality.
        to_remember: see `PairLosses`.
        report: see `PairLosses`.
        negatives: see `PairLosses`.
    """

    loss: Tensor | None = None
    loss_per_pair: Tensor | None = None
    weight_per_pair: Tensor | None = None
    own_weight_per_pair: Tensor | None = None
    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    to_remember: dict[str, Tensor] | None = None
    report: dict[str, Tensor] | None = None
    negatives: dict[str, dict[str, Tensor]] | None = None

    def rows_to_gather(self, index: Tensor | None) -> dict[tuple[str, ...], Tensor]:
        """What is to be known of all processes' pairs, (B, …) each: what to remember, and what is told of each pair.

        Args:
            index: row of each pair in the training set, (B,); None for a stream, which keeps no negatives.
        """
        rows = {("remember", name): values for name, values in (self.to_remember or {}).items()}
        for name, value in (self.report or {}).items():
            rows["report", name] = value.expand(len(self.loss_per_pair))
        if index is not None:
            rows["index",] = index
            for name, chosen in (self.negatives or {}).items():
                rows |= {("negatives", name, part): values for part, values in chosen.items()}
        return rows
