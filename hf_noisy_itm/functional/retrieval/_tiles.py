"""Cosines in tiles: float32 where that is enough, float64 where two scores are too close for it."""

from functools import cached_property

import torch
from torch import Tensor

_CHUNK = 512  # rows that are float64 at a time: few enough to stay in a processor's cache

_DOUBTFUL = 2**18  # pairs that are kept until they are decided


class Cosines:
    """Cosines of two sets of rows: whole tiles in float32, chosen pairs and doubtful tiles in float64."""

    def __init__(self, images: Tensor, texts: Tensor):
        (self.images, self.image_norm), (self.texts, self.text_norm) = with_norm(images), with_norm(texts)
        self.unit_images = self.images.float() / self.image_norm[:, None].float()
        self.unit_texts = self.texts.float() / self.text_norm[:, None].float()
        # A sum of D products errs by at most D roundings of its terms' sizes, in whatever order it is made (Higham,
        # Accuracy and Stability of Numerical Algorithms, 2002, Sec. 3.1), and those of unit rows add up to 1 at most;
        # the rest is for the rows and the thresholds, which are rounded too. Errors of typical rows are far smaller,
        # but those of constant or quantised rows are not.
        self.error = torch.finfo(torch.float32).eps / 2 * (images.shape[1] + 8)

    def exact(self, image_row: Tensor, text_row: Tensor) -> Tensor:
        """Float64 cosines of pairs of rows, (M,)."""
        cosine = torch.empty(len(image_row), dtype=torch.float64, device=image_row.device)
        for part, image, text in zip(cosine.split(_CHUNK), image_row.split(_CHUNK), text_row.split(_CHUNK)):
            torch.sum(self.images[image].double() * self.texts[text], dim=1, out=part)
        return cosine / self.image_norm[image_row] / self.text_norm[text_row]


class Tile:
    """Cosines of some pictures (R rows) with some captions (K columns), the right answers at minus infinity.

    Args:
        cosines: of the matrix.
        rows: of the matrix that the tile covers.
        columns: likewise.
        right: where in the tile the right answers are.
        memory: float32, at least R K numbers, which `score` overwrites.
    """

    def __init__(self, cosines: Cosines, rows: slice, columns: slice, right: tuple[Tensor, Tensor], memory: Tensor):
        self.rows, self.columns = rows, columns
        self._cosines, self._right = cosines, right
        images, texts = cosines.unit_images[rows], cosines.unit_texts[columns]
        self.score = memory[: len(images) * len(texts)].view(len(images), len(texts))
        torch.mm(images, texts.T, out=self.score)
        self.score[right] = -torch.inf

    @cached_property
    def exact(self) -> Tensor:
        """The same in float64."""
        cosines, rows, columns = self._cosines, self.rows, self.columns
        product = cosines.images[rows].double() @ cosines.texts[columns].double().T
        product = product / cosines.image_norm[rows, None] / cosines.text_norm[columns]
        product[self._right] = -torch.inf
        return product


class Tally:
    """Counts for each line of a matrix the scores that reach the line's threshold, tile by tile.

    Scores that float32 cannot tell from the threshold are noted, and decided in float64 when many have come together.

    Args:
        threshold: float64, (N,).
        dim: what is counted over: 1 for rows of the matrix (pictures), 0 for columns (captions).
        cosines: of the matrix.
        memory: float32, as many numbers as the largest tile has; it is overwritten.
    """

    def __init__(self, threshold: Tensor, dim: int, cosines: Cosines, memory: Tensor):
        self.threshold, self.dim, self.cosines = threshold, dim, cosines
        self.low, self.high = (threshold - cosines.error).float(), (threshold + cosines.error).float()
        self.total = torch.zeros(len(threshold), dtype=torch.long, device=threshold.device)
        self._memory = memory
        self._doubtful: list[tuple[Tensor, Tensor]] = []
        self._num_doubtful = 0

    def add(self, tile: Tile) -> None:
        """Counts one tile."""
        here = tile.rows if self.dim == 1 else tile.columns
        shape = (-1, 1) if self.dim == 1 else (1, -1)
        score, low, high = tile.score, self.low[here].view(shape), self.high[here].view(shape)
        # Comparing into floats, and adding those, is twice as fast as into bools; exact below 2**24 numbers a line.
        mask = self._memory[: score.numel()].view(score.shape)
        certain = torch.gt(score, high, out=mask).sum(self.dim)
        unsure = (torch.ge(score, low, out=mask).sum(self.dim) != certain).nonzero().squeeze(1)  # lines
        if len(unsure):
            lines = score.index_select(1 - self.dim, unsure)
            inside = lines >= low.index_select(1 - self.dim, unsure)
            place = (inside & (lines <= high.index_select(1 - self.dim, unsure))).nonzero(as_tuple=True)
            if len(place[0]) > score.numel() // 64:  # a model that answers many questions alike
                certain = (tile.exact >= self.threshold[here].view(shape)).sum(self.dim)
            else:
                line = unsure[place[1 - self.dim]]
                row, column = (line, place[1]) if self.dim == 1 else (place[0], line)
                self._doubtful.append((row + tile.rows.start, column + tile.columns.start))
                self._num_doubtful += len(row)
        self.total[here] += certain.long()
        if self._num_doubtful > _DOUBTFUL:
            self._decide()

    def result(self) -> Tensor:
        """Counts of all lines, int64 (N,)."""
        self._decide()
        return self.total

    def _decide(self) -> None:
        if self._doubtful:
            pair = [torch.cat(rows) for rows in zip(*self._doubtful)]
            line = pair[1 - self.dim]
            reached = line[self.cosines.exact(*pair) >= self.threshold[line]]
            self.total += torch.bincount(reached, minlength=len(self.total))
            self._doubtful, self._num_doubtful = [], 0


def with_norm(embeds: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and their lengths in float64, (N,); rows whose square would overflow or vanish are scaled first.

    A row of zeros counts as of length one.
    """
    largest = torch.linalg.vector_norm(embeds, torch.inf, dim=1)
    largest = largest.where(largest > 0, 1.0)
    if bool(((largest < 1e-30) | (largest > 1e30)).any()):
        embeds = embeds.double() / largest[:, None]
    # Into one tensor: a small result would lie where its chunk was, and the heap would grow by all chunks.
    norm = torch.empty(len(embeds), dtype=torch.float64, device=embeds.device)
    for rows, out in zip(embeds.split(_CHUNK), norm.split(_CHUNK)):
        torch.linalg.vector_norm(rows.double(), dim=1, out=out)
    return embeds, norm.where(norm > 0, 1.0)


def unit_rows(embeds: Tensor) -> Tensor:
    """Unit rows in float64, whatever the scale; a zero row stays zero."""
    embeds, norm = with_norm(embeds)
    return embeds / norm[:, None]
