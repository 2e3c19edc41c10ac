"""The closed form against autograd: a head per pair, its gradient step, and all entries embedded again."""

import pytest
import torch

from hf_noisy_itm.functional.contrastive import pair_losses
from hf_noisy_itm.functional.pair_steps import losses_after_pair_steps, pair_steps
from hf_noisy_itm.functional.similarity import normalize

SCALE = 12.0


def rows(count, seed, width=6):
    rng = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, width, generator=rng))


def by_autograd(pair, images, texts, entries, size, same, entry_same, mode, **more):
    """Pair `pair`'s own step with two heads, and the loss of its entry after it, wrong answers weighed as before."""
    heads = [torch.eye(images.shape[1], requires_grad=True) for _ in range(2)]
    loss = pair_losses(images @ heads[0].T, texts @ heads[1].T, SCALE, same, mode, **more)[pair]
    gradients = torch.autograd.grad(loss, heads)
    stepped = [head.detach() - size / (SCALE / 2) * gradient for head, gradient in zip(heads, gradients)]
    moved = [normalize(embeds @ head.T) for embeds, head in zip(entries, stepped)]
    if more:
        cosines = entries[0] @ entries[1].T
        more = {"log_weight": (more["log_weight"](cosines), more["log_weight"](cosines.T))}
    return pair_losses(*moved, SCALE, entry_same, mode, **more)[pair]


@pytest.mark.parametrize("more", [{}, {"log_weight": lambda cosines: -9 * cosines.sigmoid()}], ids=["all", "weighed"])
@pytest.mark.parametrize("mode", ["mask", "negative", "positive"])
@pytest.mark.parametrize("size", [0.01, 0.5, 3.0])
def test_it_is_the_step_that_autograd_takes(mode, size, more):
    images, texts = rows(7, 0), rows(7, 1)
    entries = rows(7, 2), rows(7, 3)
    image_id, entry_id = torch.tensor([0, 0, 1, 2, 3, 4, 4]), torch.tensor([5, 6, 6, 6, 7, 8, 9])
    same, entry_same = (((ids[:, None] == ids) & ~torch.eye(7, dtype=torch.bool)) for ids in (image_id, entry_id))
    steps = pair_steps(images, texts, SCALE, size, same, mode, **more)
    after = losses_after_pair_steps(steps, *entries, SCALE, entry_same, mode, **more)
    expected = [by_autograd(pair, images, texts, entries, size, same, entry_same, mode, **more) for pair in range(7)]
    torch.testing.assert_close(after, torch.stack(expected), rtol=2e-4, atol=2e-5)


def test_a_step_of_length_zero_changes_no_loss():
    images, texts, entries = rows(5, 0), rows(5, 1), (rows(5, 2), rows(5, 3))
    after = losses_after_pair_steps(pair_steps(images, texts, SCALE, 0.0), *entries, SCALE)
    torch.testing.assert_close(after, pair_losses(*entries, SCALE))


def test_rows_of_other_processes_are_negatives():
    images, texts, entries = rows(6, 0), rows(6, 1), (rows(6, 2), rows(6, 3))
    whole = losses_after_pair_steps(pair_steps(images, texts, SCALE, 0.5), *entries, SCALE)
    half, own = slice(3, 6), torch.arange(3, 6)
    steps = pair_steps(
        images[half],
        texts[half],
        SCALE,
        0.5,
        all_image_embeds=images,
        all_text_embeds=texts,
        own_column=own,
    )
    part = losses_after_pair_steps(
        steps,
        entries[0][half],
        entries[1][half],
        SCALE,
        all_image_embeds=entries[0],
        all_text_embeds=entries[1],
        own_column=own,
    )
    torch.testing.assert_close(part, whole[half])


def test_a_pair_that_is_right_helps_itself_and_a_wrong_one_harms_what_it_contradicts():
    """Entry i is the clean pair of picture i; pair 0 has the caption of picture 1 instead of its own."""
    images = normalize(torch.eye(4) + 0.3)
    texts = images[[1, 1, 2, 3]]
    before = pair_losses(images, images, SCALE)
    after = losses_after_pair_steps(pair_steps(images, texts, SCALE, 0.5), images, images, SCALE)
    assert after[0] > before[0]
    assert (after[2:] < before[2:]).all()
