"""All that a run knows of its training pairs, row by row, from wherever it comes."""

from torch import Tensor

from .bank import MemoryBank
from .negatives import PairNegatives
from .trust import TrustScores
from .weights import PairWeights


class PairMemory:
    """What the data, a frozen scorer and the memory bank say of N pairs, and what happened to them in training.

    Args:
        fingerprint: of the pairs; None of a stream.
        num_pairs: N; None of a stream, which does not say and of whose pairs nothing is kept.
        data_weight: what the data themselves say of each pair, (N,).
        trust: a scorer's cosines, if there are some already.

    Raises:
        InputError: the cosines are of other pairs.
    """

    def __init__(
        self,
        fingerprint: str | None,
        num_pairs: int | None,
        data_weight: Tensor | None = None,
        trust: TrustScores | None = None,
    ):
        self.fingerprint, self.num_pairs, self.data_weight = fingerprint, num_pairs, data_weight
        if trust is not None:
            trust.refuse_other_data(fingerprint, num_pairs)
        self.trust = trust
        self.bank: MemoryBank | None = None
        self.begin_run()

    def begin_run(self) -> None:
        """Forgets what an earlier training did to the pairs."""
        known = self.num_pairs is not None
        self.weights = PairWeights(self.num_pairs) if known else None
        self.negatives = PairNegatives(self.num_pairs) if known else None

    def of(self, index: Tensor) -> dict[str, Tensor]:
        """What is known of some pairs, (B,) by name: see `NoisyITMModel.needs_scores`.

        Args:
            index: rows of the pairs, int64 (B,), on the CPU.
        """
        known = {} if self.bank is None else {name: values[index] for name, values in self.bank.scores.items()}
        if self.trust is not None:
            known |= self.trust.of(index)
        if self.data_weight is not None:
            known["data_weight"] = self.data_weight[index]
        return known | {"last_weight": self.weights.last[index]}
