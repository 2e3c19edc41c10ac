import json

import pytest
import torch
from safetensors.torch import save_file

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.memory import stored
from hf_noisy_itm.memory.bank import KINDS, MemoryBank


def a_bank(**provenance):
    return MemoryBank(
        entries={"image": torch.tensor([2, 0, 1]), "text": torch.tensor([1, 1, 0])},
        scores={"loss": torch.tensor([0.25, -0.0, 1e-45])},
        provenance={"fingerprint": "abc", "epoch": 2, "word": "café"} | provenance,
    )


def both(rows):
    return {"image": rows, "text": rows.clone()}


def test_a_saved_bank_comes_back_bit_by_bit(tmp_path):
    bank, path = a_bank(), tmp_path / "new" / "bank.safetensors"
    bank.save(path)
    loaded = MemoryBank.load(path, "abc")
    assert loaded.provenance == bank.provenance
    for before, after in ((bank.entries, loaded.entries), (bank.scores, loaded.scores)):
        assert before.keys() == after.keys()
        for name, tensor in before.items():
            assert tensor.dtype == after[name].dtype
            assert tensor.numpy().tobytes() == after[name].numpy().tobytes()


def test_columns_of_a_matrix_can_be_saved(tmp_path):
    matrix = torch.tensor([[0, 2], [0, 1], [0, 0]])
    bank = MemoryBank({"image": matrix[:, 1], "text": matrix[:, 0]}, provenance={"fingerprint": "abc"})
    bank.save(tmp_path / "bank.safetensors")
    assert MemoryBank.load(tmp_path / "bank.safetensors", "abc").entries["image"].tolist() == [2, 1, 0]


def test_one_tensor_may_serve_as_two_kinds_of_entries(tmp_path):
    rows = torch.tensor([2, 0, 1])
    MemoryBank({"image": rows, "text": rows}, provenance={"fingerprint": "abc"}).save(tmp_path / "bank.safetensors")
    entries = MemoryBank.load(tmp_path / "bank.safetensors", "abc").entries
    assert entries["image"].tolist() == entries["text"].tolist() == [2, 0, 1]


def test_a_bank_of_other_data_is_refused_with_both_fingerprints(tmp_path):
    a_bank().save(tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match=r"\(fingerprint abc; this data has xyz\)"):
        MemoryBank.load(tmp_path / "bank.safetensors", "xyz")


def test_a_bank_of_another_length_is_refused(tmp_path):
    a_bank().save(tmp_path / "bank.safetensors")
    assert len(MemoryBank.load(tmp_path / "bank.safetensors", "abc", 3)) == 3
    with pytest.raises(InputError, match="is damaged: it has entries for 3 pairs, and there are 4"):
        MemoryBank.load(tmp_path / "bank.safetensors", "abc", 4)


def test_a_bank_of_other_noise_says_of_which(tmp_path):
    noise = {"kind": "shuffle", "nominal": 0.4, "seed": 0, "family": None}
    a_bank().told(noise=noise).save(tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match=r"abc, with noise of kind shuffle, rate 0\.4, seed 0; this data has xyz"):
        MemoryBank.load(tmp_path / "bank.safetensors", "xyz")


def test_facts_are_added_and_the_bank_before_is_left_as_it_was():
    bank = a_bank()
    told = bank.told(epoch=3, scorer={"model": "x"})
    assert told.provenance == {**bank.provenance, "epoch": 3, "scorer": {"model": "x"}}
    assert bank.provenance["epoch"] == 2
    assert told.entries is bank.entries


@pytest.mark.parametrize(
    ("entries", "scores", "sentence"),
    [
        ({}, {}, r"entries of image and text, not of \[\]"),
        ({"image": torch.arange(3)}, {}, r"entries of image and text, not of \['image'\]"),
        ({"foo": torch.arange(3)}, {}, r"entries of image and text, not of \['foo'\]"),
        (both(torch.arange(3)) | {"foo": torch.arange(3)}, {}, r"not of \['foo', 'image', 'text'\]"),
        (both(torch.arange(3)), {"loss": torch.ones(2)}, r"not of shapes \[\(2,\), \(3,\)\]"),
        ({"image": torch.arange(3), "text": torch.arange(2)}, {}, r"not of shapes \[\(2,\), \(3,\)\]"),
        (both(torch.zeros(2, 2, dtype=torch.long)), {}, "not of shapes"),
        (both(torch.tensor([0, 3, 1])), {}, "'image' are not rows of 3 pairs"),
        (both(torch.tensor([0, -1, 1])), {}, "'image' are not rows of 3 pairs"),
        (both(torch.tensor([0.0, 1.0])), {}, "'image' are not rows of 2 pairs"),
        (both(torch.arange(2)), {"loss": torch.ones(2, dtype=torch.bfloat16)}, "'loss' are torch.bfloat16 and"),
        (both(torch.arange(2)), {"loss": torch.full((2,), torch.nan)}, "2 of the scores 'loss' are no finite numbers"),
        (both(torch.arange(2)), {"loss": torch.tensor([0.0, -torch.inf])}, "1 of the scores 'loss' are no finite"),
    ],
)
def test_entries_that_are_no_rows_of_the_pairs_are_refused(entries, scores, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        MemoryBank(entries, scores)
    tensors = {f"entries.{name}": rows for name, rows in entries.items()}
    save_file({**tensors, **{f"scores.{name}": rows for name, rows in scores.items()}}, tmp_path / "some.safetensors")
    with pytest.raises(InputError, match=r"some\.safetensors is not a memory bank"):
        MemoryBank.load(tmp_path / "some.safetensors", "abc")


def write_text(path):
    path.write_text("not a bank")


def write_half(path):
    a_bank().save(path)
    path.write_bytes(path.read_bytes()[:-10])


def write_a_model(path):
    save_file({"weight": torch.ones(2)}, path)


def write_unknown_group(path):
    save_file({"queue.image": torch.ones(2)}, path)


def write_nothing(path):
    pass


def write_deep(path):
    save_file({f"entries.{kind}": torch.arange(2) for kind in KINDS}, path, {"provenance": "[" * 100_000})


def write_strange_noise(path):
    save_file(
        {f"entries.{kind}": torch.arange(2) for kind in KINDS}, path, {"provenance": json.dumps({"noise": "much"})}
    )


@pytest.mark.parametrize(
    "write",
    [write_text, write_half, write_a_model, write_unknown_group, write_nothing, write_deep, write_strange_noise],
)
def test_a_file_that_is_no_bank_is_refused_by_name(tmp_path, write):
    path = tmp_path / "some.safetensors"
    write(path)
    with pytest.raises(InputError, match=r"some\.safetensors is not a memory bank"):
        MemoryBank.load(path, "abc")


def test_tensors_without_a_fingerprint_belong_to_no_data(tmp_path):
    MemoryBank(both(torch.arange(2))).save(tmp_path / "bank.safetensors")
    with pytest.raises(InputError, match="built for other data"):
        MemoryBank.load(tmp_path / "bank.safetensors", "abc")


@pytest.mark.parametrize("existed", [False, True])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch, existed):
    path = tmp_path / "bank.safetensors"
    if existed:
        a_bank(epoch=1).save(path)

    def half_written(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(stored, "save_file", half_written)
    with pytest.raises(OSError, match="disk full"):
        a_bank().save(path)
    assert list(tmp_path.iterdir()) == ([path] if existed else [])
    if existed:
        assert MemoryBank.load(path, "abc").provenance["epoch"] == 1
