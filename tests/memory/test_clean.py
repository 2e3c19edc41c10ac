"""The clean set on worlds whose truth is known: no noise, some, and nothing but noise."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.functional.mixture import CleanMixture
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory import clean as module
from hf_noisy_itm.memory.bank import EncodedPairs, MemoryBank
from hf_noisy_itm.memory.clean import build_bank
from hf_noisy_itm.memory.doubts import assess, estimate_noise
from hf_noisy_itm.memory.scores import Scoring

SCALE = 30.0


def world(noise, num_images=300, captions=4, width=24, seed=0, blur=0.6):
    """Captions near their pictures, a share of which changed places; and which are wrong."""
    rng = torch.Generator().manual_seed(seed)
    image_of_pair = torch.arange(num_images).repeat_interleave(captions)
    images = normalize(torch.randn(num_images, width, generator=rng))
    blurred = images[image_of_pair] + blur * normalize(torch.randn(len(image_of_pair), width, generator=rng))
    source = torch.arange(len(image_of_pair))
    moved = torch.randperm(len(source), generator=rng)[: int(noise * len(source))]
    source[moved] = moved.roll(1)
    encoded = EncodedPairs(images, normalize(blurred)[source], image_of_pair, "data")
    return encoded, (image_of_pair[source] != image_of_pair).numpy()


both_scores = pytest.mark.parametrize("score", ["loss", "cosine"])


@both_scores
@pytest.mark.parametrize("noise", [0.1, 0.4, 0.6])
def test_the_clean_set_is_right_and_there_is_nothing_to_say_against_it(score, noise):
    encoded, is_noisy = world(noise)
    bank = build_bank(encoded, SCALE, scoring=Scoring(score))
    is_clean = bank.scores["clean_posterior"].numpy() > 0.9
    assert is_noisy[is_clean].mean() < 0.02
    assert is_clean[~is_noisy].mean() > 0.7
    assert bank.provenance["clean_pairs"] == is_clean.sum()
    assert bank.provenance["doubts"] == []
    assert bank.provenance["wrong_that_pass"] < 0.02
    assert bank.provenance["estimated_noise"] == pytest.approx(is_noisy.mean(), abs=0.05)
    assert all(is_clean[rows.numpy()].all() for rows in bank.entries.values())


@both_scores
def test_of_clean_data_the_easier_part_is_clean_and_a_sentence_says_so(score):
    bank = build_bank(world(0.0)[0], SCALE, scoring=Scoring(score))
    assert bank.provenance["clean_pairs"] > 60
    assert bank.provenance["estimated_noise"] < 0.01
    assert any("parts easier pairs from harder ones" in doubt for doubt in bank.provenance["doubts"])
    assert not any("may be wrong" in doubt for doubt in bank.provenance["doubts"])


@both_scores
@pytest.mark.parametrize("blur", [0.6, 1e9], ids=["all captions moved", "a model that knows nothing"])
def test_where_nothing_is_right_a_sentence_says_that_the_clean_set_may_be_wrong(score, blur):
    bank = build_bank(world(1.0, blur=blur)[0], SCALE, scoring=Scoring(score))
    assert bank.provenance["estimated_noise"] > 0.9
    assert any("of the clean set may be wrong" in doubt for doubt in bank.provenance["doubts"])


def test_an_empty_clean_set_is_an_error_with_the_highest_posterior():
    encoded, _ = world(0.4)
    flat = replace(encoded, image_embeds=encoded.image_embeds[:1].expand(300, -1), text_embeds=encoded.text_embeds * 0)
    with pytest.raises(InputError, match=r"None of 1200 pairs is clean .*highest: 0\.\d+.*lower clean_threshold"):
        build_bank(flat, SCALE)


def test_where_all_pairs_score_alike_there_is_no_bank():
    """All captions of one picture: none is a negative of another, and every loss is exactly 0."""
    encoded, _ = world(0.0, num_images=1, captions=50)
    with pytest.raises(InputError, match="all 50 pairs have the same loss, so that nothing tells right from"):
        build_bank(encoded, SCALE)
    alike = replace(encoded, text_embeds=encoded.text_embeds[:1].expand(50, -1))
    with pytest.raises(InputError, match="all 50 pairs have the same cosine"):
        build_bank(alike, SCALE, scoring=Scoring("cosine"))


@both_scores
def test_a_score_that_is_no_number_is_named(score):
    encoded, _ = world(0.4)
    encoded.text_embeds[7] = float("nan")
    with pytest.raises(InputError, match=f"The memory bank cannot be built: {score.capitalize()} .* is nan"):
        build_bank(encoded, SCALE, scoring=Scoring(score))


def test_a_bank_is_the_same_every_time_and_survives_a_file(tmp_path):
    encoded, _ = world(0.4)
    one, other = (build_bank(encoded, torch.tensor(SCALE), 0.5, True, Scoring(group_size=32, seed=2)) for _ in "ab")
    one.save(tmp_path / "bank.safetensors")
    loaded = MemoryBank.load(tmp_path / "bank.safetensors", "data")
    for bank in (other, loaded):
        assert all(torch.equal(rows, bank.entries[name]) for name, rows in one.entries.items())
        assert all(torch.equal(values, bank.scores[name]) for name, values in one.scores.items())
    assert loaded.provenance == json.loads(json.dumps(one.provenance))
    told = {"clean_threshold": 0.5, "exclude_self": True, "group_size": 32, "seed": 2, "score": "loss", "pairs": 1200}
    told |= {"same_image": "mask", "logit_scale": 30.0, "fingerprint": "data"}
    assert {name: one.provenance[name] for name in told} == told
    assert set(one.provenance["mixture"]) == {"means", "variances", "shares", "converged"}
    assert set(one.provenance["versions"]) == {"numpy", "scikit-learn", "torch"}


def test_many_clean_pairs_are_searched_through_cells_and_the_bank_says_so():
    encoded, _ = world(0.4)
    exact = build_bank(encoded, SCALE, 0.5)
    cells = build_bank(encoded, SCALE, 0.5, exact=exact.provenance["clean_pairs"] - 1)
    assert (exact.provenance["search"], cells.provenance["search"]) == ("exact", "cells")
    assert (cells.entries["text"] == exact.entries["text"]).float().mean() > 0.8
    assert not torch.equal(cells.entries["text"], exact.entries["text"])
    assert not torch.equal(build_bank(encoded, SCALE, 0.5, exact=0).entries["image"], exact.entries["image"])
    is_clean = exact.scores["clean_posterior"] > 0.5
    assert all(is_clean[rows].all() for rows in cells.entries.values())


def test_of_a_single_picture_nothing_can_be_made_wrong_and_nothing_is_said_of_it():
    encoded, _ = world(0.0, num_images=1, captions=40)
    provenance = build_bank(encoded, SCALE, 0.0, scoring=Scoring("cosine")).provenance
    assert provenance["wrong_that_pass"] is None
    assert provenance["estimated_noise"] is None


def test_a_mixture_that_did_not_converge_is_told(monkeypatch):
    fit = module.fit_loss_mixture
    monkeypatch.setattr(module, "fit_loss_mixture", lambda *args: replace(fit(*args), converged=False))
    doubts = build_bank(world(0.4)[0], SCALE).provenance["doubts"]
    assert ["did not converge" in doubt for doubt in doubts] == [True]


def a_mixture(posterior, means=(1.0, 5.0), converged=True):
    return CleanMixture(np.array(posterior), means, (1.0, 1.0), (0.5, 0.5), converged)


def test_doubts_by_hand():
    losses = np.array([0.5, 0.6, 4.0, 6.0])
    fine = a_mixture([0.95, 0.95, 0.1, 0.0])
    assert assess(losses, fine, 0.9, True, 0.01, 0.5) == []  # at most 0.5 * 0.01 / 0.5 = 1 % of the clean set wrong
    (doubt,) = assess(losses, fine, 0.9, True, 0.3, 0.5)  # 0.5 * 0.3 / 0.5
    assert "up to about 30% of the clean set may be wrong" in doubt
    # Pair 0 is better than the clean component's mean and not clean: a quarter of the pairs.
    (doubt,) = assess(losses, a_mixture([0.4, 0.95, 0.1, 0.0]), 0.9, True, 0.01, 0.5)
    assert doubt.startswith("25.0% of the pairs score better")
    (doubt,) = assess(-losses, a_mixture([0.4, 0.95, 0.1, 0.0], (-1.0, -5.0)), 0.9, False, 0.01, 0.5)
    assert doubt.startswith("25.0% of the pairs score better")
    many = np.full(100, 9.0)
    (doubt,) = assess(many, a_mixture([0.95] + [0.0] * 99), 0.9, True, 0.0, 0.5)
    assert doubt == "Only 1.0% of the pairs are clean, and serve as entries of all others."
    assert assess(losses, fine, 0.9, True, None, None) == []


def test_the_estimate_of_noise_by_hand():
    wrong = np.array([0.0, 0.1, 0.2])  # median 0.1
    assert estimate_noise(np.array([0.05, 0.3, 0.4, 0.5]), wrong) == 0.5  # one of four below: two of four wrong
    assert estimate_noise(np.array([0.0, 0.0, 0.05, 0.5]), wrong) == 1.0  # at most
    assert estimate_noise(np.array([0.3, 0.4]), wrong) == 0.0
