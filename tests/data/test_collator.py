from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hf_noisy_itm import InputError
from hf_noisy_itm.data import PairCollator
from hf_noisy_itm.data import collator as collating

from .moving import moved_by

KEYS = {"pixel_values", "input_ids", "attention_mask", "index", "image_id", "category"}


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
    assert {name: each.tolist() for name, each in batch["category"].items()} == {"image": [0, 2, 2], "text": [0, 2, 2]}
    assert "category" not in PairCollator(processor, replace(pairs, labels=None))([pairs[3]])


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


def flat(batch):
    for name, value in batch.items():
        yield from flat(value) if isinstance(value, dict) else [(name, value)]


def test_no_batch_says_which_pairs_are_noisy(processor, pairs):
    noisy = moved_by(pairs, np.roll(np.arange(len(pairs)), 5))
    assert noisy.is_noisy.all()
    collator = with_entries(processor, noisy, **random_entries(pairs))
    rows = [{**noisy[row], "is_noisy": True, "source": 7} for row in range(6)]
    assert set(names_in(collator(rows))) == KEYS | {"bank", "entries", "image", "text", "image_row", "text_row"}


def test_a_batch_is_the_same_whatever_is_known_about_noise(processor, pairs):
    unknown = replace(pairs, caption_image_id=pairs.image_id[pairs.image_row])
    known = replace(pairs, caption_image_id=np.roll(pairs.caption_image_id, 7))
    assert known.is_noisy.any()
    assert not unknown.is_noisy.any()
    one, other = (
        with_entries(processor, each, **random_entries(pairs))([each[3], each[9]]) for each in (known, unknown)
    )
    assert list(names_in(one)) == list(names_in(other))
    assert all(torch.equal(value, again) for (_, value), (_, again) in zip(flat(one), flat(other)))


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
def test_the_cache_gives_the_same_tensors_and_saves_the_work(processor, pairs, counted, cache_pictures):
    counting, decoded = counted
    collator = PairCollator(processor, counting, cache_pictures)
    rows = [pairs[row] for row in (0, 5, 10, 15)]
    first, second = collator(rows), collator(rows)
    expected = torch.stack([pixels(processor, pairs, picture) for picture in range(4)])
    assert torch.equal(first["pixel_values"], expected)
    assert torch.equal(second["pixel_values"], expected)
    assert decoded == [0, 1, 2, 3, *range(min(cache_pictures, 4), 4)]


def test_a_picture_is_decoded_once_however_often_a_batch_holds_it(processor, pairs, counted):
    counting, decoded = counted
    image, text = np.zeros(120, dtype=int), np.zeros(120, dtype=int)
    rows = [0, 1, 2, 3, 4, 40, 7, 7]  # five captions of picture 0; picture 8; picture 1 twice
    image[rows], text[rows] = [0, 3, 41, 5, 60, 60, 61, 100], [2, 9, 42, 62, 63, 101, 101, 7]  # new: 12 and 20
    batch = with_entries(processor, counting, image=image, text=text)([pairs[row] for row in rows])
    assert sorted(decoded) == [0, 1, 8, 12, 20]
    for place, row in enumerate(rows):
        assert torch.equal(batch["pixel_values"][place], pixels(processor, pairs, row // 5))


def test_an_encoder_that_asks_for_one_picture_twice_gets_it_twice(processor, counted):
    counting, decoded = counted
    images = PairCollator(processor, counting).images(np.array([3, 3, 1]))
    assert torch.equal(images, torch.stack([pixels(processor, counting, row) for row in (3, 3, 1)]))
    assert decoded[:2] == [3, 1]


CAPTIONS = ["a bus", "", "two words", "a bus", "Ünïcode 🚌 and 42", "one " * 50, "  spaces  ", "two words"]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kept", [0, 2, 100])
def test_tokens_are_the_tokenizers_at_first_and_from_memory(processor, pairs, side, kept, monkeypatch):
    monkeypatch.setattr(collating, "_KEPT_CAPTIONS", kept)
    tokenizer = processor.tokenizer
    tokenizer.padding_side = side
    collator = PairCollator(processor, pairs, max_length=9)
    for captions in (CAPTIONS, CAPTIONS[::-1], CAPTIONS[:1], ["new", "a bus"]):
        expected = tokenizer(captions, padding=True, truncation=True, max_length=9, return_tensors="pt")
        tokens = collator.texts(captions)
        assert tokens.keys() == {"input_ids", "attention_mask"}
        for name, value in tokens.items():
            assert value.dtype == expected[name].dtype
            assert torch.equal(value, expected[name])
    assert len(collator._tokens) <= kept


def test_a_caption_is_tokenized_once(processor, pairs):
    asked = []

    class Counting:
        def __getattr__(self, name):
            return getattr(tokenizer, name)

        def __call__(self, captions, **options):
            asked.extend(captions)
            return tokenizer(captions, **options)

    tokenizer, processor.tokenizer = processor.tokenizer, Counting()
    collator = PairCollator(processor, pairs)
    for _ in range(2):
        collator.texts(["a bus", "two words", "a bus"])
    assert asked == ["a bus", "two words"]


def test_workers_make_the_same_batches(processor, pairs):
    collator = with_entries(processor, pairs, **random_entries(pairs))
    alone, together = (
        list(DataLoader(pairs, 25, shuffle=True, collate_fn=collator, num_workers=workers, generator=generator))
        for workers, generator in ((0, torch.Generator().manual_seed(3)), (2, torch.Generator().manual_seed(3)))
    )
    assert len(alone) == len(together) == 5
    for one, other in zip(alone, together):
        assert [name for name, _ in flat(one)] == [name for name, _ in flat(other)]
        assert all(torch.equal(value, again) for (_, value), (_, again) in zip(flat(one), flat(other)))


def test_writing_into_a_batch_does_not_spoil_the_cache(processor, pairs):
    collator = PairCollator(processor, pairs, cache_pictures=10)
    collator([pairs[0]])["pixel_values"].zero_()
    assert torch.equal(collator([pairs[0]])["pixel_values"][0], pixels(processor, pairs, 0))


def test_rows_of_other_pairs_are_refused(processor, pairs):
    """Looked up by their index alone they would be given the captions of these."""
    source = np.roll(np.arange(len(pairs)), 1)
    for other in (pairs.keep_pictures(np.arange(5, 10)), moved_by(pairs, source)):
        with pytest.raises(InputError, match=r"Row 3 .* is not of the pairs"):
            PairCollator(processor, pairs)([other[3]])
    with pytest.raises(InputError, match=r"Row 119 .* is not of the pairs"):
        PairCollator(processor, pairs.keep_pictures(np.arange(5)))([pairs[119]])
    assert PairCollator(processor, pairs)([pairs[3], {"index": 4}])["index"].tolist() == [3, 4]
