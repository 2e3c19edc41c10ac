"""Which wrong answers each training pair was last compared with: the ledger behind the truth about negatives."""

import torch
from torch import Tensor

_UNKNOWN = -1
_PARTS = {"row": (torch.long, _UNKNOWN), "score": (torch.float32, float("nan"))}


class PairNegatives:
    """By name of the choice, the row of the negative that each of N pairs last had, and its score.

    So it holds a fixed number of entries, however long the training: those of each pair's last visit. A name takes
    room when it is first heard of.
    """

    def __init__(self, num_pairs: int):
        self.num_pairs = num_pairs
        self.choices: dict[str, dict[str, Tensor]] = {}

    @torch.no_grad()
    def add(self, index: Tensor, negatives: dict[str, dict[str, Tensor]]) -> None:
        """Writes down what the pairs in rows `index`, (B,), were compared with; see `methods._batch.PairLosses`."""
        for name, chosen in negatives.items():
            kept = self.choices.setdefault(
                name, {part: torch.full((self.num_pairs,), none, dtype=kind) for part, (kind, none) in _PARTS.items()}
            )
            for part, values in chosen.items():
                kept[part][index.cpu()] = values.detach().to(kept[part])

    def state_dict(self) -> dict[str, Tensor]:
        """All of it, by `name.part`."""
        return {f"{name}.{part}": values for name, kept in self.choices.items() for part, values in kept.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes what `state_dict` gave.

        Raises:
            ValueError: it is of another number of pairs, or something else.
        """
        choices: dict[str, dict[str, Tensor]] = {}
        for key, values in state.items():
            name, _, part = key.rpartition(".")
            if part not in _PARTS or values.shape != (self.num_pairs,):
                raise ValueError(f"{key} of shape {tuple(values.shape)} is no negative of {self.num_pairs} pairs.")
            choices.setdefault(name, {})[part] = values
        self.choices = choices
