from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.retrieval import recall, recall_of_folds, retrieval_ranks, similarity_ranks
from hf_noisy_itm.functional.retrieval._tiles import Cosines, Tally, Tile

TIE = 1e-12  # cosines closer than this are equal: what rounding does to equal rows in float64


def naive_ranks(images, texts, image_of_caption):
    """Full matrix, one query at a time, rivals counted one by one."""
    images, texts, owner = images.double().tolist(), texts.double().tolist(), image_of_caption.tolist()
    cosine = [[np.dot(i, t) / np.linalg.norm(i) / np.linalg.norm(t) for t in texts] for i in images]
    image_ranks = []
    for p in range(len(images)):
        best = max(cosine[p][c] for c in range(len(texts)) if owner[c] == p)
        image_ranks.append(sum(owner[c] != p and cosine[p][c] >= best - TIE for c in range(len(texts))))
    text_ranks = []
    for c, own in enumerate(owner):
        text_ranks.append(sum(p != own and cosine[p][c] >= cosine[own][c] - TIE for p in range(len(images))))
    return image_ranks, text_ranks


def as_lists(ranks):
    return ranks[0].tolist(), ranks[1].tolist()


def uneven(num_images, num_texts, seed=0, width=8):
    rng = torch.Generator().manual_seed(seed)
    owner = torch.cat(
        [torch.arange(num_images), torch.randint(0, num_images, (num_texts - num_images,), generator=rng)]
    )
    owner = owner[torch.randperm(num_texts, generator=rng)]
    return torch.randn(num_images, width, generator=rng), torch.randn(num_texts, width, generator=rng), owner


@st.composite
def galleries(draw):
    """Any number of captions per picture, in any order; embeddings from a small pool, so many are duplicates."""
    owner = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    owner = draw(st.permutations(np.repeat(np.arange(len(owner)), owner).tolist()))
    num_images, width = max(owner) + 1, draw(st.integers(1, 9))
    pool = torch.randn(
        draw(st.integers(1, 12)), width, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    rows = st.integers(0, len(pool) - 1)
    scales = st.sampled_from([0.25, 1.0, 64.0])  # powers of two, so that scaling is exact

    def embeds(size):
        scale = torch.tensor(draw(st.lists(scales, min_size=size, max_size=size)))
        return pool[draw(st.lists(rows, min_size=size, max_size=size))] * scale[:, None]

    return embeds(num_images), embeds(len(owner)), torch.tensor(owner)


@given(galleries())
def test_ranks_equal_a_loop_over_the_full_matrix(gallery):
    assert as_lists(retrieval_ranks(*gallery)) == naive_ranks(*gallery)


@given(galleries(), st.data())
def test_recall_counts_the_ranks_of_a_loop(gallery, data):
    smaller = len(gallery[0])
    ks = data.draw(st.lists(st.integers(1, smaller), min_size=1, max_size=3, unique=True))
    expected = {name: float(value) for name, value in naive_recall(*gallery, ks).items()}
    assert recall(*gallery, ks=ks) == expected  # to the last digit


def naive_recall(images, texts, owner, ks):
    """Exact figures, as fractions."""
    figures, both = {}, dict(zip(("i2t", "t2i"), naive_ranks(images, texts, owner)))
    for direction, ranks in both.items():
        for k in ks:
            figures[f"{direction}_r@{k}"] = Fraction(100 * sum(rank < k for rank in ranks), len(ranks))
    figures["rsum"] = sum(figures.values())
    for direction, ranks in both.items():
        ordered, half = sorted(ranks), len(ranks) // 2
        middle = ordered[half : half + 1] if len(ranks) % 2 else ordered[half - 1 : half + 1]
        figures[f"{direction}_median_rank"] = 1 + Fraction(sum(middle), len(middle))
        figures[f"{direction}_mean_rank"] = 1 + Fraction(sum(ranks), len(ranks))
    if 1 in ks:
        figures["mean_r@1"] = (figures["i2t_r@1"] + figures["t2i_r@1"]) / 2
    return figures


@pytest.mark.parametrize("folds", [3, 7, 11])
def test_means_of_folds_equal_a_loop_to_the_last_digit(folds):
    """Shares of 3, 7 and 11 have no end in binary: sums of rounded ones would differ from the exact ones."""
    size, per = 7, 3
    images, texts, _ = uneven(size * folds, size * folds * per)
    owner = torch.arange(size * folds * per) // per
    parts = [
        naive_recall(images[p : p + size], texts[p * per : (p + size) * per], torch.arange(size * per) // per, (1, 5))
        for p in range(0, len(images), size)
    ]
    expected = {name: float(sum(part[name] for part in parts) / folds) for name in parts[0]}
    assert recall_of_folds(images, texts, owner, folds=folds, ks=(1, 5)) == expected


def test_recall_by_hand():
    # Cosines   caption 0   1    2        owners: captions 0 and 1 belong to picture 0, caption 2 to picture 1.
    # picture 0       0.6   0    0.8      best own 0.6, beaten by caption 2: rank 1
    # picture 1       0.8   1    0.6      best own 0.6, beaten by both others: rank 2
    # Captions 0 and 1 prefer picture 1 and caption 2 prefers picture 0, so each has rank 1.
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.8, 0.6]])
    owner = torch.tensor([0, 0, 1])
    assert as_lists(retrieval_ranks(images, texts, owner)) == ([1, 2], [1, 1, 1])
    assert recall(images, texts, owner, ks=(1, 2)) == pytest.approx(
        {
            "i2t_r@1": 0, "i2t_r@2": 50, "t2i_r@1": 0, "t2i_r@2": 100, "rsum": 150, "mean_r@1": 0,
            "i2t_median_rank": 2.5, "i2t_mean_rank": 2.5, "t2i_median_rank": 2, "t2i_mean_rank": 2,
        }
    )  # fmt: skip


