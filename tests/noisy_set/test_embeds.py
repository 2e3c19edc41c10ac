"""What near captions are found by."""

import numpy as np
import pytest
import torch

from hf_noisy_itm import InputError
from hf_noisy_itm.data.words import embed_by_words, share_no_word
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.noisy_set.embeds import embed_by_model


def nearest(embeds):
    unit = embeds / np.maximum(np.linalg.norm(embeds, axis=1, keepdims=True), 1e-12)
    return (unit @ unit.T - 2 * np.eye(len(unit))).argmax(axis=1)


def test_captions_that_share_words_are_near():
    captions = ["a red car", "a red truck", "two dogs run", "three dogs sleep", "犬", "!"]
    embeds = embed_by_words(captions)
    assert nearest(embeds)[:4].tolist() == [1, 0, 3, 2]
    assert not embeds[5].any()  # no word


def test_many_captions_are_embedded_narrowly():
    captions = [f"thing{number} next to word{number} {word}" for number in range(400) for word in ("here", "there")]
    embeds = embed_by_words(captions)
    assert embeds.shape == (800, 256)
    assert np.array_equal(embeds, embed_by_words(captions))
    few = embed_by_words([f"colour{number % 30} shape{number % 20}" for number in range(600)])
    assert few.shape == (600, 50)


def test_captions_without_words_have_no_near_ones():
    with pytest.raises(InputError, match="^No caption has a letter or a digit, .*: give a --text_model.$"):
        embed_by_words(["!", "…"])


def test_a_text_tower_embeds_captions_in_batches_as_alone(pairs):
    embeds = embed_by_model(pairs, "scenes-clip", batch_size=50)
    model, processor = load_model("scenes-clip")
    tokens = processor.tokenizer([pairs.captions[119]], return_tensors="pt")
    with torch.no_grad():
        alone = model.eval().embed_texts(tokens["input_ids"], tokens["attention_mask"])
    assert embeds.shape[0] == 120
    torch.testing.assert_close(embeds[119:], alone, atol=1e-5, rtol=1e-4)


def test_captions_that_share_no_word_with_any_are_near_none():
    """Topics would put them somewhere: 300 others fill these."""
    others = [f"a thing{number % 150} by tree{number % 100}" for number in range(300)]
    embeds = embed_by_words([*others, *(f"单独{number}" for number in range(50))])
    assert embeds.shape == (350, 256)
    assert embeds[:300].any(axis=1).all()
    assert not embeds[300:].any()


def test_words_in_common_are_those_that_embeddings_are_made_of():
    assert share_no_word("A dog", "the cat")
    assert not share_no_word("A dog!", "a cat")
    assert share_no_word("犬在", "犬")
