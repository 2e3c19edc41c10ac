"""Which wrong answers each training pair was last compared with: the ledger behind the truth about negatives."""

import torch
from torch import Tensor

_UNKNOWN = -1
_PARTS = {"row": (torch.long, _UNKNOWN), "score": (torch.float32, float("nan"))}


class PairNegatives:
    """By name of the choice, the row of the negative that each of N pairs last had, and its score.

    So it holds a fixed number of entries, however long the training: those of each pair's last visit. A name takes
    room when it is first heard of, on the device that it comes from: writing waits for nothing.
    """

    def __init__(self, num_pairs: int):
        self.num_pairs = num_pairs
        self.choices: dict[str, dict[str, Tensor]] = {}
        self._is_fresh = torch.zeros(num_pairs, dtype=torch.bool)

    @torch.no_grad()
    def add(self, index: Tensor, negatives: dict[str, dict[str, Tensor]]) -> None:
        """Writes down what the pairs in rows `index`, (B,), were compared with; see `methods._batch.PairLosses`."""
        if self._is_fresh.device != index.device:
            self._move(index.device)
        for name, chosen in negatives.items():
            kept = self.choices.setdefault(
                name,
                {
                    part: torch.full((self.num_pairs,), none, dtype=kind, device=index.device)
                    for part, (kind, none) in _PARTS.items()
                },
            )
            for part, values in chosen.items():
                kept[part].index_copy_(0, index, values.detach().type_as(kept[part]))
        self._is_fresh.index_fill_(0, index, True)

    def _move(self, device: torch.device) -> None:
        self._is_fresh = self._is_fresh.to(device)
        for kept in self.choices.values():
            kept.update({part: values.to(device) for part, values in kept.items()})

    def read(self, pairs: Tensor | None = None) -> dict[str, dict[str, Tensor]]:
        """Choices of some pairs, or of all, (B,) or (N,), on the CPU."""
        return {
            name: {part: (values if pairs is None else values[pairs]).cpu() for part, values in kept.items()}
            for name, kept in self.choices.items()
        }

    def take_fresh(self) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Rows of the pairs that were written down since this was last asked, (B,), and their choices; on the CPU."""
        pairs = torch.nonzero(self._is_fresh).squeeze(1)
        self._is_fresh.zero_()
        return pairs.cpu(), self.read(pairs)

    def state_dict(self) -> dict[str, Tensor]:
        """All choices, by `name.part`, on the CPU."""
        return {f"{name}.{part}": values for name, kept in self.read().items() for part, values in kept.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes what `state_dict` gave.

        Raises:
            ValueError: it is of another number of pairs, or something else.
        """
        choices: dict[str, dict[str, Tensor]] = {}
        for key, values in state.items():
            name, _, part = key.rpartition(".")
            if part not in _PARTS or values.shape != (self.num_pairs,) or values.dtype != _PARTS[part][0]:
                raise ValueError(f"{key} of shape {tuple(values.shape)} is no negative of {self.num_pairs} pairs.")
            choices.setdefault(name, {})[part] = values
        for name, kept in choices.items():
            if kept.keys() != _PARTS.keys() or not ((kept["row"] >= _UNKNOWN) & (kept["row"] < self.num_pairs)).all():
                raise ValueError(f"{name} names no rows of {self.num_pairs} pairs.")
        self.choices = choices
        self._is_fresh = torch.zeros(self.num_pairs, dtype=torch.bool)
