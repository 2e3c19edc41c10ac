"""What one figure is over seeds: mean, deviation, and differences and ratios of the seeds that two have."""

from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True)
class Spread:
    """Mean and deviation (n - 1) of one figure over seeds.

    Args:
        values: by seed.
    """

    values: dict[int, float]

    @property
    def mean(self) -> float:
        """Over all seeds."""
        return mean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """None of one seed."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    def less(self, other: "Spread") -> "Spread | None":
        """Differences of the seeds that both have; None if these are none."""
        both = {seed: self.values[seed] - other.values[seed] for seed in self.values if seed in other.values}
        return Spread(both) if both else None

    def over(self, other: "Spread") -> "Spread | None":
        """Ratios likewise."""
        both = {seed: self.values[seed] / other.values[seed] for seed in self.values if seed in other.values}
        return Spread(both) if both else None

    def told(self, digits: int = 1, sign: str = "") -> str:
        """`578.0 ± 0.1`."""
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:{sign}.{digits}f}{spread}"
