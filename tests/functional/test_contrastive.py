import math

import pytest
import torch

from hf_noisy_itm.functional.contrastive import info_nce, pair_losses
from hf_noisy_itm.functional.similarity import normalize, same_image_mask

MODES = ["mask", "negative", "positive"]


def naive_info_nce(anchors, candidates, own_column, logit_scale, same, same_image):
    losses = []
    for i, own in enumerate(own_column.tolist()):
        kin = [j for j in range(len(candidates)) if same is not None and same[i, j]]
        exponentials = [math.exp(logit_scale * torch.dot(anchors[i], candidate).item()) for candidate in candidates]
        total = sum(value for j, value in enumerate(exponentials) if same_image != "mask" or j not in kin)
        right = [own, *kin] if same_image == "positive" else [own]
        losses.append(sum(-math.log(exponentials[j] / total) for j in right) / len(right))
    return torch.tensor(losses, dtype=torch.float32)


def batch(size, num_pictures=4, width=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    image_id = torch.randint(0, num_pictures, (size,), generator=rng)
    image_embeds, text_embeds = (normalize(torch.randn(size, width, generator=rng)) for _ in range(2))
    return image_embeds, text_embeds, same_image_mask(image_id, image_id, torch.arange(size))


@pytest.mark.parametrize("same_image", MODES)
@pytest.mark.parametrize("offset", [0, 3, 6])
def test_info_nce_equals_a_loop_wherever_the_local_pairs_stand(same_image, offset):
    images, texts, same = batch(10)
    local = slice(offset, offset + 4)
    arguments = images[local], texts, torch.arange(offset, offset + 4), 5.0, same[local], same_image
    assert same[local].any()
    torch.testing.assert_close(info_nce(*arguments), naive_info_nce(*arguments))


@pytest.mark.parametrize("same_image", MODES)
def test_pair_losses_are_the_mean_of_both_directions(same_image):
    images, texts, same = batch(9)
    columns = torch.arange(9)
    expected = naive_info_nce(images, texts, columns, 7.0, same, same_image)
    expected = (expected + naive_info_nce(texts, images, columns, 7.0, same, same_image)) / 2
    torch.testing.assert_close(pair_losses(images, texts, 7.0, same, same_image), expected)


@pytest.mark.parametrize(
    ("same_image", "expected"),
    [
        # Picture 0 has captions 0 and 1. With a scale of ln 3 its own caption (cosine 1) weighs 3, the others 1:
        ("mask", math.log(4 / 3)),  # -ln(3 / (3 + 1))
        ("negative", math.log(5 / 3)),  # -ln(3 / (3 + 1 + 1))
        ("positive", math.log(5 / math.sqrt(3))),  # the mean of -ln(3/5) and -ln(1/5)
    ],
)
def test_info_nce_by_hand(same_image, expected):
    picture = torch.tensor([[1.0, 0.0]])
    captions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    same = torch.tensor([[False, True, False]])
    loss = info_nce(picture, captions, torch.tensor([0]), math.log(3), same, same_image)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_two_processes_together_have_the_losses_of_one():
    images, texts, same = batch(8)
    whole = pair_losses(images, texts, 5.0, same)
    halves = [
        pair_losses(images[rows], texts[rows], 5.0, same[rows], "mask", images, texts, torch.arange(8)[rows])
        for rows in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(torch.cat(halves), whole)
    alone = pair_losses(images[:4], texts[:4], 5.0, same[:4, :4])
    assert alone.mean() < halves[0].mean()  # fewer wrong answers: the loss is not additive over micro-batches


@pytest.mark.parametrize("same_image", MODES)
def test_permuting_the_pairs_permutes_the_losses(same_image):
    images, texts, same = batch(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    losses = pair_losses(images, texts, 5.0, same, same_image)
    permuted = pair_losses(images[order], texts[order], 5.0, same[order][:, order], same_image)
    torch.testing.assert_close(permuted, losses[order])
    assert not torch.allclose(losses, losses[order])


@pytest.mark.parametrize("same_image", MODES)
def test_images_and_texts_may_change_places(same_image):
    images, texts, same = batch(9)
    torch.testing.assert_close(
        pair_losses(images, texts, 5.0, same, same_image), pair_losses(texts, images, 5.0, same, same_image)
    )


def test_a_masked_candidate_is_as_good_as_absent():
    images, texts, _ = batch(6)
    same = torch.zeros(6, 6, dtype=torch.bool)
    same[0, 4] = True
    without = info_nce(images[:1], texts[[0, 1, 2, 3, 5]], torch.tensor([0]), 5.0)
    torch.testing.assert_close(info_nce(images, texts, torch.arange(6), 5.0, same)[:1], without)


def test_a_masked_candidate_receives_no_gradient_from_that_anchor():
    images, texts, _ = batch(4)
    texts.requires_grad_()
    same = torch.tensor([[False, True, False, False]])
    info_nce(images[:1], texts, torch.tensor([0]), 5.0, same).sum().backward()
    assert (texts.grad.abs().sum(dim=1) > 0).tolist() == [True, False, True, True]


@pytest.mark.parametrize("same_image", MODES)
def test_without_pictures_that_repeat_the_three_modes_are_one(same_image):
    images, texts, _ = batch(5)
    nothing = torch.zeros(5, 5, dtype=torch.bool)
    torch.testing.assert_close(pair_losses(images, texts, 5.0, nothing, same_image), pair_losses(images, texts, 5.0))


def test_losses_are_float32_whatever_the_embeddings_are():
    images, texts, same = batch(5)
    images, texts = images.bfloat16(), texts.bfloat16()
    losses = pair_losses(images, texts, torch.tensor(5.0), same)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, pair_losses(images.float(), texts.float(), 5.0, same))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("same_image", MODES)
def test_autocast_changes_no_loss_and_no_gradient(same_image, dtype):
    results = []
    for enabled in (False, True):
        images, texts, same = batch(32, num_pictures=20, width=64)
        images.requires_grad_()
        with torch.autocast("cpu", dtype, enabled=enabled):
            losses = info_nce(images, texts, torch.arange(32), torch.tensor(100.0), same, same_image)
        losses.sum().backward()
        results.append((losses, images.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("mode", ["mask", "negative", "positive"])
def test_wrong_candidates_count_by_their_weights_and_right_ones_in_full(mode):
    rng = torch.Generator().manual_seed(0)
    anchors, candidates = torch.randn(3, 4, generator=rng), torch.randn(5, 4, generator=rng)
    same = torch.zeros(3, 5, dtype=torch.bool)
    same[0, 4] = True
    got = info_nce(anchors, candidates, torch.arange(3), 2.0, same, mode, lambda cosines: -cosines.abs())
    for i in range(3):
        cosines = candidates @ anchors[i]
        right = [i, *([4] if mode == "positive" and i == 0 else [])]
        odds = {
            j: math.exp(2 * s - (0 if j in right else abs(s)))
            for j, s in enumerate(cosines.tolist())
            if not (mode == "mask" and same[i, j])
        }
        wanted = sum(math.log(sum(odds.values())) - 2 * cosines[j].item() for j in right) / len(right)
        assert got[i].item() == pytest.approx(wanted, rel=1e-5)
    left_out = info_nce(anchors, candidates[:4], torch.arange(3), 2.0)
    weight = -torch.rand(3, 5)
    assert torch.equal(
        info_nce(anchors, candidates, torch.arange(3), 2.0, log_weight=weight),
        info_nce(anchors, candidates, torch.arange(3), 2.0, log_weight=lambda _: weight),
    )
    none = info_nce(anchors, candidates, torch.arange(3), 2.0, log_weight=lambda c: torch.zeros_like(c))
    torch.testing.assert_close(none, info_nce(anchors, candidates, torch.arange(3), 2.0))
    last = torch.tensor([0.0, 0, 0, 0, -torch.inf])
    torch.testing.assert_close(
        info_nce(anchors, candidates, torch.arange(3), 2.0, log_weight=lambda c: last.expand_as(c)), left_out
    )


def test_a_candidate_left_out_is_no_trouble_where_there_are_several_right_ones():
    anchors, candidates = normalize(torch.tensor([[1.0, 0.0]])), normalize(torch.tensor([[1.0, 0], [1, 1], [0, 1.0]]))
    same = torch.tensor([[False, True, False]])
    left_out = torch.tensor([[0.0, 0.0, -torch.inf]])
    own = torch.tensor([0])
    loss = info_nce(anchors, candidates, own, 2.0, same, "positive", lambda _: left_out)
    torch.testing.assert_close(loss, info_nce(anchors, candidates[:2], own, 2.0, same[:, :2], "positive"))
