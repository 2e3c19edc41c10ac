"""Retrieval with any number of right answers per query: extended positives and categories."""

from collections.abc import Callable, Iterator, Sequence
from operator import index

import torch
from torch import Tensor

from ._checks import check_embeds, checked_ks
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
    Sec. 3.2).

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
    if len(positives) != len(query_embeds):
        raise ValueError(f"There are {len(query_embeds)} queries but positives for {len(positives)}.")
    ks = checked_ks(ks, num_items, "the gallery")
    asked = [query for query, answers in enumerate(positives) if len(answers)]
    if not asked:
        raise ValueError(f"None of the {len(positives)} queries has a right answer.")
    rows = torch.tensor([row for row, query in enumerate(asked) for _ in positives[query]])
    try:
        answers = torch.tensor([index(answer) for query in asked for answer in positives[query]])
    except TypeError:
        raise ValueError("Right answers are rows of items, integers; there is something else among them.") from None
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

    figures = {f"r@{k}": 0.0 for k in ks} | {"r_precision": 0.0, "map@r": 0.0}
    depth = max(*ks, *torch.bincount(rows).tolist())
    for found, number in _in_rank_order(query_embeds[asked], item_embeds, relevant, depth):
        rank = torch.arange(1, found.shape[1] + 1, device=found.device)
        early = found & (rank <= number[:, None])
        for k in ks:
            figures[f"r@{k}"] += found[:, :k].any(dim=1).sum().item()
        figures["r_precision"] += (early.sum(dim=1) / number.double()).sum().item()
        precision = early.cumsum(dim=1) / rank.double()
        figures["map@r"] += ((precision * early).sum(dim=1) / number).sum().item()
    return {name: 100.0 * (value / len(asked)) for name, value in figures.items()} | {"queries": len(asked)}


@torch.no_grad()
def category_map(query_embeds: Tensor, query_labels: Tensor, item_embeds: Tensor, item_labels: Tensor) -> float:
    """Mean average precision over all retrieved items, where items of the query's category are right (MRL's metric).

    AP = 1/R sum_k precision(k) relevant(k) over the whole gallery by cosine, where R is the number of right items; 0
    for a query whose category is not in the gallery (Hu et al., CVPR 2021). Ties count against the model.

    Args:
        query_embeds: (Q, D), any scale.
        query_labels: category of each query, int (Q,).
        item_embeds: the gallery, (N, D).
        item_labels: category of each item, int (N,).

    Returns:
        Percentage.

    Raises:
        ValueError: shapes do not fit, or an embedding is not finite.
    """
    check_embeds(query_embeds, item_embeds, ("query", "item"))
    query_labels, item_labels = torch.as_tensor(query_labels), torch.as_tensor(item_labels)
    for name, labels, embeds in (("query", query_labels, query_embeds), ("item", item_labels, item_embeds)):
        if tuple(labels.shape) != (len(embeds),):
            raise ValueError(f"There are {len(embeds)} {name} embeddings but {name} labels {tuple(labels.shape)}.")
    labels = query_labels.to(item_embeds.device), item_labels.to(item_embeds.device)

    def relevant(part: slice) -> tuple[Tensor, Tensor]:
        mask = labels[0][part, None] == labels[1][None, :]
        return mask, mask.sum(dim=1)

    total = 0.0
    for found, number in _in_rank_order(query_embeds, item_embeds, relevant):
        rank = torch.arange(1, len(item_embeds) + 1, device=found.device)
        precision = found.cumsum(dim=1) / rank.double()
        total += ((precision * found).sum(dim=1) / number.clamp(min=1)).sum().item()
    return 100.0 * total / len(query_embeds)


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
        score, order = similarity.topk(min(depth + 1, num_items), dim=1)
        if depth < num_items and bool((score[:, -2] - score[:, -1] <= TIE).any()):  # ties go on beyond the depth
            score, order = similarity.sort(dim=1, descending=True)
        found = right.gather(1, order)
        below = score[:, :-1] - score[:, 1:] > TIE
        if not bool(below.all()):
            level = torch.nn.functional.pad(below.cumsum(dim=1), (1, 0))  # the same among ties
            found = found.gather(1, (2 * level + found).argsort(dim=1))
        yield found[:, :depth], number
