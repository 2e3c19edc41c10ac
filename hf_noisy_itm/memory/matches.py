"""How similar right pairs are, and how similar their hardest wrong answers: what tells a false negative."""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..functional.false_negatives import match_log_odds, right_and_wrong
from ..functional.moments import Moments, fade, merge


class MatchMoments(nn.Module):
    """Running moments of both kinds of similarity, and the odds that follow from them.

    Args:
        prior: see `functional.false_negatives.match_log_odds`.
        at_least: likewise.
        monotone: likewise.
        kept: what remains of the past at each batch, in (0, 1]; 1 counts all values alike.
        exact: see `functional.moments.merge`.
        zero_own: see `functional.false_negatives.right_and_wrong`.
    """

    def __init__(
        self,
        prior: float,
        at_least: float,
        monotone: bool = True,
        kept: float = 1.0,
        exact: bool = True,
        zero_own: bool = False,
    ):
        super().__init__()
        self.prior, self.at_least, self.monotone = prior, at_least, monotone
        self.kept, self.exact, self.zero_own = kept, exact, zero_own
        for name in Moments._fields:  # of right pairs, and of wrong ones
            self.register_buffer(name, torch.empty(2, dtype=torch.float64))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Knows nothing."""
        for buffer in self.buffers():
            buffer.zero_()

    def read(self) -> tuple[Moments, Moments]:
        """Of right pairs and of wrong ones, scalars."""
        return tuple(Moments(*(getattr(self, name)[kind] for name in Moments._fields)) for kind in (0, 1))

    @torch.no_grad()
    def including(self, own: Tensor, hardest: Tensor) -> tuple[Moments, Moments]:
        """The same, as they will be when this batch is added.

        Args:
            own: see `functional.false_negatives.right_and_wrong`, of the pairs of all processes, (G,).
            hardest: (2, G).
        """
        new = right_and_wrong(own, hardest, self.zero_own)
        return tuple(merge(fade(past, self.kept), each, self.exact) for past, each in zip(self.read(), new))

    @torch.no_grad()
    def add(self, own: Tensor, hardest: Tensor) -> None:
        """Takes in a batch; see `including`."""
        right, wrong = self.including(own, hardest)
        for name, *values in zip(Moments._fields, right, wrong):
            getattr(self, name).copy_(torch.stack(values))

    def log_odds(self, cosines: Tensor, moments: tuple[Moments, Moments] | None = None) -> Tensor:
        """Of each candidate being a right answer, (B, K); by the moments as they are, if none are given."""
        right, wrong = moments or self.read()
        return match_log_odds(cosines, right, wrong, self.prior, self.at_least, self.monotone)

    def log_weight(self, cosines: Tensor, moments: tuple[Moments, Moments] | None = None) -> Tensor:
        """Logarithm of the chance that each candidate is wrong indeed, (B, K); 0 where nothing is known yet."""
        return logsigmoid(-self.log_odds(cosines, moments))
