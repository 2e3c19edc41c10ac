"""What a draw of noise on captions returns."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Noise:
    """A draw of noise on N captions, each in the row of a picture.

    Where captions move, `is_noisy` says whether a row now has a caption that was written for another picture; where
    they are damaged in place, whether the text was changed. A draw on top of another draw knows only its own part.

    Args:
        source: row whose caption now stands in row i, int64 (N,). Not always a permutation: each function says so.
        is_noisy: bool (N,).
        noise_source: id of the picture that the caption now in row i was written for, (N,), as the ids were given.
        nominal: rate that was asked for, in [0, 1]; None where nobody said.
        captions: the N texts, only for the kinds that change text.
    """

    source: np.ndarray
    is_noisy: np.ndarray
    noise_source: np.ndarray
    nominal: float | None
    captions: list[str] | None = None

    @property
    def realised(self) -> float:
        """Share of rows that are noisy, in [0, 1]; 0 without rows."""
        return float(self.is_noisy.mean()) if len(self.is_noisy) else 0.0

    @property
    def sha256(self) -> str:
        """Names the draw: SHA-256 of `source` as little-endian int64.

        Of kinds that change text the captions go before it, each as UTF-8 with a zero byte after it, so that a stream
        can be hashed as it passes.
        """
        digest = hashlib.sha256()
        for caption in self.captions or ():
            digest.update(caption.encode("utf-8", "surrogatepass") + b"\0")
        digest.update(np.ascontiguousarray(self.source, dtype="<i8").tobytes())
        return digest.hexdigest()

    def apply(self, captions: Sequence[str]) -> list[str]:
        """The captions as they stand after the draw, N strings."""
        if len(captions) != len(self.source):
            raise ValueError(f"The draw is for {len(self.source)} captions, got {len(captions)}.")
        return list(self.captions) if self.captions is not None else [captions[row] for row in self.source.tolist()]


def moved(source: np.ndarray, image_of_caption: np.ndarray, nominal: float | None) -> Noise:
    """The `Noise` of moved captions: a row is noisy if its caption was written for another picture."""
    noise_source = image_of_caption[source]
    return Noise(source, noise_source != image_of_caption, noise_source, nominal)


def check_rate(rate: float) -> None:
    """Raises ValueError if the rate is no share."""
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"A noise rate is between 0 and 1, got {rate}.")


def picture_ids(image_of_caption: Sequence | np.ndarray) -> np.ndarray:
    """Picture ids as an array (N,); raises ValueError for another shape, or for what is no number and no string."""
    ids = np.asarray(image_of_caption)
    if ids.ndim != 1:
        raise ValueError(f"image_of_caption names one picture for each caption, got shape {ids.shape}.")
    cells = ids.tolist() if ids.dtype.kind in "fcO" else ()
    wrong = next(
        (row for row, cell in enumerate(cells) if not isinstance(cell, int | float | str) or cell != cell), None
    )
    if wrong is not None:
        raise ValueError(f"The picture id of row {wrong} is {cells[wrong]!r}: ids are numbers or strings, none empty.")
    if len({isinstance(cell, str) for cell in cells}) > 1:
        raise ValueError("Some picture ids are strings and some numbers; make them of one kind.")
    return ids
