import numpy as np
import pytest
import torch

from hf_noisy_itm.functional.retrieval import Ranks, bootstrap_recall, recall, recall_of_folds, recall_of_ranks

from .test_ranks import uneven


def test_folds_are_means_over_disjoint_parts_of_the_gallery():
    images, texts, owner = uneven(60, 200)
    parts = []
    for start in (0, 20, 40):
        rows = [c for c in range(200) if start <= owner[c] < start + 20]
        parts.append(recall(images[start : start + 20], texts[rows], owner[rows] - start))
    folds = recall_of_folds(images, texts, owner, folds=3)
    assert folds == pytest.approx({name: np.mean([part[name] for part in parts]) for name in parts[0]})
    assert recall_of_folds(images, texts, owner, folds=1) == recall(images, texts, owner)


def test_five_folds_of_mscoco_are_1000_pictures_and_5000_captions_and_none_is_dropped(monkeypatch):
    seen = []

    def spy(image_embeds, text_embeds, image_of_caption):
        seen.append((len(image_embeds), len(text_embeds), sorted(set(image_of_caption.tolist()))))
        return Ranks(torch.zeros(len(image_embeds)), torch.zeros(len(text_embeds)))

    monkeypatch.setattr("hf_noisy_itm.functional.retrieval._recall.retrieval_ranks", spy)
    recall_of_folds(torch.ones(5000, 2), torch.ones(25000, 2), torch.arange(25000) % 5000)
    assert seen == [(1000, 5000, list(range(1000)))] * 5


def test_r_at_10_of_the_two_directions_is_not_mixed():
    # Ranks by hand: one of two pictures is found first, the other at rank 10 (0-based), so i2t R@10 is 50;
    # of four captions three have rank 3 and one has 40, so t2i R@10 is 75.
    ranks = Ranks(torch.tensor([0, 10] * 25), torch.tensor([3, 3, 3, 40] * 50))
    figures = recall_of_ranks(ranks)
    assert (figures["i2t_r@10"], figures["t2i_r@10"]) == (50, 75)
    assert figures["rsum"] == 50 + 50 + 50 + 0 + 75 + 75


def test_a_plain_pair_of_tensors_is_no_ranks():
    with pytest.raises(ValueError, match=r"Ranks are a Ranks\(i2t=…, t2i=…\), .*got a tuple"):
        recall_of_ranks((torch.zeros(50), torch.zeros(50)))


def test_pictures_that_cannot_be_divided_evenly_are_refused():
    with pytest.raises(ValueError, match="17 pictures cannot be divided into 5 folds"):
        recall_of_folds(*uneven(17, 40), folds=5)
    with pytest.raises(ValueError, match="folds must be at least 1, got 0"):
        recall_of_folds(*uneven(17, 40), folds=0)


@pytest.mark.parametrize("folds", [2.0, True, "2", None])
def test_folds_are_a_whole_number(folds):
    with pytest.raises(ValueError, match=f"folds must be a whole number, got {folds!r}"):
        recall_of_folds(*uneven(18, 40), folds=folds)
    assert recall_of_folds(*uneven(18, 40), folds=np.int64(2), ks=(1,)) == recall_of_folds(
        *uneven(18, 40), folds=2, ks=(1,)
    )


def test_a_fold_with_too_small_a_gallery_is_named():
    images, texts, owner = uneven(20, 60)
    with pytest.raises(ValueError, match=r"the smaller gallery of fold 1 of 2 \(10\), got \[11\]"):
        recall_of_folds(images, texts, owner, folds=2, ks=(11,))


