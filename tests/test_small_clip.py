import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from hf_noisy_itm.small_clip import SmallCLIPArguments, small_clip, train_tokenizer

CAPTIONS = ["a small fox left of two pandas", "two pandas on a striped red background", "three foxes, plain blue"]
TOKENIZER = train_tokenizer(CAPTIONS * 5, vocab_size=560, context_length=24)
GOLDEN_MERGES = (
    "an as_ das_ ed_ fo pan tw pandas_ two_ ac ai al bl bac ef ee_ es_ gr hr ip kgr lai lef mal nd_ ou of_ on_ plai "
    "red_ rip st smal thr ue_ xes_ fox_ foxes_ blue_ backgr left_ ound_ plain_ riped_ striped_ small_"
)


def letters(text):
    """Composed, in lower case letter by letter, without spaces: what CLIP's tokenizers keep of a text."""
    return "".join("".join(letter.lower() for letter in unicodedata.normalize("NFC", text)).split())


def spelled(tokenizer, text):
    return "".join(tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).split())


# Unassigned letters change between versions of Unicode, surrogates are no text, and five control characters are spaces
# for Python alone.
@given(st.text(st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\x1c\x1d\x1e\x1f\x85")))
@example("Zwei Füchse, 3 Pandas & 狐 🦊 über dem Haus!")
@example("ПРИВЕТ, ΚΌΣΜΕ; café = cafe\u0301")
def test_any_text_can_be_spelled(text):
    assert spelled(TOKENIZER, text) == letters(text)


@given(st.lists(st.sampled_from("a fox panda two small red Background STRIPED zebra".split()), min_size=1))
def test_words_come_back_with_the_spaces_between_them(words):
    text = " ".join(words)
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"], skip_special_tokens=True).strip() == text.lower()


def test_the_vocabulary_is_small_and_known_words_are_short():
    assert 514 < len(TOKENIZER) <= 560
    assert set(TOKENIZER.get_vocab().values()) == set(range(len(TOKENIZER)))
    bare = train_tokenizer(CAPTIONS, vocab_size=514, context_length=24)
    assert len(bare) == 514
    assert spelled(bare, "Two pandas") == "twopandas"
    # Start, end, and a token a letter: 2 + 9. With merges a word that occurs often is one token: 2 + 2.
    assert len(bare("two pandas")["input_ids"]) == 11
    assert len(TOKENIZER("two pandas")["input_ids"]) == 4


def test_words_are_learned_in_lower_case():
    shouting = train_tokenizer(["TWO PANDAS"] * 5, vocab_size=560, context_length=24)
    assert len(shouting("two pandas")["input_ids"]) == 4


def test_the_tokenizer_marks_start_and_end_and_cuts_at_the_context():
    tokens = TOKENIZER("fox " * 100, truncation=True)["input_ids"]
    assert len(tokens) == 24
    assert (tokens[0], tokens[-1]) == (TOKENIZER.bos_token_id, TOKENIZER.eos_token_id)


def test_the_same_captions_give_the_same_tokenizer_in_every_process():
    again = train_tokenizer(CAPTIONS * 5, vocab_size=560, context_length=24)
    assert again.get_vocab() == TOKENIZER.get_vocab()
    learned = sorted(TOKENIZER.get_vocab().items(), key=lambda entry: entry[1])[514:]
    assert " ".join(token.replace("</w>", "_") for token, _ in learned) == GOLDEN_MERGES


@pytest.mark.parametrize("shape", [SmallCLIPArguments(), SmallCLIPArguments(16, 8, 32, 1, 2, 600, 24)])
def test_the_config_has_the_shape_asked_for(shape):
    config, processor = small_clip(shape, CAPTIONS)
    assert config.projection_dim == shape.width
    for tower, layers in ((config.vision_config, shape.image_layers), (config.text_config, shape.text_layers)):
        assert tower.num_hidden_layers == layers
        assert tower.hidden_size == tower.projection_dim == shape.width
        assert tower.hidden_size == 32 * tower.num_attention_heads
    assert (config.vision_config.image_size, config.vision_config.patch_size) == (shape.image_size, shape.patch_size)
    assert config.text_config.vocab_size == len(processor.tokenizer) <= shape.vocab_size
    assert config.text_config.max_position_embeddings == processor.tokenizer.model_max_length == shape.context_length


def test_the_default_shape_has_the_parameters_it_says():
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), (2000, 6))
    config, processor = small_clip(SmallCLIPArguments(), ["".join(word) for word in letters])  # fills the vocabulary
    assert len(processor.tokenizer) > 1000
    assert sum(weight.numel() for weight in CLIPModel(config).parameters()) == pytest.approx(0.9e6, rel=0.06)


@torch.no_grad()
def test_model_and_processor_fit_pictures_and_captions_of_any_size(clip_config, processor):
    torch.manual_seed(0)
    model = CLIPModel(clip_config).eval()
    pictures = [Image.effect_noise(size, 50).convert("RGB") for size in ((7, 50), (96, 96), (200, 20))]
    captions = ["a fox", "a", "three pandas " * 30]
    inputs = processor(
        images=pictures, text=captions, return_tensors="pt", padding=True, truncation=True, max_length=24
    )
    assert inputs["pixel_values"].shape == (3, 3, 16, 16)
    output = model(**inputs)
    for embeds in (output.image_embeds, output.text_embeds):
        assert embeds.shape == (3, 32)
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(3))
        assert not torch.allclose(embeds[0], embeds[1])


@torch.no_grad()
def test_a_caption_is_read_to_its_end_and_not_into_the_padding(clip_config, processor):
    torch.manual_seed(0)
    model = CLIPModel(clip_config).eval()

    def embed(*captions):
        tokens = processor.tokenizer(list(captions), return_tensors="pt", padding=True)
        return model.get_text_features(**tokens).pooler_output

    alone, other_end = embed("a red fox"), embed("a red bus")
    padded = embed("a red fox", "a red fox left of two small pandas")
    torch.testing.assert_close(padded[:1], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, other_end, atol=1e-3)


def test_the_processor_survives_the_disk(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = CLIPProcessor.from_pretrained(tmp_path)
    text = "a small ÖRANGE fox, 狐"
    assert loaded.tokenizer(text)["input_ids"] == processor.tokenizer(text)["input_ids"]
    assert loaded.tokenizer.model_max_length == 24
    picture = Image.fromarray(np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3))
    before, after = (
        each.image_processor(picture, return_tensors="pt")["pixel_values"] for each in (processor, loaded)
    )
    torch.testing.assert_close(after, before)
