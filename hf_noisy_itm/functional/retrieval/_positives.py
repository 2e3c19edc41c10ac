"""Retrieval with any number of right answers per query: extended positives and categories."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import fsum

import numpy as np
import torch
from torch import Tensor

from ._checks import check_embeds, checked_ks, integers
from ._ranks import TIE
from ._tiles import unit_rows

NOT_IN_GALLERY = -1  # names a right answer that nobody can find
_SCORES = 2_000_000  # similarities in memory at a time, in float64


@torch.no_grad()
def extended_recall(
    query_embeds: Tensor, item_embeds: Tensor, positives: Sequence[Sequence[int]], ks: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Recall@K, R-Precision and mAP@R where a query has several right answers, in one direction.

    With the lists of CxC (Parekh et al., EACL 2021) or ECCV Caption (Chun et al., ECCV 2022), or with the captions of
    other pictures that are true of one, as `scenes` knows them. mAP@R is the mean over queries of
    1/R sum_{k<=R} precision(k) relevant(k), where R is the number of right answers (Musgrave et al., ECCV 2020,
    Sec. 3.2). A query's figure is the quotient of a sum without rounding errors, and so is the mean: neither the order
    of queries nor the size of blocks matters.

    Relations: `recall` is faster where right answers are a picture's own captions; `category_map` takes labels.

    Args:
        query_embeds: (Q, D), any scale.
        item_embeds: the gallery, (N, D).
        positives: for each query, rows of its right answers; a query with none is left out. `NOT_IN_GALLERY` (-1)
            stands for a right answer that the gallery lacks, as ECCV Caption names two: it counts as never found.
        ks: cut-offs, each between 1 and N.

    Returns:
        Percentages `r@K`, `r_precision` and `map@r`, and `queries`, how many were counted.

    Raises:
        ValueError: shapes, rows or K do not fit, or no query has an answer.
    """
    check_embeds(query_embeds, item_embeds, ("query", "item"))
    num_items = len(item_embeds)
    ks = checked_ks(ks, num_items, "the gallery")
    asked, rows, answers = _answers(positives, len(query_embeds))
    if int(answers.min()) < NOT_IN_GALLERY or int(answers.max()) >= num_items:
        raise ValueError(
            f"Right answers are items {int(answers.min())} to {int(answers.max())}, "
            f"but there are items 0 to {num_items - 1}."
        )

    absent = torch.bincount(rows[answers == NOT_IN_GALLERY], minlength=len(asked)).to(item_embeds.device)

    def relevant(part: slice) -> tuple[Tensor, Tensor]:
        inside = (rows >= part.start) & (rows < part.stop) & (answers != NOT_IN_GALLERY)
        mask = torch.zeros(part.stop - part.start, num_items, dtype=torch.bool)
        mask[rows[inside] - part.start, answers[inside]] = True
        mask = mask.to(item_embeds.device)
        return mask, mask.sum(dim=1) + absent[part]

    hits, r_precision, average = dict.fromkeys(ks, 0), [], []
    depth = max(*ks, *torch.bincount(rows).tolist())
    for found, number in _in_rank_order(query_embeds[asked], item_embeds, relevant, depth):
        for k in ks:
            hits[k] += int(found[:, :k].any(dim=1).sum())
        rank = torch.arange(1, found.shape[1] + 1, device=found.device)
        early = found & (rank <= number[:, None])
        r_precision += (early.sum(dim=1) / number.double()).tolist()
        average += _average_precision(early, number)
    figures = {f"r@{k}": 100 * count / len(asked) for k, count in hits.items()}
    figures |= {"r_precision": 100 * fsum(r_precision) / len(asked), "map@r": 100 * fsum(average) / len(asked)}
    return figures | {"queries": len(asked)}


