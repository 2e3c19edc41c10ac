"""Equality with the package `eccv_caption`, on its own MSCOCO captions: 1K, 5K, CxC and ECCV Caption."""

from fractions import Fraction

import pytest
import torch

from hf_noisy_itm.functional.retrieval import NOT_IN_GALLERY, extended_recall, recall, recall_of_folds

eccv_caption = pytest.importorskip("eccv_caption")
DEPTH = 250  # of the ranked lists: ten captions of a fold lie within, and all that CxC and ECCV Caption ask for


@pytest.fixture(scope="module")
def judge():
    return eccv_caption.Metrics()


@pytest.fixture(scope="module")
def gallery(judge):
    """Ids of captions and pictures in the order of the folds, and the picture's row of each caption."""
    caption_ids = [int(caption) for caption in judge.coco_ids]
    image_of = {caption: judge.coco_gts["t2i"][caption][0] for caption in caption_ids}
    image_ids = list(dict.fromkeys(image_of[caption] for caption in caption_ids))
    row = {image: number for number, image in enumerate(image_ids)}
    return image_ids, caption_ids, torch.tensor([row[image_of[caption]] for caption in caption_ids])


@pytest.fixture(scope="module", params=["random", "structured"])
def embeds(request, gallery):
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(len(gallery[0]), 32, generator=rng, dtype=torch.float64)
    texts = torch.randn(len(gallery[1]), 32, generator=rng, dtype=torch.float64)
    return images, (texts if request.param == "random" else 0.7 * texts + images[gallery[2]])


@pytest.fixture(scope="module")
def expected(judge, gallery, embeds):
    image_ids, caption_ids, _ = gallery
    images, texts = (torch.nn.functional.normalize(rows, dim=1) for rows in embeds)
    lists = {}
    for name, queries, items, query_ids, item_ids in (
        ("i2t", images, texts, image_ids, torch.tensor(caption_ids)),
        ("t2i", texts, images, caption_ids, torch.tensor(image_ids)),
    ):
        best = [item_ids[(part @ items.T).topk(DEPTH).indices] for part in queries.split(500)]
        lists[name] = dict(zip(query_ids, torch.cat(best).tolist()))
    wanted = ["coco_1k_recalls", "coco_5k_recalls", "cxc_recalls", "eccv_map_at_r", "eccv_rprecision", "eccv_r1"]
    return judge.compute_all_metrics(lists["i2t"], lists["t2i"], wanted, Ks=(1, 5, 10))


def percent(share, queries):
    """The correctly rounded percentage of a share that may be rounded itself, but is a number of queries over all."""
    exact = Fraction(share).limit_denominator(queries)
    assert abs(exact - Fraction(share)) < 1e-12
    return float(100 * exact)


def test_5k_and_1k(gallery, embeds, expected):
    for name, figures in (("5k", recall(*embeds, gallery[2])), ("1k", recall_of_folds(*embeds, gallery[2]))):
        for k in (1, 5, 10):
            for way, queries in (("i2t", 5000), ("t2i", 25_000)):
                assert figures[f"{way}_r@{k}"] == percent(expected[f"coco_{name}_r{k}"][way], queries)


@pytest.mark.parametrize("judgements", ["cxc", "eccv"])
@pytest.mark.parametrize("way", ["i2t", "t2i"])
def test_extended_positives(judge, gallery, embeds, expected, judgements, way):
    ids = gallery[:2] if way == "i2t" else gallery[1::-1]
    queries, items = embeds if way == "i2t" else embeds[::-1]
    lists = getattr(judge, f"{judgements}_gts")[way]
    row = {item: number for number, item in enumerate(ids[1])}
    # ECCV Caption names two captions that are not among the 25,000: right answers that nobody can find.
    strangers = {item for answers in lists.values() for item in answers} - set(row)
    assert len(strangers) == (2 if (judgements, way) == ("eccv", "i2t") else 0)
    positives = [[row.get(item, NOT_IN_GALLERY) for item in lists.get(query, [])] for query in ids[0]]
    figures = extended_recall(queries, items, positives)
    if judgements == "cxc":
        names = {f"r@{k}": f"cxc_r{k}" for k in (1, 5, 10)}
    else:
        names = {"r@1": "eccv_r1", "r_precision": "eccv_rprecision", "map@r": "eccv_map_at_r"}
    for ours, theirs in names.items():
        if ours.startswith("r@"):
            assert figures[ours] == percent(expected[theirs][way], len(lists))
        else:  # means of fractions of all kinds, which they add up in another order
            assert figures[ours] == pytest.approx(100 * expected[theirs][way], rel=1e-14)
    assert figures["queries"] == len(lists)
