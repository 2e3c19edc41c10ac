from dataclasses import replace

import numpy as np
import pytest
import torch

from hf_noisy_itm.data import PairCollator

KEYS = {"pixel_values", "input_ids", "attention_mask", "index", "image_id"}


def pixels(processor, pairs, picture):
    return processor.image_processor(pairs.picture(picture), return_tensors="pt")["pixel_values"][0]


def tokens(processor, caption):
    return processor.tokenizer(caption, truncation=True, max_length=processor.tokenizer.model_max_length)["input_ids"]


def unpadded(batch, row):
    return batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()


def with_entries(processor, pairs, **entries):
    collator = PairCollator(processor, pairs)
    collator.entries = {name: np.asarray(rows) for name, rows in entries.items()}
    return collator


def random_entries(pairs, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, len(pairs), len(pairs)) for name in ("image", "text")}


def test_a_batch_has_the_keys_and_shapes_that_forward_takes(processor, pairs):
    batch = PairCollator(processor, pairs)([pairs[row] for row in (3, 119, 40)])
    assert batch.keys() == KEYS
    assert batch["pixel_values"].shape == (3, 3, 16, 16)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert len(batch["input_ids"]) == 3
    assert batch["input_ids"].shape[1] <= 24
    assert batch["index"].tolist() == [3, 119, 40]
    assert batch["image_id"].tolist() == [0, 23, 8]


def test_each_row_is_what_the_processor_makes_of_its_picture_and_caption(processor, pairs):
    rows = [3, 4, 119, 40, 3]
    batch = PairCollator(processor, pairs)([pairs[row] for row in rows])
    for place, row in enumerate(rows):
        assert torch.equal(batch["pixel_values"][place], pixels(processor, pairs, row // 5))
        assert unpadded(batch, place) == tokens(processor, pairs.captions[row])


def test_captions_are_cut_at_the_length_asked_for(processor, pairs):
    batch = PairCollator(processor, pairs, max_length=5)([pairs[row] for row in range(4)])
    assert batch["input_ids"].shape == (4, 5)
    assert (batch["input_ids"][:, -1] == processor.tokenizer.eos_token_id).all()


def names_in(batch):
    for name, value in batch.items():
        yield name
        if isinstance(value, dict):
            yield from names_in(value)


def test_no_batch_says_which_pairs_are_noisy(processor, pairs):
    noisy = pairs.with_noise(np.roll(np.arange(len(pairs)), 5))
    assert noisy.is_noisy.all()
    collator = with_entries(processor, noisy, **random_entries(pairs))
    rows = [{**noisy[row], "is_noisy": True, "source": 7} for row in range(6)]
    assert set(names_in(collator(rows))) == KEYS | {"bank", "entries", "image", "text", "image_row", "text_row"}


def test_the_ids_of_a_batch_are_those_of_the_pictures(processor, pairs):
    pairs = replace(pairs, image_id=np.arange(24) // 2 + 100)
    batch = with_entries(processor, pairs, text=np.full(120, 119))([pairs[0], pairs[14]])
    assert batch["image_id"].tolist() == [100, 101]
    assert batch["bank"]["entries"]["text"]["image_id"].tolist() == [111, 111]


@pytest.mark.parametrize("rows", [[0], [3, 119, 40], list(range(20)), [5, 5, 6]])
def test_entries_point_at_their_pictures_and_captions(processor, pairs, rows):
    collator = with_entries(processor, pairs, **random_entries(pairs))
    batch = collator([pairs[row] for row in rows])
    bank = batch["bank"]
    everything = {
        name: torch.cat([batch[name], bank[name]]) for name in ("pixel_values", "input_ids", "attention_mask")
    }
    assert bank["entries"].keys() == {"image", "text"}
    for name, entry in bank["entries"].items():
        for place, row in enumerate(rows):
            target = collator.entries[name][row]
            picture = everything["pixel_values"][entry["image_row"][place]]
            assert torch.equal(picture, pixels(processor, pairs, target // 5))
            assert unpadded(everything, entry["text_row"][place]) == tokens(processor, pairs.captions[target])
            assert entry["image_id"][place] == target // 5


def test_nothing_is_decoded_twice_for_the_bank(processor, pairs):
    rows = [0, 1, 7, 30]  # pictures 0, 0, 1, 6
    # Pictures 0, 1, 8, 8 and 6, 6, 9, 0: new are 8 and 9. Captions 0, 8, 40, 44 and 31, 30, 49, 2: new are six.
    image, text = np.zeros(120, dtype=int), np.zeros(120, dtype=int)
    image[rows], text[rows] = [0, 8, 40, 44], [31, 30, 49, 2]
    bank = with_entries(processor, pairs, image=image, text=text)([pairs[row] for row in rows])["bank"]
    assert len(bank["pixel_values"]) == 2
    assert len(bank["input_ids"]) == len(bank["attention_mask"]) == 6


def test_entries_that_are_in_the_batch_already_add_no_rows(processor, pairs):
    rows = [0, 6, 12]
    itself = np.arange(120)
    batch = with_entries(processor, pairs, image=itself, text=np.roll(itself, 0))([pairs[row] for row in rows])
    assert batch["bank"]["pixel_values"].shape == (0, 3, 16, 16)
    assert batch["bank"]["input_ids"].shape == (0, batch["input_ids"].shape[1])
    for entry in batch["bank"]["entries"].values():
        assert entry["image_row"].tolist() == entry["text_row"].tolist() == [0, 1, 2]


def test_a_bank_does_not_change_the_pairs_of_the_batch(processor, pairs):
    rows = [pairs[row] for row in (3, 119, 40)]
    without = PairCollator(processor, pairs)(rows)
    batch = with_entries(processor, pairs, **random_entries(pairs))(rows)
    for name in ("pixel_values", "index", "image_id"):
        assert torch.equal(batch[name], without[name])
    assert len(batch["input_ids"]) == len(batch["attention_mask"]) == 3
    for place in range(3):  # captions may be padded further
        assert unpadded(batch, place) == unpadded(without, place)


@pytest.mark.parametrize("cache_pictures", [0, 2, 100])
def test_the_cache_gives_the_same_tensors_and_saves_the_work(processor, pairs, cache_pictures):
    decoded = []

    class CountingPairs(type(pairs)):
        def picture(self, row):
            decoded.append(row)
            return super().picture(row)

    counting = CountingPairs(pairs.pictures, pairs.captions, pairs.image_row, pairs.image_id, pairs.caption_image_id)
    collator = PairCollator(processor, counting, cache_pictures)
    rows = [pairs[row] for row in (0, 5, 10, 15)]
    first, second = collator(rows), collator(rows)
    expected = torch.stack([pixels(processor, pairs, picture) for picture in range(4)])
    assert torch.equal(first["pixel_values"], expected)
    assert torch.equal(second["pixel_values"], expected)
    assert decoded == [0, 1, 2, 3, *range(min(cache_pictures, 4), 4)]


def test_writing_into_a_batch_does_not_spoil_the_cache(processor, pairs):
    collator = PairCollator(processor, pairs, cache_pictures=10)
    collator([pairs[0]])["pixel_values"].zero_()
    assert torch.equal(collator([pairs[0]])["pixel_values"][0], pixels(processor, pairs, 0))
