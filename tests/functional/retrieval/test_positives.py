from math import fsum

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import retrieval_average_precision

from hf_noisy_itm.functional.retrieval import NOT_IN_GALLERY, category_map, extended_recall, recall

from .test_ranks import TIE, exact_cosines, uneven


def naive_order(scores, right):
    """Ranks of all items, wrong ones first among equals: a selection sort."""
    left, order = set(range(len(scores))), []
    while left:
        best = max(scores[item] for item in left)
        level = sorted(item for item in left if scores[item] >= best - TIE)
        order += [item for item in level if item not in right] + [item for item in level if item in right]
        left -= set(level)
    return order


def naive_figures(scores, positives, ks):
    lists = {name: [] for name in [*(f"r@{k}" for k in ks), "r_precision", "map@r"]}
    for row, right in zip(scores, map(set, positives)):
        if not right:
            continue
        found = [item in right for item in naive_order(row, right)]
        for k in ks:
            lists[f"r@{k}"].append(any(found[:k]))
        number = len(right)
        lists["r_precision"].append(sum(found[:number]) / number)
        lists["map@r"].append(fsum(sum(found[:k]) / k for k in range(1, number + 1) if found[k - 1]) / number)
    return {name: 100 * fsum(values) / len(values) for name, values in lists.items()} | {
        "queries": len(lists["map@r"])
    }


