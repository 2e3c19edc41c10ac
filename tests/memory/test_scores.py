import math

import pytest
import torch

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.scores import (
    Scoring,
    order_of,
    score_pairs,
    score_wrong_pairs,
    weights_sha256,
    wrong_captions,
)

SCALE = 10.0


def random_pairs(num_images=7, captions=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    images, texts = (normalize(torch.randn(rows, 5, generator=rng)) for rows in (num_images, num_images * captions))
    return EncodedPairs(images, texts, torch.arange(num_images).repeat_interleave(captions), "data")


def naive_loss(encoded, pair, group, same_image, caption):
    """Both cross-entropies of one pair among a group, term by term."""
    image_of, images, texts = encoded.image_of_pair, encoded.image_embeds.double(), encoded.text_embeds.double()
    total = 0.0
    for cosine in (
        lambda other: images[image_of[pair]] @ texts[caption[other]],
        lambda other: images[image_of[other]] @ texts[caption[pair]],
    ):
        against = [row for row in group if row == pair or same_image == "negative" or image_of[row] != image_of[pair]]
        terms = sum(math.exp(SCALE * cosine(other)) for other in against)
        total += math.log(terms) - SCALE * float(cosine(pair))
    return total / 2


@pytest.mark.parametrize("same_image", ["mask", "negative"])
@pytest.mark.parametrize("group_size", [2, 8, 20, 21, 500])
def test_losses_equal_a_loop_over_groups_and_none_is_left_out(group_size, same_image):
    encoded = random_pairs()
    scoring = Scoring(group_size=group_size, seed=4, same_image=same_image)
    order = order_of(encoded, scoring).tolist()
    assert sorted(order) == list(range(21))
    scores, every = score_pairs(encoded, SCALE, scoring), range(21)
    for place, pair in enumerate(order):
        start = place // group_size * group_size
        group = order[start : start + group_size]
        if len(group) < group_size:  # the tail: filled up from before
            group = order[-group_size:]
        assert float(scores[pair]) == pytest.approx(naive_loss(encoded, pair, group, same_image, every), abs=1e-4)


def test_cosines_are_of_each_pair_alone():
    encoded = random_pairs()
    expected = [float(encoded.image_embeds[pair // 3] @ encoded.text_embeds[pair]) for pair in range(21)]
    for size in (2, 8, 500):
        assert score_pairs(encoded, SCALE, Scoring("cosine", size)).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"group_size": 1}, "group_size must be at least 2, got 1: a pair alone has no negatives"),
        ({"seed": -1}, r"seed must be at least 0 and below 2\*\*32, got -1"),
        ({"seed": 2**32}, r"seed must be at least 0 and below 2\*\*32, got 4294967296"),
        ({"score": "margin"}, "score must be one of loss, cosine, got 'margin'"),
        ({"same_image": "all"}, "same_image must be one of mask, negative, positive, got 'all'"),
    ],
)
def test_a_scoring_that_cannot_be_is_refused(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        Scoring(**fields)


def test_the_seed_alone_decides_who_meets_whom():
    encoded = random_pairs()
    one, again, other = (score_pairs(encoded, SCALE, Scoring(group_size=4, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_a_pair_can_be_scored_with_the_caption_of_another():
    """As if it had exchanged captions with that one, and nobody else had."""
    encoded, caption = random_pairs(), torch.arange(21).roll(5)
    moved = EncodedPairs(encoded.image_embeds, encoded.text_embeds[caption], encoded.image_of_pair, "data")
    one = Scoring("cosine")
    assert torch.equal(score_pairs(encoded, SCALE, one, caption), score_pairs(moved, SCALE, one))
    scoring = Scoring(group_size=8)
    order = order_of(encoded, scoring).tolist()
    expected = torch.empty(21)
    for place, pair in enumerate(order):
        first = min(place // 8 * 8, 21 - 8)
        exchanged = list(range(21))
        exchanged[pair], exchanged[caption[pair]] = int(caption[pair]), pair
        expected[pair] = naive_loss(encoded, pair, order[first : first + 8], "mask", exchanged)
    torch.testing.assert_close(score_pairs(encoded, SCALE, scoring, caption), expected)


def test_pairs_wrong_on_purpose_have_captions_of_other_pictures():
    encoded = random_pairs(num_images=40)
    scoring = Scoring("cosine", group_size=16)
    caption, is_wrong = wrong_captions(encoded, scoring)
    owner = encoded.image_of_pair
    assert torch.equal(is_wrong, owner[caption] != owner)
    assert is_wrong.float().mean() > 0.9
    expected = [
        float(encoded.image_embeds[pair // 3] @ encoded.text_embeds[caption[pair]])
        for pair in range(120)
        if is_wrong[pair]
    ]
    assert score_wrong_pairs(encoded, SCALE, scoring).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("captions", [1, 5])
def test_pairs_wrong_on_purpose_score_as_captions_that_were_moved(captions):
    """A fifth of the captions shuffled, in groups that are no small part of the data: the losses are alike."""
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(8):
        images = torch.randn(1000 // captions, 64, generator=rng)
        owner = torch.arange(len(images)).repeat_interleave(captions)
        texts = images[owner] + torch.randn(1000, 64, generator=rng)
        moved = torch.randperm(1000, generator=rng)[:200]
        texts[moved] = texts[moved.roll(1)]
        encoded = EncodedPairs(normalize(images), normalize(texts), owner, "data")
        losses, wrong = score_pairs(encoded, 30.0, Scoring())[moved], score_wrong_pairs(encoded, 30.0, Scoring())
        found.append([losses.mean() - wrong.mean(), losses.std() / wrong.std(), wrong.std()])
    apart, spread, scale = torch.tensor(found).mean(dim=0).tolist()
    assert apart == pytest.approx(0, abs=0.12 * scale)
    assert spread == pytest.approx(1, abs=0.25)


def test_of_one_picture_no_pair_can_be_made_wrong():
    assert not len(score_wrong_pairs(random_pairs(num_images=1), SCALE, Scoring()))


@pytest.mark.parametrize("num_images", [3, 40, 300])
def test_further_draws_of_wrong_captions_are_others(num_images):
    encoded = random_pairs(num_images=num_images)
    draws = [wrong_captions(encoded, Scoring("cosine"), draw)[0] for draw in range(3)]
    everyone = torch.arange(len(encoded.image_of_pair))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (draws[one] != draws[other]).all()
    for caption in draws:
        assert torch.equal(caption.sort().values, everyone)
        assert (caption != everyone).all()


def test_the_hash_of_weights_sees_names_types_shapes_and_bits():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    first = weights_sha256(model)
    assert len(first) == 64
    model.to(torch.float32)
    assert weights_sha256(model) == first
    seen = {first}
    with torch.no_grad():
        model.weight[0, 0] = model.weight[0, 0].nextafter(torch.tensor(9.0))
    seen.add(weights_sha256(model))
    seen.add(weights_sha256(model.to(torch.bfloat16)))
    seen.add(weights_sha256(torch.nn.Sequential(model)))
    model.register_buffer("scale", torch.ones(()))
    seen.add(weights_sha256(model))
    assert len(seen) == 5
