"""Cosines in tiles: float32 where that is enough, float64 where two scores are too close for it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_CHUNK = 512  # rows that are float64 at a time: few enough to stay in a processor's cache


class Cosines:
    """Cosines of two sets of rows: whole tiles in float32, chosen pairs and doubtful tiles in float64."""

    def __init__(self, images: Tensor, texts: Tensor):
        (self.images, self.image_norm), (self.texts, self.text_norm) = with_norm(images), with_norm(texts)
        self.unit_images = self.images.float() / self.image_norm[:, None].float()
        self.unit_texts = self.texts.float() / self.text_norm[:, None].float()
        # A float32 product of unit rows of width D errs by about sqrt(D) / 4 roundings; this is four times that.
        self.error = torch.finfo(torch.float32).eps * (4 + math.sqrt(images.shape[1]))

    def tile(self, rows: slice, columns: slice, memory: Tensor) -> Tensor:
        """Float32 cosines of pictures with captions, (R, K), written into `memory`."""
        images, texts = self.unit_images[rows], self.unit_texts[columns]
        score = memory[: len(images) * len(texts)].view(len(images), len(texts))
        return torch.mm(images, texts.T, out=score)

    def exact_tile(self, rows: slice, columns: slice) -> Tensor:
        """The same in float64."""
        product = self.images[rows].double() @ self.texts[columns].double().T
        return product / self.image_norm[rows, None] / self.text_norm[columns]

    def exact(self, image_row: Tensor, text_row: Tensor) -> Tensor:
        """Float64 cosines of pairs of rows, (M,)."""
        cosine = torch.empty(len(image_row), dtype=torch.float64, device=image_row.device)
        for part, image, text in zip(cosine.split(_CHUNK), image_row.split(_CHUNK), text_row.split(_CHUNK)):
            torch.sum(self.images[image].double() * self.texts[text], dim=1, out=part)
        return cosine / self.image_norm[image_row] / self.text_norm[text_row]


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

    def add(self, score: Tensor, rows: slice, columns: slice, right: tuple[Tensor, Tensor]) -> None:
        """Counts one tile.

        Args:
            score: float32 (R, K), the right answers at minus infinity.
            rows: of the matrix that the tile covers.
            columns: likewise.
            right: where in the tile the right answers are.
        """
        here = rows if self.dim == 1 else columns
        shape = (-1, 1) if self.dim == 1 else (1, -1)
        low, high = self.low[here].view(shape), self.high[here].view(shape)
        # Comparing into floats, and adding those, is twice as fast as into bools; exact below 2**24 numbers a line.
        mask = self._memory[: score.numel()].view(score.shape)
        certain = torch.gt(score, high, out=mask).sum(self.dim)
        unsure = (torch.ge(score, low, out=mask).sum(self.dim) != certain).nonzero().squeeze(1)  # lines
        if len(unsure):
            lines = score.index_select(1 - self.dim, unsure)
            inside = lines >= low.index_select(1 - self.dim, unsure)
            place = (inside & (lines <= high.index_select(1 - self.dim, unsure))).nonzero(as_tuple=True)
            if len(place[0]) > score.numel() // 64:  # a model that answers many questions alike
                exact = self.cosines.exact_tile(rows, columns)
                exact[right] = -torch.inf
                certain = (exact >= self.threshold[here].view(shape)).sum(self.dim)
            else:
                line = unsure[place[1 - self.dim]]
                row, column = (line, place[1]) if self.dim == 1 else (place[0], line)
                self._doubtful.append((row + rows.start, column + columns.start))
                self._num_doubtful += len(row)
        self.total[here] += certain.long()
        if self._num_doubtful > 2**18:
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
    if embeds.dtype == torch.float16 or bool(((largest < 1e-30) | (largest > 1e30)).any()):
        embeds = embeds.double() / largest[:, None]
    norm = torch.cat([torch.linalg.vector_norm(rows.double(), dim=1) for rows in embeds.split(_CHUNK)])
    return embeds, norm.where(norm > 0, 1.0)


def unit_rows(embeds: Tensor) -> Tensor:
    """Unit rows in float64, whatever the scale; a zero row stays zero."""
    embeds, norm = with_norm(embeds)
    return embeds / norm[:, None]


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: neither TF32 nor bfloat16, nor what autocast would make of them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