def test_a_model_that_knows_everything_has_full_recall():
    figures = recall(torch.eye(12), torch.eye(12).repeat_interleave(5, dim=0), torch.arange(12).repeat_interleave(5))
    assert figures["rsum"] == 600
    assert figures["i2t_mean_rank"] == figures["t2i_mean_rank"] == 1


@pytest.mark.parametrize("num_images", [1, 5, 239, 241])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_model_that_answers_all_questions_alike_gets_the_worst_ranks(num_images, dtype):
    rng = torch.Generator().manual_seed(0)
    num_texts = 3 * num_images + 2
    images = torch.randn(96, generator=rng).to(dtype).expand(num_images, 96)
    texts = torch.randn(96, generator=rng).to(dtype).expand(num_texts, 96)
    owner = torch.arange(num_texts) % num_images
    image_ranks, text_ranks = retrieval_ranks(images, texts, owner, tile_size=240 * 50)
    assert torch.equal(image_ranks, num_texts - torch.bincount(owner))
    assert (text_ranks == num_images - 1).all()


def test_a_model_that_answers_half_the_questions_alike():
    images, texts, owner = uneven(300, 700, width=16)
    images[::2], texts[::3] = images[0], texts[0]
    ranks = retrieval_ranks(images, texts, owner, tile_size=240 * 64)
    assert as_lists(ranks) == dense_ranks(images, texts, owner)


@pytest.mark.parametrize("tile_size", [1, 240 * 7, 240 * 39, 240 * 40, 240 * 1000])
def test_ranks_do_not_depend_on_the_tiles(tile_size):
    gallery = uneven(17, 40)
    assert as_lists(retrieval_ranks(*gallery, tile_size=tile_size)) == naive_ranks(*gallery)


def dense_ranks(images, texts, owner):
    """Ranks from the full float64 matrix; data where a little more tolerance matters would be a bad test."""
    cosine, pictures = exact_cosines(images, texts), torch.arange(len(images))[:, None]
    own = cosine[owner, torch.arange(len(texts))]
    best = own.masked_fill(owner != pictures, -torch.inf).amax(dim=1, keepdim=True)
    ranks = [
        (
            ((cosine >= best - tie) & (owner != pictures)).sum(dim=1).tolist(),
            ((cosine >= own - tie).sum(dim=0) - 1).tolist(),
        )
        for tie in (TIE, 1.01 * TIE)
    ]
    assert ranks[0] == ranks[1]
    return ranks[0]


