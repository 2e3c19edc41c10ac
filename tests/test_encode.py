import os
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch

from hf_noisy_itm import InputError, encode, recall
from hf_noisy_itm.data import PairCollator, Pairs
from hf_noisy_itm.methods import BaselineConfig, BaselineModel

from .methods.test_contract import make


@pytest.fixture
def model(clip_config):
    return make(BaselineModel, BaselineConfig, {}, clip_config)[0]


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_rows_are_embedded_in_their_order(model, processor, pairs, batch_size):
    collator = PairCollator(processor, pairs)
    encoded = encode(model, collator, batch_size)
    with torch.no_grad():
        images = model.embed_images(collator.images(np.arange(len(pairs.image_id))))
        texts = model.embed_texts(**collator.texts(pairs.captions))
    torch.testing.assert_close(encoded.image_embeds, images)
    torch.testing.assert_close(encoded.text_embeds, texts)
    assert encoded.image_of_pair.tolist() == pairs.image_row.tolist()
    assert encoded.fingerprint == pairs.fingerprint


def test_equal_captions_have_equal_embeddings_and_are_embedded_once(model, processor, pairs, monkeypatch):
    captions = [pairs.captions[row % 7] if row % 3 else pairs.captions[row] for row in range(len(pairs))]
    seen, embed_texts = [], model.embed_texts
    monkeypatch.setattr(
        model, "embed_texts", lambda **tokens: seen.append(len(tokens["input_ids"])) or embed_texts(**tokens)
    )
    encoded = encode(model, PairCollator(processor, replace(pairs, captions=captions)), batch_size=4)
    assert sum(seen) == len(set(captions)) < len(captions)
    for row, caption in enumerate(captions):
        assert torch.equal(encoded.text_embeds[row], encoded.text_embeds[captions.index(caption)])


@pytest.mark.parametrize("batch_size", [5, 7, 16])
def test_figures_do_not_depend_on_the_batch_where_pictures_and_captions_repeat(model, processor, pairs, batch_size):
    """Each picture a second time under another id, and captions with more spaces, which no tokenizer sees."""
    count, number = len(pairs), len(pairs.image_id)
    twice = Pairs(
        datasets.concatenate_datasets([pairs.pictures, pairs.pictures]),
        [*pairs.captions, *("  ".join(caption.split(" ")) + " " for caption in pairs.captions)],
        np.concatenate([pairs.image_row, pairs.image_row + number]),
        np.arange(2 * number),
        np.concatenate([pairs.image_row, pairs.image_row + number]),
    )
    encoded = encode(model, PairCollator(processor, twice), batch_size)
    assert torch.equal(encoded.image_embeds[:number], encoded.image_embeds[number:])
    assert torch.equal(encoded.text_embeds[:count], encoded.text_embeds[count:])
    figures = recall(encoded.image_embeds, encoded.text_embeds, encoded.image_of_pair)
    assert figures["t2i_r@1"] == 0  # the twin is as near


@pytest.mark.parametrize("batch_size", [5, 16])
def test_equal_files_on_disk_have_equal_embeddings(model, processor, pairs, batch_size, tmp_path, monkeypatch):
    """Two copies of each; in the end one is gone."""
    number = len(pairs.image_id)
    paths = [str(tmp_path / f"{row}_{copy}.png") for copy in range(2) for row in range(number)]
    for row, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(pairs.pictures[row % number]["image"]["bytes"])
    twice = Pairs(
        datasets.Dataset.from_dict({"image": [{"bytes": None, "path": path} for path in paths]}),
        ["a"] * (2 * number),
        np.arange(2 * number),
        np.arange(2 * number),
        np.arange(2 * number),
    )
    collator, read = PairCollator(processor, twice), []
    encoded_file = Pairs.encoded
    monkeypatch.setattr(Pairs, "encoded", lambda self, row: read.append(row) or encoded_file(self, row))
    for _ in range(2):
        encoded = encode(model, collator, batch_size)
    assert torch.equal(encoded.image_embeds[:number], encoded.image_embeds[number:])
    assert sorted(read) == list(range(2 * number))  # once, not for each bank
    os.remove(paths[3])
    with pytest.raises(InputError, match="The picture in row 3 does not decode"):
        encode(model, PairCollator(processor, twice), batch_size)


@pytest.mark.parametrize("training", [True, False])
def test_neither_mode_nor_random_state_is_touched(model, processor, pairs, training):
    model.train(training)
    state = torch.get_rng_state()
    encode(model, PairCollator(processor, pairs))
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_broken_model_is_named(model, processor, pairs):
    torch.nn.init.constant_(model.clip.text_projection.weight, float("nan"))
    with pytest.raises(InputError, match="embedding of caption 0 is not finite"):
        encode(model, PairCollator(processor, pairs))
