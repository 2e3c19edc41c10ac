from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.noise_report.findings import TRAINING_WEIGHT, examine
from hf_noisy_itm.noise_report.groups import MOST, by_length, noise_by_group
from hf_noisy_itm.noise_report.truth import calibration, kinds_of, known_truth, truth_of

from .conftest import small_world


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.6])
def test_the_rate_and_the_order_are_found(noise):
    pairs, encoded = small_world(pictures=500, noise=noise)
    findings = examine(encoded, 30.0, pairs.captions)
    assert findings.rate.value == pytest.approx(pairs.is_noisy.mean(), abs=0.05)
    if not noise:
        return
    truth = truth_of(findings, pairs.is_noisy, kinds_of(pairs))
    best = max(value for name, value in truth["auc"].items() if name != "combined")
    assert truth["auc"]["combined"] > best - 0.01
    assert truth["calibration"]["expected_error"] < 0.05
    assert truth["at_rate"]["precision"] > 0.8
    assert truth["kinds"]["moved"]["pairs"] == pairs.is_noisy.sum()


def test_pictures_that_say_nothing_are_not_counted_as_wrong():
    """A third of the pictures look all alike, so that nobody can tell which captions are theirs."""
    pairs, encoded = small_world(pictures=600, noise=0.3)
    rng = torch.Generator().manual_seed(1)
    images = encoded.image_embeds.clone()
    images[::3] = images.mean(dim=0) + 0.01 * torch.randn(200, 24, generator=rng)
    blank = EncodedPairs(torch.nn.functional.normalize(images, dim=1), encoded.text_embeds, encoded.image_of_pair, "x")
    assert examine(blank, 30.0, pairs.captions).rate.value == pytest.approx(0.3, abs=0.07)


def test_as_many_are_chosen_as_the_rate_says_and_these_are_the_first():
    pairs, encoded = small_world()
    findings = examine(encoded, 30.0, pairs.captions)
    assert findings.at_rate.sum() == round(findings.rate.value * len(pairs))
    assert findings.suspicion[findings.at_rate].min() >= findings.suspicion[~findings.at_rate].max()
    assert (findings.flagged == (findings.probability > 0.5)).all()


def test_the_weights_of_a_training_are_a_further_signal():
    pairs, encoded = small_world(pictures=400)
    rng = np.random.default_rng(0)
    weight = np.where(pairs.is_noisy, 0.3, 0.8) + 0.1 * rng.standard_normal(len(pairs))
    weight[:50] = np.nan
    plain, more = (examine(encoded, 30.0, pairs.captions, each) for each in (None, weight))
    np.testing.assert_allclose(more.signals[TRAINING_WEIGHT][50:], -weight[50:])
    assert more.rate == plain.rate
    auc = [truth_of(each, pairs.is_noisy, {})["auc"]["combined"] for each in (plain, more)]
    assert auc[1] > auc[0]


def test_duplicates_and_possible_matches_are_found():
    """Picture 5 is 2 again; a caption of 7 has the words of one of 3; one of 11 tells of 9 in others."""
    pairs, encoded = small_world(pictures=60, noise=0.0)
    images, texts = encoded.image_embeds.clone(), encoded.text_embeds.clone()
    images[5] = images[2]
    captions = list(pairs.captions)
    captions[7 * 3] = f"  {captions[3 * 3].upper()} "
    texts[11 * 3 + 1] = torch.nn.functional.normalize(texts[9 * 3 : 9 * 3 + 3].sum(dim=0), dim=0)
    captions[11 * 3 + 1] = "in other words"
    encoded = EncodedPairs(images, texts, encoded.image_of_pair, "x")
    alike = examine(encoded, 30.0, captions).alike
    assert alike.pictures[0].tolist() == [2, 5]
    assert alike.picture_cosines[0] == pytest.approx(1)
    assert alike.equal_captions == 2
    assert alike.foreign[9, 0] == 11 * 3 + 1
    assert 9 in alike.may_fit
    owner = encoded.image_of_pair.numpy()
    assert (owner[alike.foreign] != np.arange(60)[:, None]).all()
    assert 3 * 3 not in alike.foreign[7]  # which has these words already