def exact_cosines(images, texts):
    images, texts = (torch.nn.functional.normalize(rows.double(), dim=1) for rows in (images, texts))
    return images @ texts.T


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [1.0, 1e-3])  # 1e-3: all cosines within a few millionths, float32 cannot tell
def test_ranks_are_those_of_the_full_float64_matrix(dtype, spread):
    images, texts, owner = uneven(500, 1500, width=64)
    images, texts = (1 + spread * images).to(dtype), (1 + spread * texts).to(dtype)
    assert as_lists(retrieval_ranks(images, texts, owner, tile_size=240 * 100)) == dense_ranks(images, texts, owner)


def test_float32_alone_would_be_wrong():
    images, texts, owner = uneven(500, 1500, width=64)
    images, texts = 1 + 1e-3 * images, 1 + 1e-3 * texts
    in_float32 = similarity_ranks(Cosines(images, texts).unit_images @ Cosines(images, texts).unit_texts.T, owner)
    assert (in_float32.t2i != retrieval_ranks(images, texts, owner).t2i).float().mean() > 0.5


COLLAPSED = {
    "constant": lambda width, rng: torch.ones(width),
    "two values": lambda width, rng: torch.where(torch.rand(width, generator=rng) < 0.93, 1.0, 0.5),
    "binary": lambda width, rng: (torch.rand(width, generator=rng) < 0.7).float(),
    "bytes": lambda width, rng: torch.randint(1, 128, (width,), generator=rng).float(),
}


@pytest.mark.parametrize("kind", COLLAPSED)
@pytest.mark.parametrize("width", [512, 580, 616, 640, 768, 776])
def test_rounding_that_goes_one_way_saves_no_collapsed_model(kind, width):
    """In sums of like terms roundings do not cancel: errors of float32 are many times those of random rows."""
    for seed in range(6):
        row = COLLAPSED[kind](width, torch.Generator().manual_seed(seed))
        image_ranks, text_ranks = retrieval_ranks(
            row.expand(240, width), row.expand(250, width), torch.arange(250) % 240
        )
        assert (text_ranks == 239).all()
        assert torch.equal(image_ranks, 250 - torch.bincount(torch.arange(250) % 240))


@pytest.mark.parametrize("kind", [*COLLAPSED, "random"])
@pytest.mark.parametrize("width", [1, 3, 64, 512, 616, 776])
def test_the_error_of_a_float32_product_stays_within_its_bound(kind, width):
    rng = torch.Generator().manual_seed(width)
    make = COLLAPSED.get(kind, lambda width, rng: torch.randn(width, generator=rng))
    images, texts = (torch.stack([make(width, rng) for _ in range(40)]) for _ in range(2))
    cosines = Cosines(images, texts)
    nothing = torch.tensor([], dtype=torch.long)
    tile = Tile(cosines, slice(0, 40), slice(0, 40), (nothing, nothing), torch.empty(1600))
    assert (tile.score - exact_cosines(images, texts)).abs().max() <= cosines.error


@pytest.mark.parametrize("switch", [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul])
def test_the_newer_precision_switches_change_no_rank_and_are_left_as_they_were(switch):
    gallery, before = uneven(50, 120), switch.fp32_precision
    expected = as_lists(retrieval_ranks(*gallery))
    switch.fp32_precision = "tf32"
    try:
        assert as_lists(retrieval_ranks(*gallery)) == expected
        assert switch.fp32_precision == "tf32"
    finally:
        switch.fp32_precision = before