@torch.no_grad()
def category_map(query_embeds: Tensor, query_labels: Tensor, item_embeds: Tensor, item_labels: Tensor) -> float:
    """Mean average precision over all retrieved items, where items of the query's category are right (MRL's metric).

    AP = 1/R sum_k precision(k) relevant(k) over the whole gallery by cosine, where R is the number of right items; 0
    for a query whose category is not in the gallery (Hu et al., CVPR 2021). Ties count against the model. Means are
    those of sums without rounding errors.

    Args:
        query_embeds: (Q, D), any scale.
        query_labels: category of each query, integers of any type, (Q,).
        item_embeds: the gallery, (N, D).
        item_labels: category of each item, integers of any type, (N,).

    Returns:
        Percentage.

    Raises:
        ValueError: shapes do not fit, a label is no integer, or an embedding is not finite.
    """
    check_embeds(query_embeds, item_embeds, ("query", "item"))
    query_labels, item_labels = integers(query_labels, "query labels"), integers(item_labels, "item labels")
    for name, labels, embeds in (("query", query_labels, query_embeds), ("item", item_labels, item_embeds)):
        if tuple(labels.shape) != (len(embeds),):
            raise ValueError(f"There are {len(embeds)} {name} embeddings but {name} labels {tuple(labels.shape)}.")
    labels = query_labels.to(item_embeds.device), item_labels.to(item_embeds.device)

    def relevant(part: slice) -> tuple[Tensor, Tensor]:
        mask = labels[0][part, None] == labels[1][None, :]
        return mask, mask.sum(dim=1)

    blocks = _in_rank_order(query_embeds, item_embeds, relevant)
    average = [value for found, number in blocks for value in _average_precision(found, number)]
    return 100 * fsum(average) / len(query_embeds)


def _answers(positives: Sequence[Sequence[int]], num_queries: int) -> tuple[list[int], Tensor, Tensor]:
    """Queries that have right answers; and of each answer the place of its query among these, and its item, (A,)."""
    if isinstance(positives, Mapping | str) or not hasattr(positives, "__len__"):
        raise ValueError(f"positives must be a list with a list of items for each query, got {positives!r:.80}.")
    if len(positives) != num_queries:
        raise ValueError(f"There are {num_queries} queries but positives for {len(positives)}.")
    asked, rows, items = [], [], []
    for query, answers in enumerate(positives):
        if isinstance(answers, Mapping | str) or not hasattr(answers, "__len__") or getattr(answers, "ndim", 1) != 1:
            raise ValueError(f"The right answers of query {query} must be a list of items, got {answers!r:.80}.")
        if len(answers):
            rows += [len(asked)] * len(answers)
            asked.append(query)
            items.extend(answers)  # `+=` would add an array to it
    if not asked:
        raise ValueError(f"None of the {num_queries} queries has a right answer.")
    return asked, torch.tensor(rows), integers(items, "Right answers")


def _average_precision(found: Tensor, number: Tensor) -> list[float]:
    """1/R sum_k precision(k) found(k) of each query, 0 where R is 0.

    Args:
        found: which of the ranked items are right, bool (Q, K).
        number: how many right items there are, R, (Q,).
    """
    row, place = found.nonzero(as_tuple=True)
    precision = (found.cumsum(dim=1)[row, place] / (place + 1).double()).tolist()
    ends = found.sum(dim=1).cumsum(dim=0).tolist()
    parts = zip([0, *ends], ends, number.tolist())
    return [fsum(precision[start:end]) / right if end > start else 0.0 for start, end, right in parts]


def _in_rank_order(
    queries: Tensor, items: Tensor, relevant: Callable[[slice], tuple[Tensor, Tensor]], depth: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Goes through blocks of queries; `relevant` tells of a block which items are right and how many, as yielded.

    Yields:
        Which of the first `depth` items (all if left out) are right, best score first and wrong ones first among ties,
        bool (block, depth), and how many items are right, (block,).
    """
    items, num_items = unit_rows(items), len(items)
    depth = min(depth or num_items, num_items)
    block = max(1, _SCORES // num_items)
    for start in range(0, len(queries), block):
        part = slice(start, min(start + block, len(queries)))
        similarity = unit_rows(queries[part].to(items.device)) @ items.T
        right, number = relevant(part)
        score, order = similarity.topk(depth + 1, dim=1) if depth < num_items else _sorted(similarity)
        if depth < num_items and bool((score[:, -2] - score[:, -1] <= TIE).any()):  # ties go on beyond the depth
            score, order = _sorted(similarity)
        found = right.gather(1, order)
        below = score[:, :-1] - score[:, 1:] > TIE
        if not bool(below.all()):
            level = torch.nn.functional.pad(below.cumsum(dim=1), (1, 0))  # the same among ties
            found = found.gather(1, (2 * level + found).argsort(dim=1))
        yield found[:, :depth], number


def _sorted(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of each row, highest first, and which items have them."""
    if similarity.device.type != "cpu":
        return similarity.sort(dim=1, descending=True)
    order = torch.from_numpy(np.argsort(-similarity.numpy(), axis=1))  # four times as fast as torch's sort
    return similarity.gather(1, order), order
