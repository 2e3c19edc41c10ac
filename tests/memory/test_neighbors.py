import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.neighbors import nearest_by_image, nearest_by_text


def random_pairs(num_images, captions, seed, width=6):
    """Pairs in any order, a clean set of at least one, and a rank."""
    rng = torch.Generator().manual_seed(seed)
    image_of_pair = torch.arange(num_images).repeat_interleave(captions)
    image_of_pair = image_of_pair[torch.randperm(len(image_of_pair), generator=rng)]
    images, texts = (normalize(torch.randn(rows, width, generator=rng)) for rows in (num_images, len(image_of_pair)))
    is_clean = torch.rand(len(image_of_pair), generator=rng) < 0.5
    is_clean[int(torch.randint(len(image_of_pair), (1,), generator=rng))] = True
    encoded = EncodedPairs(images, texts, image_of_pair, "data")
    return encoded, torch.nonzero(is_clean).squeeze(1), torch.rand(len(image_of_pair), generator=rng)


def naive(embeds, clean, rank, exclude_self):
    """Pair by pair, the clean pair of highest cosine, and of equal ones that of lowest rank."""
    found = []
    for pair in range(len(embeds)):
        allowed = [row for row in clean.tolist() if row != pair or not exclude_self] or [pair]
        cosine = {row: round(float(embeds[pair].double() @ embeds[row].double()), 9) for row in allowed}
        found.append(max(allowed, key=lambda row: (cosine[row], -float(rank[row]))))
    return found


@given(st.integers(1, 9), st.integers(1, 4), st.booleans(), st.integers(0, 10_000))
def test_entries_equal_a_loop_over_the_clean_set(num_images, captions, exclude_self, seed):
    encoded, clean, rank = random_pairs(num_images, captions, seed)
    of_pair = encoded.image_embeds[encoded.image_of_pair]
    assert nearest_by_image(encoded, clean, rank, exclude_self).tolist() == naive(of_pair, clean, rank, exclude_self)
    assert nearest_by_text(encoded, clean, exclude_self).tolist() == naive(
        encoded.text_embeds, clean, rank, exclude_self
    )


@pytest.fixture
def three_pictures():
    """Picture 0 with pairs 0, 1, 2, of which 1 and 2 are clean; pictures 1 (pair 3) and 2 (pair 4) near each other."""
    images = normalize(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.2], [0.0, 1.0, 0.0]]))
    texts = normalize(torch.tensor([[1.0, 0.9, 0.0], [1.0, 0, 0], [1.0, 0.1, 0], [0, 1.0, 0], [0, 1.0, 0]]))
    return EncodedPairs(images, texts, torch.tensor([0, 0, 0, 1, 2]), "data")


def test_a_wrong_caption_keeps_its_picture_and_finds_the_clean_caption_of_lowest_loss(three_pictures):
    losses = torch.tensor([9.0, 2.0, 1.0, 1.0, 9.0])
    entries = nearest_by_image(three_pictures, torch.tensor([1, 2, 3]), losses)
    assert entries.tolist() == [2, 2, 2, 3, 3]


def test_without_itself_a_pair_finds_the_next_caption_of_its_picture_or_another_picture(three_pictures):
    losses = torch.tensor([9.0, 2.0, 1.0, 1.0, 1.5])
    entries = nearest_by_image(three_pictures, torch.tensor([1, 2, 3, 4]), losses, exclude_self=True)
    assert entries.tolist() == [2, 2, 1, 4, 3]  # the wrong pair 0 keeps its own picture


def test_a_clean_caption_is_its_own_entry_even_if_another_is_equal(three_pictures):
    clean = torch.tensor([1, 3, 4])
    assert nearest_by_text(three_pictures, clean).tolist() == [1, 1, 1, 3, 4]
    assert nearest_by_text(three_pictures, clean, exclude_self=True)[3:].tolist() == [4, 3]


def test_an_only_clean_pair_is_everyones_entry(three_pictures):
    clean, losses = torch.tensor([4]), torch.zeros(5)
    for exclude_self in (False, True):
        assert nearest_by_image(three_pictures, clean, losses, exclude_self).tolist() == [4] * 5
        assert nearest_by_text(three_pictures, clean, exclude_self).tolist() == [4] * 5