def test_another_default_dtype_changes_no_rank():
    gallery = uneven(50, 120)
    expected = as_lists(retrieval_ranks(*gallery))
    torch.set_default_dtype(torch.float64)
    try:
        assert as_lists(retrieval_ranks(*gallery)) == expected
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.uint16, torch.int32])
def test_pictures_may_be_named_by_any_integers(dtype):
    images, texts, owner = uneven(120, 300)
    expected = recall(images, texts, owner)
    assert recall(images, texts, owner.to(dtype)) == expected
    assert recall(images, texts, owner.tolist()) == expected
    assert recall(images, texts, owner.numpy()) == expected
    folds = recall_of_folds(images, texts, owner, folds=2)
    assert recall_of_folds(images, texts, owner.to(dtype), folds=2) == folds


def test_doubtful_pairs_do_not_pile_up(monkeypatch):
    """They are decided when there are many, or a large gallery would keep them all."""
    most, decide = [], Tally._decide
    monkeypatch.setattr("hf_noisy_itm.functional.retrieval._tiles._DOUBTFUL", 50)
    monkeypatch.setattr(Tally, "_decide", lambda self: most.append(self._num_doubtful) or decide(self))
    images, texts, owner = uneven(400, 1200, width=64)
    images, texts = 1 + 0.1 * images, 1 + 0.1 * texts
    assert as_lists(retrieval_ranks(images, texts, owner, tile_size=240 * 64)) == dense_ranks(images, texts, owner)
    assert len(most) > 10
    assert max(most) < 50 + 240 * 64 // 64


def test_neither_autocast_nor_a_lower_matmul_precision_changes_ranks():
    gallery = uneven(100, 300, width=64)
    expected = as_lists(retrieval_ranks(*gallery))
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert as_lists(retrieval_ranks(*gallery)) == expected
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@given(galleries(), st.sampled_from([0.0, 0.25, 1.0]))
def test_ranks_of_similarities_count_exact_ties(gallery, step):
    images, texts, owner = gallery
    similarity = images @ texts.T
    similarity = torch.round(similarity / step) * step if step else similarity * 0
    score = similarity.tolist()
    expected = (
        [
            sum(
                owner[c] != p and score[p][c] >= max(score[p][d] for d in np.flatnonzero(owner == p))
                for c in range(len(owner))
            )
            for p in range(len(images))
        ],
        [sum(p != own and score[p][c] >= score[own][c] for p in range(len(images))) for c, own in enumerate(owner)],
    )
    assert as_lists(similarity_ranks(similarity, owner)) == expected


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (torch.zeros(3), "got"),
        (torch.zeros(0, 3), "got"),
        (torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), "picture 1 and caption 0 is not a number"),
        (torch.zeros(2, 3), r"each of 3 captions, got shape \(2,\)"),
        (torch.zeros(2, 2, dtype=torch.complex64), "real numbers, which have an order, got torch.complex64"),
        ([[1, 2], [3, 4]], "must be a torch.Tensor, got list"),
    ],
)
def test_a_matrix_that_cannot_be_ranked_is_refused(similarity, message):
    with pytest.raises(ValueError, match=message):
        similarity_ranks(similarity, torch.tensor([0, 1]))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.uint16, torch.int32, torch.int64, torch.uint64])
def test_integers_are_compared_as_integers(dtype):
    """Near the ends of their range float64 cannot tell the large ones apart."""
    ends = torch.iinfo(dtype)
    scores = torch.tensor([[ends.max, ends.max - 1], [ends.min + 1, ends.max - 1]], dtype=dtype)
    # Picture 0 finds its caption before the other by one, picture 1 too; caption 1 is as near to both pictures.
    assert as_lists(similarity_ranks(scores, torch.tensor([0, 1]))) == ([0, 0], [0, 1])


def test_scores_of_a_type_that_torch_cannot_compare():
    images, texts, owner = uneven(20, 50)
    scores = (images @ texts.T).to(torch.float8_e4m3fn)
    assert as_lists(similarity_ranks(scores, owner)) == as_lists(similarity_ranks(scores.double(), owner))
    assert as_lists(similarity_ranks(scores.float() > 0, owner)) == as_lists(
        similarity_ranks((scores.float() > 0).double(), owner)
    )


