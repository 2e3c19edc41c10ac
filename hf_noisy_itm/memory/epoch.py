"""Which epoch it is: for methods that begin differently from how they go on."""

import torch
from torch import nn


class Epoch(nn.Module):
    """A number that is saved with the model; asking for it does not wait for the device."""

    def __init__(self):
        super().__init__()
        self.register_buffer("saved", torch.empty((), dtype=torch.long))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """The first epoch, 0."""
        self.saved.zero_()
        self._number = None

    @torch.no_grad()
    def begin(self, number: int) -> None:
        """To be called from a method's `begin_epoch`."""
        self.saved.fill_(number)
        self._number = number

    @property
    def number(self) -> int:
        """Counted from 0."""
        if self._number is None:  # once after loading
            self._number = int(self.saved)
        return self._number

    def _load_from_state_dict(self, *args, **kwargs):
        super()._load_from_state_dict(*args, **kwargs)
        self._number = None