def test_many_equal_pictures_and_captions_hide_nothing():
    """Thirty pictures are one, forty captions are "a photo": near-duplicates and suggestions are found still."""
    torch.manual_seed(0)
    pairs, encoded = small_world(pictures=90, noise=0.0)
    images, texts, captions = encoded.image_embeds.clone(), encoded.text_embeds.clone(), list(pairs.captions)
    images[50:80] = images[50]
    near = torch.nn.functional.normalize(images[50] + 0.02 * torch.randn(24), dim=0)
    images[3] = near
    photo = torch.nn.functional.normalize(images[50] + 0.1 * torch.randn(24), dim=0)
    for row in range(40):
        texts[row * 3 + 2], captions[row * 3 + 2] = photo, "a photo"
    texts[45 * 3], captions[45 * 3] = torch.nn.functional.normalize(photo + 0.01 * torch.randn(24), dim=0), "photo"
    encoded = EncodedPairs(images, texts, encoded.image_of_pair, "x")
    alike = examine(encoded, 30.0, captions, duplicate_cosine=0.97).alike
    couples = {tuple(each) for each in alike.pictures.tolist()}
    assert {(50, other) for other in range(51, 80)} | {(3, 50)} <= couples
    assert len(couples) < 40
    assert (2, 45 * 3) in {tuple(each) for each in alike.captions.tolist()}
    assert alike.equal.tolist() == [[2, row * 3 + 2] for row in range(1, 40)]
    assert alike.equal_captions == 40
    words = [[captions[row] for row in rows] for rows in alike.foreign[60:61]]
    assert words[0].count("a photo") == 1
    assert (alike.foreign >= 0).all()


def test_figures_by_hand():
    """Six pairs, the second and last wrong; probabilities 0.1 three times with one wrong, 0.9 likewise."""
    probability = np.array([0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    found = calibration(probability, np.array([False, True, False, False, False, True]))
    assert [each["pairs"] for each in found["bins"]] == [3, 3]
    assert found["expected_error"] == pytest.approx(((1 / 3 - 0.1) + (0.9 - 1 / 3)) / 2)


def test_nothing_is_told_of_a_truth_that_nobody_knows():
    pairs, _ = small_world(noise=0.0)
    assert known_truth(pairs) is None
    for source in (
        np.roll(pairs.caption_image_id, 3),
        np.where(np.arange(len(pairs)) % 2, pairs.caption_image_id, -1),
    ):
        only_wrong = replace(pairs, caption_image_id=source, is_judged=np.zeros(len(pairs), dtype=bool))
        assert known_truth(only_wrong) is None


def test_figures_are_of_the_pairs_of_which_the_truth_is_known():
    """Data that judge two thirds of their pairs: the others count neither as right nor as wrong."""
    pairs, encoded = small_world(pictures=300)
    judged = np.arange(len(pairs)) % 3 > 0
    wrong = pairs.is_noisy & judged
    part = replace(
        pairs,
        caption_image_id=pairs.image_id[pairs.image_row],
        damaged=wrong,
        is_judged=judged,
    )
    truth = known_truth(part)
    assert np.isnan(truth).tolist() == (~judged).tolist()
    findings = examine(encoded, 30.0, pairs.captions)
    figures = truth_of(findings, truth, kinds_of(part))
    assert figures["pairs"] == judged.sum()
    assert figures["rate"] == pytest.approx(wrong.sum() / judged.sum())
    everything = truth_of(findings, pairs.is_noisy, {})
    assert figures["auc"]["combined"] == pytest.approx(everything["auc"]["combined"], abs=0.02)
    assert figures["at_rate"]["pairs"] == (findings.at_rate & judged).sum()
    assert figures["at_rate"]["precision"] == pytest.approx(pairs.is_noisy[findings.at_rate & judged].mean())
    assert figures["flagged"]["recall"] == pytest.approx(findings.flagged[wrong].mean())
    assert sum(each["pairs"] for each in figures["calibration"]["bins"]) == judged.sum()
    groups = noise_by_group({"judged": np.where(judged, "yes", "no")}, findings.probability, truth)["judged"]
    assert {each["name"]: each.get("wrong") for each in groups} == {"no": None, "yes": pytest.approx(figures["rate"])}


def test_kinds_are_called_by_the_pedigree():
    pairs, _ = small_world()
    pairs.damaged[:4] = True
    pairs = type(pairs)(**{**vars(pairs), "pedigree": {"kind": "truncated", "before": {"kind": "shuffle"}}})
    kinds = kinds_of(pairs)
    assert list(kinds) == ["shuffle", "truncated"]
    assert not (kinds["shuffle"] & kinds["truncated"]).any()
    assert ((kinds["shuffle"] | kinds["truncated"]) == pairs.is_noisy).all()


def test_groups():
    names = by_length(["", "one", "two words", "a b c", "a b c d e f g", "w " * 50])
    assert names.tolist() == ["no word", "1 word", "2 words", "3 to 4 words", "5 to 7 words", "34 words or more"]
    found = noise_by_group({"x": np.array(["a", "b", "a"])}, np.array([0.0, 0.5, 0.5]), np.array([False, True, True]))
    assert found["x"] == [
        {"name": "b", "pairs": 1, "estimated": 0.5, "wrong": 1.0},
        {"name": "a", "pairs": 2, "estimated": 0.25, "wrong": 0.5},
    ]
    many = noise_by_group({"x": np.arange(500).astype(str)}, np.zeros(500), None)["x"]
    assert len(many) == MOST
    assert "wrong" not in many[0]