@pytest.mark.parametrize(
    ("tile_size", "message"),
    [(0, "at least 1, got 0"), (-5, "at least 1"), (3.5, "whole number, got 3.5"), (True, "got True")],
)
def test_tiles_of_no_size_are_refused(tile_size, message):
    with pytest.raises(ValueError, match=f"tile_size must be .*{message}"):
        retrieval_ranks(*uneven(4, 10), tile_size=tile_size)


def test_the_order_of_pictures_and_captions_does_not_matter():
    images, texts, owner = uneven(17, 40)
    rng = torch.Generator().manual_seed(1)
    image_order, text_order = torch.randperm(17, generator=rng), torch.randperm(40, generator=rng)
    new_row = torch.argsort(image_order)
    shuffled = recall(images[image_order], texts[text_order], new_row[owner[text_order]])
    assert shuffled == recall(images, texts, owner)


def test_with_one_caption_per_picture_the_directions_may_change_places():
    images, texts, _ = uneven(20, 20)
    there, back = recall(images, texts, torch.arange(20)), recall(texts, images, torch.arange(20))
    assert there["i2t_mean_rank"] != there["t2i_mean_rank"]
    for name in ("r@1", "r@5", "r@10", "median_rank", "mean_rank"):
        assert there[f"i2t_{name}"] == back[f"t2i_{name}"]


@pytest.mark.parametrize("scale", [1e-20, 1e-4, 1e4, 1e300])
def test_the_scale_of_the_embeddings_does_not_matter(scale):
    images, texts, owner = uneven(17, 40)
    scaled = recall(images.double() * scale, texts.double() * scale, owner)
    assert scaled == pytest.approx(recall(images, texts, owner))


def broken(**changes):
    images, texts, owner = uneven(4, 10)
    arguments = {"image_embeds": images, "text_embeds": texts, "image_of_caption": owner, "ks": (1,)}
    return arguments | changes


def with_nan(row):
    return torch.ones(10, 8).index_fill(0, torch.tensor([row, 9]), float("nan"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_embeds": torch.ones(4, 7)}, r"one width, got \(4, 7\) and \(10, 8\)"),
        ({"image_embeds": torch.ones(8)}, r"two matrices"),
        ({"image_embeds": torch.ones(0, 8)}, "got 0 and 10"),
        ({"image_of_caption": torch.zeros(9, dtype=torch.long)}, r"each of 10 captions, got shape \(9,\)"),
        ({"image_of_caption": torch.zeros(10)}, r"image_of_caption must be integers, got torch.float32, 0.0 for one"),
        ({"image_embeds": torch.ones(4, 8, dtype=torch.long)}, "numbers of 16 to 64 bits, got torch.int64"),
        ({"image_embeds": torch.ones(4, 8).to(torch.float8_e5m2)}, "16 to 64 bits, got torch.float8_e5m2"),
        ({"text_embeds": np.ones((10, 8))}, "must be a torch.Tensor, got numpy.ndarray: torch.from_numpy makes one"),
        ({"image_embeds": [[1.0] * 8] * 4}, "must be a torch.Tensor, got list: torch.tensor makes one"),
        ({"image_embeds": torch.ones(4, 8).to_sparse()}, "must be a dense tensor in memory, got torch.sparse_coo"),
        ({"image_of_caption": torch.arange(10) % 5}, "pictures 0 to 4, but there are pictures 0 to 3"),
        ({"image_of_caption": torch.arange(10) % 4 - 1}, "pictures -1 to 2"),
        ({"image_of_caption": torch.arange(10) % 2 * 3}, "Picture 1 has no caption"),
        ({"ks": (1, 5)}, r"the smaller gallery \(4\), got \[1, 5\]"),
        ({"ks": (0,)}, r"got \[0\]"),
        ({"ks": ()}, r"got \[\]"),
        ({"ks": 1}, "K must be a list of integers, got 1"),
        ({"ks": (1.5,)}, "K must be a list of integers"),
        ({"text_embeds": with_nan(6)}, "text embedding of row 6 is not finite"),
        ({"image_embeds": torch.full((4, 8), torch.inf)}, "image embedding of row 0 is not finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_its_numbers(changes, message):
    with pytest.raises(ValueError, match=message):
        recall(**broken(**changes))