def test_an_interval_covers_what_other_queries_of_the_kind_give():
    # Every picture is found with chance 0.3 and each of its four captions with the same chance as the others of that
    # picture, so captions of a picture go together. The true recalls are known, and 95 % of intervals must cover them.
    truth = {"i2t_r@1": 30.0, "t2i_r@1": 50.0, "rsum": 80.0}
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chance = rng.choice([0.2, 0.8], size=(100, 1))
        ranks = Ranks(
            torch.from_numpy((rng.random(100) > 0.3).astype(int)),
            torch.from_numpy((rng.random((100, 4)) > chance).astype(int).ravel()),
        )
        intervals = bootstrap_recall(ranks, torch.arange(400) // 4, rng, ks=(1,), samples=200)
        for name, (low, high) in intervals.items():
            covered[name] += low <= truth[name] <= high
    # 200 Bernoulli(0.95) draws: 180 to 198 has chance 0.997; drawing captions one by one would give about 165.
    assert all(180 <= count <= 198 for count in covered.values()), covered


def test_intervals_are_the_same_for_the_same_generator_and_collapse_without_spread():
    ranks = Ranks(torch.zeros(20, dtype=torch.long), torch.zeros(60, dtype=torch.long))
    owner = torch.arange(60) % 20
    assert bootstrap_recall(ranks, owner, np.random.default_rng(0))["rsum"] == (600, 600)
    mixed = Ranks(torch.arange(20), torch.arange(60) % 20)
    first, second = (bootstrap_recall(mixed, owner, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert set(first) == {f"{way}_r@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)} | {"rsum"}


def test_pictures_with_more_captions_count_more():
    """Half of the pictures have one caption, found; the others nine, lost: a sample's share is by its own captions."""
    owner = torch.cat([torch.arange(0, 100, 2), torch.arange(1, 100, 2).repeat_interleave(9)])
    ranks = Ranks(torch.zeros(100, dtype=torch.long), (owner % 2).long())
    low, high = bootstrap_recall(ranks, owner, np.random.default_rng(0), ks=(1,), level=0.98)["t2i_r@1"]
    assert low < 10 < high  # 50 of 500 captions
    # m of the found pictures and 100 - m of the others give m / (m + 9 (100 - m)); m is 38 to 62 with chance 0.99.
    assert low == pytest.approx(100 * 38 / (38 + 9 * 62), abs=0.8)
    assert high == pytest.approx(100 * 62 / (62 + 9 * 38), abs=1.2)


def test_an_interval_holds_its_figure_where_the_samples_leave_it_out():
    """One picture has nine of ten captions, all found: a sample without it has a far lower share."""
    owner = torch.tensor([0] * 9 + [1])
    ranks = Ranks(torch.tensor([0, 1]), torch.tensor([0] * 9 + [1]))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        low, high = bootstrap_recall(ranks, owner, rng, ks=(1,), level=0.1, samples=20)["t2i_r@1"]
        assert low <= 90 <= high


@pytest.mark.parametrize(("level", "least"), [(0.5, 10), (0.9, 50), (0.95, 100), (0.99, 500)])
def test_an_interval_takes_samples_beyond_its_ends(level, least):
    ranks, owner = Ranks(torch.arange(20), torch.arange(60) % 20), torch.arange(60) % 20
    bootstrap_recall(ranks, owner, np.random.default_rng(0), level=level, samples=least)
    with pytest.raises(ValueError, match=f"level {level} takes at least {least} bootstrap samples, got {least - 1}"):
        bootstrap_recall(ranks, owner, np.random.default_rng(0), level=level, samples=least - 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "level must be a number between 0 and 1, like 0.95, got 1.0"),
        ({"level": 0.0}, "level must"),
        ({"level": float("nan")}, "level must .* got nan"),
        ({"level": "x"}, "level must .* got 'x'"),
        ({"level": True}, "level must .* got True"),
        ({"samples": 0}, "at least 1, got 0"),
        ({"samples": 1.5}, "samples must be a whole number, got 1.5"),
        ({"ks": (21,)}, r"got \[21\]"),
        ({"rng": 0}, "rng must be a numpy.random.Generator, .* got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    ranks = Ranks(torch.zeros(20, dtype=torch.long), torch.zeros(60, dtype=torch.long))
    with pytest.raises(ValueError, match=message):
        bootstrap_recall(ranks, torch.arange(60) % 20, **{"rng": np.random.default_rng(0), **change})