@st.composite
def questions(draw):
    """Queries, items and right answers; vectors come from a small pool, so there are many ties."""
    pool = torch.randn(draw(st.integers(1, 8)), 4, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    sizes = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    queries, items = (
        pool[draw(st.lists(st.integers(0, len(pool) - 1), min_size=size, max_size=size))] for size in sizes
    )
    answers = st.lists(st.integers(0, sizes[1] - 1), max_size=sizes[1])
    return queries, items, draw(st.lists(answers, min_size=sizes[0], max_size=sizes[0]).filter(any))


@given(questions(), st.data())
def test_figures_equal_a_selection_sort(question, data):
    queries, items, positives = question
    ks = data.draw(st.lists(st.integers(1, len(items)), min_size=1, max_size=3, unique=True))
    expected = naive_figures(exact_cosines(queries, items).tolist(), positives, ks)
    assert extended_recall(queries, items, positives, ks) == expected  # to the last digit


def test_a_full_score_is_100_exactly():
    """Also where a third or a seventh of a query is added up that often."""
    items = torch.eye(21)
    positives = [[query] for query in range(21)]
    assert set(extended_recall(items, items, positives).values()) == {100.0, 21}
    queries = torch.stack([items[part * 7 : part * 7 + 7].sum(dim=0) for part in range(3)])
    labels = torch.arange(21) // 7
    assert category_map(queries, torch.arange(3), items, labels) == 100.0
    assert extended_recall(queries, items, [list(range(p * 7, p * 7 + 7)) for p in range(3)])["map@r"] == 100.0


def test_rounding_is_no_lead_over_a_rival():
    """Items of one direction and many lengths: their cosines differ in the last bits, and are ties nevertheless."""
    rng = torch.Generator().manual_seed(0)
    direction, scale = torch.randn(16, generator=rng).double(), 1 + torch.rand(60, generator=rng).double()
    items, queries = direction * scale[:, None], torch.randn(60, 16, generator=rng) + direction
    cosines = exact_cosines(queries, items)
    lead = cosines.argmax(dim=1)
    assert (cosines.amax(dim=1) - cosines.amin(dim=1) > 0).any()  # what a comparison of rounded numbers goes by
    figures = extended_recall(queries, items, lead[:, None].tolist(), (1, 59, 60))
    assert (figures["r@1"], figures["r@59"], figures["r@60"]) == (0, 0, 100)
    assert category_map(queries, lead, items, torch.arange(60)) == pytest.approx(100 / 60)


def test_ties_go_on_beyond_what_is_looked_at():
    """All items tie, but those that rounding puts first are right: that the next one scores less must not end it."""
    rng = torch.Generator().manual_seed(0)
    items = torch.randn(16, generator=rng).double() * (1 + torch.rand(60, 1, generator=rng).double())
    tried = 0
    for query in torch.randn(200, 1, 16, generator=rng).double():
        score, order = exact_cosines(query, items)[0].sort(descending=True)
        if len(drops := (score[1:-1] > score[2:]).nonzero()):  # how a processor rounds is its own affair
            tried += 1
            assert extended_recall(query, items, [order[: int(drops[0]) + 2].tolist()], (2,))["r@2"] == 0
    assert tried


def test_figures_by_hand():
    # Query 0 ranks items 0, 1, 2, 3; right are 1 and 3. R = 2: of the first two one is right, R-Precision 1/2;
    # mAP@R = (0 + 1/2) / 2 = 1/4. Query 1 has no answer. Query 2 ranks 3, 2, 1, 0; right is 3: all figures 1.
    angle = torch.tensor([0.0, 0.2, 0.5, 0.9])
    items = torch.stack([angle.cos(), angle.sin()], dim=1)
    queries = torch.stack([items[0], items[1], items[3]])
    assert extended_recall(queries, items, [[1, 3], [], [3]], ks=(1, 2)) == pytest.approx(
        {"r@1": 50, "r@2": 100, "r_precision": 75, "map@r": 62.5, "queries": 2}
    )


def test_a_right_answer_outside_the_gallery_is_never_found():
    # Query 0 finds item 0 first, and the two others not at all: R-Precision 1/3, mAP@R 1/3. Query 1 finds nothing.
    figures = extended_recall(
        torch.eye(3)[:2], torch.eye(3), [[0, NOT_IN_GALLERY, NOT_IN_GALLERY], [NOT_IN_GALLERY]], (1,)
    )
    assert figures == pytest.approx({"r@1": 50, "r_precision": 100 / 6, "map@r": 100 / 6, "queries": 2})


def test_with_the_given_captions_alone_it_is_plain_recall():
    images, texts, owner = uneven(50, 130)
    own = [(owner == image).nonzero().squeeze(1).tolist() for image in range(50)]
    plain = recall(images, texts, owner)
    i2t, t2i = extended_recall(images, texts, own), extended_recall(texts, images, owner[:, None].tolist())
    for k in (1, 5, 10):
        assert i2t[f"r@{k}"] == pytest.approx(plain[f"i2t_r@{k}"])
        assert t2i[f"r@{k}"] == pytest.approx(plain[f"t2i_r@{k}"])


@pytest.mark.parametrize(
    ("positives", "ks", "message"),
    [
        ([[0]], (1,), "2 queries but positives for 1"),
        ([[0], [3]], (1,), "items 0 to 3, but there are items 0 to 2"),
        ([[-2], [0]], (1,), "items -2 to 0"),
        ([[], []], (1,), "None of the 2 queries"),
        ([[0], [1]], (4,), r"gallery \(3\), got \[4\]"),
        ([[0], None], (1,), "right answers of query 1 must be a list of items, got None"),
        ([0, 1], (1,), "right answers of query 0 must be a list of items, got 0"),
        ({0: [0], 1: [1]}, (1,), "positives must be a list with a list of items for each query"),
        ([[0], ["a"]], (1,), "Right answers must be integers, got 'a' for one"),
        ([[0], [True]], (1,), "Right answers must be integers, got True for one"),
        ([[0], [1.0]], (1,), "Right answers must be integers, got 1.0 for one"),
        ([[0], [2**70]], (1,), f"at most 64 bits, got {2**70}"),
    ],
)
def test_what_cannot_be_ranked_is_refused(positives, ks, message):
    with pytest.raises(ValueError, match=message):
        extended_recall(torch.eye(3)[:2], torch.eye(3), positives, ks)


def test_blocks_do_not_matter(monkeypatch):
    queries, items, _ = uneven(30, 80)
    positives = [[row, row + 30] for row in range(30)]
    whole = (
        extended_recall(queries, items, positives),
        category_map(queries, torch.arange(30) % 4, items, torch.arange(80) % 5),
    )
    monkeypatch.setattr("hf_noisy_itm.functional.retrieval._positives._SCORES", 160)
    parts = (
        extended_recall(queries, items, positives),
        category_map(queries, torch.arange(30) % 4, items, torch.arange(80) % 5),
    )
    assert parts == whole


@pytest.mark.parametrize("make", [np.array, torch.tensor, lambda rows: [set(row) for row in rows], tuple])
def test_right_answers_may_be_arrays_tensors_or_sets(make):
    queries, items, _ = uneven(10, 30)
    rows = [[query, query + 10] for query in range(10)]
    assert extended_recall(queries, items, make(rows)) == extended_recall(queries, items, rows)


@pytest.mark.parametrize("seed", range(5))
def test_category_map_is_that_of_torchmetrics(seed):
    rng = torch.Generator().manual_seed(seed)
    queries, items = torch.randn(60, 8, generator=rng), torch.randn(90, 8, generator=rng)
    query_labels, item_labels = torch.randint(0, 7, (60,), generator=rng), torch.randint(0, 6, (90,), generator=rng)
    cosines = exact_cosines(queries, items)
    expected = [
        float(retrieval_average_precision(2 + cosines[row], item_labels == query_labels[row])) for row in range(60)
    ]
    assert (query_labels == 6).any()  # queries without a match count as 0, as MRL defines it
    # torchmetrics computes in float32, and takes a score of 0 or less for "not retrieved", hence the 2.
    assert category_map(queries, query_labels, items, item_labels) == pytest.approx(100 * np.mean(expected), rel=1e-6)


def test_category_map_counts_ties_against_the_model():
    # All items score alike. Two of four are right, and come last: AP = (1/3 + 2/4) / 2.
    figure = category_map(torch.ones(1, 3), torch.tensor([1]), torch.ones(4, 3), torch.tensor([1, 0, 1, 0]))
    assert figure == pytest.approx(100 * (1 / 3 + 2 / 4) / 2)


@pytest.mark.parametrize("convert", [torch.Tensor.numpy, torch.Tensor.tolist, lambda labels: labels.to(torch.uint16)])
def test_category_map_takes_labels_of_any_integers(convert):
    queries, items, _ = uneven(10, 30)
    labels = torch.arange(10) % 3, torch.arange(30) % 4
    expected = category_map(queries, labels[0], items, labels[1])
    assert category_map(queries, convert(labels[0]), items, labels[1]) == expected
    assert category_map(queries, labels[0], items, convert(labels[1])) == expected


def test_category_map_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="query labels must be integers, got torch.float32, nan for one"):
        category_map(torch.eye(2), torch.full((2,), torch.nan), torch.eye(2), torch.arange(2))
    with pytest.raises(ValueError, match="item labels must be integers, got 'cat' for one"):
        category_map(torch.eye(2), [0, 1], torch.eye(2), ["cat", "dog"])
    with pytest.raises(ValueError, match=r"2 query embeddings but query labels \(3,\)"):
        category_map(torch.eye(2), torch.arange(3), torch.eye(2), torch.arange(2))
