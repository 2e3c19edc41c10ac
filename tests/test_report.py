from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.report import RIGHT, WRONG, plot_least_trusted, plot_recall, plot_retrieval, plot_separation


def opened(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def share(picture, colour, alpha=1.0):
    """How much of a picture has a colour, on white."""
    wanted = 255 * (1 - alpha + alpha * np.array(to_rgb(colour)))
    return (abs(picture - wanted).max(axis=-1) <= 2).mean()


def figures(value):
    return {f"{direction}_r@{k}": value for direction in ("i2t", "t2i") for k in (1, 5, 10)}


def test_bars_of_recall_grow_with_recall(tmp_path):
    plot_recall({"low": figures(20.0), "high": figures(80.0)}, tmp_path / "new" / "recall.png")
    picture = opened(tmp_path / "new" / "recall.png")
    low, high = share(picture, "#b8c0cc"), share(picture, "#6d7f99")
    assert low > 0.01
    assert high / low == pytest.approx(4, rel=0.15)  # the legend has a patch of each


def test_recall_is_shown_for_the_cut_offs_that_all_models_have(tmp_path):
    few = {key: value for key, value in figures(50.0).items() if not key.endswith("@10")}
    plot_recall({"model": figures(50.0)}, tmp_path / "all.png")
    plot_recall({"model": figures(50.0), "other": few}, tmp_path / "few.png")
    # Six bars of width 0.8 among six places, and four bars of half that width among four: half the area.
    first, second = (share(opened(tmp_path / name), "#b8c0cc") for name in ("all.png", "few.png"))
    assert second / first == pytest.approx(0.5, abs=0.1)


def test_separation_shows_right_and_wrong_pairs_side_by_side(tmp_path):
    weights = np.array([0.9, 1.0, 0.8, 0.1, 0.2, np.nan])
    plot_separation({"weight": weights}, np.array([0, 0, 0, 1, 1, 1], dtype=bool), tmp_path / "some.png")
    picture = opened(tmp_path / "some.png")
    left, right = np.array_split(picture[60:], 2, axis=1)  # below the title
    assert share(left, WRONG, 0.6) > 0.01
    assert share(left, RIGHT, 0.6) == 0
    assert share(right, RIGHT, 0.6) > 0.01


@pytest.mark.parametrize("noisy", [False, True])
def test_separation_needs_neither_both_kinds_nor_different_weights(tmp_path, noisy):
    plot_separation({"weight": np.ones(4)}, np.full(4, noisy), tmp_path / "some.png")
    picture = opened(tmp_path / "some.png")
    assert (share(picture, RIGHT, 0.6) > 0.01, share(picture, WRONG, 0.6) > 0.01) == (not noisy, noisy)


def encoded(pairs, image_embeds, text_embeds):
    return EncodedPairs(image_embeds, text_embeds, torch.from_numpy(pairs.image_row), pairs.fingerprint)


@pytest.mark.parametrize("queries", [[7], [0, 6, 14]])
def test_retrieval_frames_the_right_picture_where_a_model_finds_it(tmp_path, pairs, queries):
    pairs = pairs.keep_pictures(np.arange(3))
    right = torch.eye(3)
    models = {
        "knows": encoded(pairs, right, right[pairs.image_row]),
        "errs": encoded(pairs, right, -right[pairs.image_row]),
    }
    for name, model in models.items():
        plot_retrieval(pairs, {name: model}, queries, tmp_path / f"{name}.png", top=2)
    assert share(opened(tmp_path / "knows.png"), RIGHT) > 0.002
    assert share(opened(tmp_path / "errs.png"), RIGHT) == 0
    plot_retrieval(pairs, models, queries, tmp_path / "both.png", top=4)  # more than there are
    assert opened(tmp_path / "both.png").shape[1] > 2 * opened(tmp_path / "knows.png").shape[1]
    assert share(opened(tmp_path / "both.png"), RIGHT) > 0.002


SIX = (np.arange(120) % 5 == 0) & (np.arange(120) < 30)  # one pair of each of six pictures


@pytest.mark.parametrize(
    ("weights", "wrong_shown"),
    [
        (np.where(SIX, 0.1, 0.9), True),  # the six wrong pairs are trusted least
        (np.where(SIX, np.nan, 0.9), False),  # nobody has weighed them
        (np.where(SIX, 1.0, 0.9), False),
    ],
)
def test_the_least_trusted_pairs_are_framed_by_what_is_known_of_them(tmp_path, pairs, weights, wrong_shown):
    plot_least_trusted(pairs, weights, SIX, tmp_path / "known.png", count=6)
    picture = opened(tmp_path / "known.png")
    assert (share(picture, WRONG) > 0.001, share(picture, RIGHT) > 0.001) == (wrong_shown, not wrong_shown)
    plot_least_trusted(pairs, weights, None, tmp_path / "unknown.png", count=6)
    assert share(opened(tmp_path / "unknown.png"), WRONG) == 0


def test_captions_are_words_and_not_formulas(tmp_path, pairs):
    pairs = replace(pairs, captions=["from ${5 to ${9"] * 120)
    embeds = encoded(pairs, torch.eye(24), torch.eye(24)[pairs.image_row])
    plot_retrieval(pairs, {"model": embeds}, [0], tmp_path / "retrieval.png")
    plot_least_trusted(pairs, np.ones(120), None, tmp_path / "trust.png", count=2)
    assert all(opened(tmp_path / name).size for name in ("retrieval.png", "trust.png"))
