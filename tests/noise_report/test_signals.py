import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from hf_noisy_itm import InputError
from hf_noisy_itm.functional.mixture import fit_loss_mixture
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.noise_report.findings import examine
from hf_noisy_itm.noise_report.predicted import Predictions
from hf_noisy_itm.noise_report.signals import NEIGHBOURS, Neighbours, _said_nearby, _shown_nearby, measure

from .conftest import small_world


def test_neighbours_are_the_nearest_of_other_pictures():
    _, encoded = small_world(pictures=30)
    found = Neighbours.of(encoded)
    texts, owner = encoded.text_embeds, encoded.image_of_pair
    for row in range(90):
        others = [other for other in range(90) if owner[other] != owner[row]]
        nearest = sorted(others, key=lambda other: -float(texts[row] @ texts[other]))[:NEIGHBOURS]
        assert found.captions[0][row].tolist() == nearest
    assert not (found.pictures[0] == torch.arange(30)[:, None]).any()


def test_neighbours_of_a_moved_caption_are_sought_where_it_is_now():
    """Those of its old picture count, itself and those of the new picture do not."""
    _, encoded = small_world(pictures=30)
    texts, owner = encoded.text_embeds, encoded.image_of_pair
    caption = torch.arange(90).roll(7)
    found = Neighbours.of(encoded).of_moved(caption, owner)
    for row in range(90):
        others = [each for each in range(90) if each != caption[row] and owner[each] != owner[row]]
        nearest = sorted(others, key=lambda each: -float(texts[caption[row]] @ texts[each]))[:NEIGHBOURS]
        assert found[row].tolist() == nearest


def test_contexts_are_sums_over_neighbours():
    _, encoded = small_world(pictures=30)
    neighbours = Neighbours.of(encoded)
    said, shown = _said_nearby(encoded, neighbours), _shown_nearby(encoded, neighbours.captions[0])
    texts, images, owner = encoded.text_embeds, encoded.image_embeds, encoded.image_of_pair
    for picture in range(30):
        near = neighbours.pictures[0][picture].tolist()
        total = sum(texts[row] for row in range(90) if owner[row] in near)
        torch.testing.assert_close(said[picture], total / total.norm())
    for row in range(90):
        total = sum(images[owner[other]] for other in neighbours.captions[0][row])
        torch.testing.assert_close(shown[row], total / total.norm())


def test_each_signal_tells_wrong_pairs_and_random_partners_look_like_them():
    pairs, encoded = small_world(pictures=300)
    signals = measure(encoded, 30.0, Neighbours.of(encoded))
    assert list(signals.own) == ["cosine", "loss", "agreement", "prediction"]
    for name, values in signals.own.items():
        assert roc_auc_score(pairs.is_noisy, values) > 0.75, name
        wrong = np.median(values[pairs.is_noisy])
        spread = np.std(signals.wrong[name])
        assert np.median(signals.wrong[name]) == pytest.approx(wrong, abs=0.4 * spread), name
    cosines = (encoded.image_embeds[encoded.image_of_pair] * encoded.text_embeds).sum(dim=1)
    np.testing.assert_allclose(signals.own["cosine"], -cosines, atol=1e-6)
    mixture = fit_loss_mixture(signals.own["loss"])
    np.testing.assert_allclose(signals.noisy_by_loss, 1 - mixture.clean_posterior)


def test_agreement_does_not_look_at_the_pair_itself():
    """Pictures turned into another space: cosines of pictures with captions mean nothing, agreement what it did."""
    pairs, encoded = small_world(pictures=300)
    rng = torch.Generator().manual_seed(3)
    turn, _ = torch.linalg.qr(torch.randn(24, 24, generator=rng))
    turned = EncodedPairs(encoded.image_embeds @ turn, encoded.text_embeds, encoded.image_of_pair, "turned")
    before, after = (measure(each, 30.0, Neighbours.of(each)).own for each in (encoded, turned))
    assert roc_auc_score(pairs.is_noisy, after["cosine"]) < 0.7 < roc_auc_score(pairs.is_noisy, before["cosine"])
    np.testing.assert_allclose(after["agreement"], before["agreement"], atol=0.05)


def test_a_prediction_learns_what_belongs_together_in_these_data():
    """Captions turned into another space: the scorer's cosines mean nothing, and a map finds the turn."""
    pairs, encoded = small_world(pictures=900)
    turn, _ = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(3)))
    turned = EncodedPairs(encoded.image_embeds, encoded.text_embeds @ turn, encoded.image_of_pair, "turned")
    found = measure(turned, 30.0, Neighbours.of(turned)).own
    assert roc_auc_score(pairs.is_noisy, found["cosine"]) < 0.6
    assert roc_auc_score(pairs.is_noisy, found["prediction"]) > 0.95


def test_a_picture_s_captions_play_no_part_in_what_it_predicts():
    _, encoded = small_world(pictures=50)
    texts = encoded.text_embeds.clone()
    fold = Predictions(encoded).fold
    own = (fold[encoded.image_of_pair] == 0).nonzero().squeeze(1)
    texts[own] = texts[own.roll(1)]  # the mean stays what it was
    other = Predictions(EncodedPairs(encoded.image_embeds, texts, encoded.image_of_pair, "other"))
    torch.testing.assert_close(other.said[fold == 0], Predictions(encoded).said[fold == 0])
    assert not torch.allclose(other.said[fold == 1], Predictions(encoded).said[fold == 1])


def test_predictions_agree_with_right_pairs_and_not_with_moved_captions():
    _, encoded = small_world(pictures=300, noise=0)
    predictions = Predictions(encoded)
    rows = torch.arange(900)
    own, moved = predictions.agree(rows), predictions.agree(rows.roll(50))
    for one, other in zip(own, moved):
        assert one.shape == (900,)
        assert one.mean() > 0.5 > 0.2 > other.mean()


def test_one_picture_is_refused():
    _, encoded = small_world(pictures=1, captions=4, noise=0)
    with pytest.raises(InputError, match="of one picture"):
        measure(encoded, 30.0, Neighbours.of(encoded))


@pytest.mark.parametrize("pictures", [2, 3, 7, 30])
def test_partners_are_of_the_fold_of_their_new_picture(pictures, monkeypatch):
    """Else the map that judges a partner would have seen its caption at its own picture, as no moved one was."""
    import hf_noisy_itm.noise_report.signals as module

    _, encoded = small_world(pictures=pictures)
    seen, wrong_captions = [], module.wrong_captions
    monkeypatch.setattr(module, "wrong_captions", lambda *args: seen.append(wrong_captions(*args)) or seen[-1])
    measure(encoded, 30.0, Neighbours.of(encoded))
    fold = Predictions(encoded).fold[encoded.image_of_pair]
    assert len(seen) == 3
    for caption, is_wrong in seen:
        assert (fold[caption] == fold).all()
        assert sorted(caption.tolist()) == list(range(len(fold)))
        assert is_wrong.any()


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_few_captions_of_a_wide_space_are_counted_all_the_same(noise):
    """300 captions in 512 dimensions, the maps free to learn each pair that they see."""
    pairs, encoded = small_world(pictures=60, captions=5, width=512, noise=noise)
    assert examine(encoded, 30.0, pairs.captions).rate.value == pytest.approx(pairs.is_noisy.mean(), abs=0.05)
