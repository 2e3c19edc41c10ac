import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_noisy_itm.functional.noise import (
    nearest_of_other_pictures,
    semantic,
    similarity_to_source,
    swap_semantic,
)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def embeddings(count=300, width=8, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()


def slow_search(embeds, ids, row, k, max_similarity=2.0):
    """From the words: unit rows, cosines, others sorted."""
    unit = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
    cosine = unit @ unit[row]
    others = [other for other in range(len(ids)) if ids[other] != ids[row] and cosine[other] <= max_similarity]
    return sorted(others, key=lambda other: -cosine[other])[:k]


@settings(max_examples=25)
@given(
    st.integers(1, 200),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 99),
    st.floats(0.2, 1),
    st.integers(1, 90),
)
def test_the_search_is_that_of_a_slow_loop(count, k, num_pictures, seed, max_similarity, block):
    embeds, rng = embeddings(count, seed=seed), np.random.default_rng(seed)
    ids, rows = rng.integers(0, num_pictures, count), rng.integers(0, count, 17)
    nearest, found = nearest_of_other_pictures(embeds, ids, rows, k, max_similarity, block)
    assert nearest.shape == (17, k)
    for place, row in enumerate(rows):
        expected = slow_search(embeds, ids, row, k, max_similarity)
        assert nearest[place, : len(expected)].tolist() == expected
        assert (nearest[place, len(expected) :] == -1).all()
        assert found[place] == len(expected)


def test_each_picked_row_gets_one_of_the_nearest_captions_of_another_picture():
    embeds, ids = embeddings(), np.arange(300) // 5
    noise = swap_semantic(embeds, ids, 0.4, 3, generator())
    assert noise.is_noisy.sum() == 120
    for row in np.flatnonzero(noise.is_noisy):
        assert noise.source[row] in slow_search(embeds, ids, row, 3)
    clean = ~noise.is_noisy
    assert (noise.source[clean] == np.flatnonzero(clean)).all()
    assert (noise.noise_source == ids[noise.source]).all()


def test_every_rank_is_drawn():
    embeds, ids = embeddings(), np.arange(300) // 5
    noise = swap_semantic(embeds, ids, 1.0, 3, generator())
    ranks = [slow_search(embeds, ids, row, 3).index(noise.source[row]) for row in range(300)]
    assert np.bincount(ranks) == pytest.approx([100] * 3, abs=5 * 8.2)  # sqrt(300 * 1/3 * 2/3) = 8.2


def test_captions_may_stand_in_several_rows():
    noise = swap_semantic(embeddings(), np.arange(300), 1.0, 1, generator())
    assert len(set(noise.source)) < 300


def test_picks_and_what_they_get_are_nested_over_rates():
    low, high = (swap_semantic(embeddings(), np.arange(300), rate, 5, generator()) for rate in (0.2, 0.5))
    assert (low.is_noisy.sum(), high.is_noisy.sum()) == (60, 150)
    assert (high.source[low.is_noisy] == low.source[low.is_noisy]).all()


def test_the_same_words_are_no_wrong_caption():
    # Captions 0 and 1 of two pictures say the same; the nearest other one is caption 2.
    embeds = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert swap_semantic(embeds, [0, 1, 2, 3], 1.0, 1, generator()).source[:2].tolist() == [2, 2]
    assert nearest_of_other_pictures(embeds, [0, 1, 2, 3], [0], 1)[0].tolist() == [[1]]


def test_arrays_and_tensors_of_any_scale_and_type_are_alike():
    embeds, ids = embeddings(), np.arange(300) // 5
    scale = 10.0 ** np.linspace(-30, 30, 300)[:, None]
    expected = swap_semantic(embeds, ids, 0.5, 3, generator()).source
    for same in (torch.tensor(embeds, requires_grad=True), embeds * scale, torch.tensor(embeds * scale).float()):
        assert (swap_semantic(same, ids, 0.5, 3, generator()).source == expected).all()
    assert swap_semantic(torch.tensor(embeds).bfloat16(), ids, 0.5, 3, generator()).is_noisy.sum() == 150


def test_lanes_cover_every_caption(monkeypatch):
    embeds, ids = embeddings(130), np.arange(130)
    expected = nearest_of_other_pictures(embeds, ids, ids, 7)[0]
    for width in (1, 3, 130, 500):
        monkeypatch.setattr(semantic, "_LANE", width)
        assert (nearest_of_other_pictures(embeds, ids, ids, 7)[0] == expected).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"rate": 1.5}, "between 0 and 1, got 1.5"),
        ({"text_embeds": np.zeros((5, 2))}, r"6 captions need a matrix with as many rows, got shape \(5, 2\)"),
        ({"text_embeds": np.zeros(6)}, r"got shape \(6,\)"),
        ({"text_embeds": np.array([[1.0], [2], [3], [np.nan], [5], [6]])}, "embedding of caption 3 is not finite"),
        ({"image_of_caption": [4] * 6}, "Of 6 captions only 0 have a near one of another picture"),
        ({"text_embeds": np.ones((6, 2))}, "not above 0.9999, but 6 are to be replaced"),
        ({"text_embeds": np.eye(6)}, "a cosine above 0.01 .*lower the rate to 0.0 or less"),
    ],
)
def test_wrong_input_is_named(change, message):
    arguments = {"text_embeds": embeddings(6), "image_of_caption": range(6), "rate": 1.0, "k": 2, "rng": generator()}
    with pytest.raises(ValueError, match=message):
        swap_semantic(**arguments | change)


def test_a_rate_of_zero_and_no_captions():
    assert swap_semantic(embeddings(6), range(6), 0.0, 2, generator()).source.tolist() == list(range(6))
    assert swap_semantic(np.zeros((0, 4)), [], 1.0, 2, generator()).realised == 0


@pytest.mark.parametrize("more", [1, 4096])
def test_rows_without_a_near_caption_are_passed_over(monkeypatch, more):
    """Rows 0 to 39 are near each other, the others are at right angles to all."""
    monkeypatch.setattr(semantic, "_MORE", more)
    embeds = np.eye(200)
    embeds[:40, :40] = np.abs(embeddings(40, 40))
    orders = []
    for rate in (0.05, 0.2):
        noise = swap_semantic(embeds, np.arange(200), rate, 3, generator())
        assert noise.is_noisy.sum() == 200 * rate
        assert np.flatnonzero(noise.is_noisy).max() < 40
        assert noise.source[noise.is_noisy].max() < 40
        orders.append(noise)
    low, high = orders
    assert (high.source[low.is_noisy] == low.source[low.is_noisy]).all()
    with pytest.raises(ValueError, match="Of 200 captions only 40 have a near one .*lower the rate to 0.2 or less"):
        swap_semantic(embeds, np.arange(200), 0.21, 3, generator())


def test_how_near_a_draw_came_is_the_cosine_of_old_and_new():
    embeds, ids = embeddings(), np.arange(300) // 5
    noise = swap_semantic(embeds * 1e6, ids, 0.4, 3, generator())
    rows = np.flatnonzero(noise.is_noisy)
    unit = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
    expected = [unit[row] @ unit[noise.source[row]] for row in rows]
    np.testing.assert_allclose(similarity_to_source(embeds, noise.source[rows], rows), expected, atol=1e-6)
    assert similarity_to_source(embeds, rows[:0], rows[:0]).shape == (0,)
