import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.functional.graph import propagation
from hf_noisy_itm.memory.concepts import ConceptGraph, Concepts

from ..methods.table import concepts


def test_a_file_comes_back_as_it_was_written(tmp_path):
    told = concepts(captions="abc", how={"prompt": "a {}"})
    told.save(tmp_path / "concepts.safetensors")
    read = Concepts.read(tmp_path / "concepts.safetensors")
    assert (read.words, read.provenance) == (told.words, told.provenance)
    assert torch.equal(read.links, told.links)
    assert torch.equal(read.vectors, told.vectors)
    assert read.edges == 8
    assert len(read) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["concepts.safetensors"]


def test_the_same_concepts_give_the_same_file(tmp_path):
    """So that its hash says whether they are the same; safetensors writes several facts in no order."""
    path, seen = tmp_path / "concepts.safetensors", set()
    for _ in range(8):
        concepts(captions="abc", how={"prompt": "a {}"}).save(path)
        seen.add(path.read_bytes())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"words": ["alone"], "links": torch.zeros(1, 1), "vectors": torch.zeros(1, 2)}, "1 concept makes no graph"),
        ({"words": []}, "0 concepts make no graph"),
        ({"words": ["a", "a", "b"]}, "not all different"),
        ({"words": ["a", "b", ""]}, "not all different"),
        ({"words": ["a", "b"]}, r"links of shape \(3, 3\) and vectors of shape \(3, 2\) are not those of 2 words"),
        ({"vectors": torch.full((3, 2), torch.nan)}, "vectors are not finite"),
        ({"vectors": torch.zeros(3, 2).double()}, "not float32"),
        ({"links": torch.full((3, 3), 2.0)}, r"links are not in \[0, 1\]"),
        ({"links": torch.eye(3)}, "tie a word to itself"),
        ({"links": torch.tensor([[0.0, 0.5, 0], [0, 0, 0], [0, 0, 0]])}, "not symmetric"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, sentence):
    parts = {"words": ["a", "b", "c"], "links": torch.zeros(3, 3), "vectors": torch.zeros(3, 2), **change}
    with pytest.raises(ValueError, match=sentence):
        Concepts(**parts)


def spoilt(path, **facts):
    concepts().save(path)
    told = {"words": concepts().words, "provenance": {}, **facts}
    save_file(load_file(path), path, {"provenance": json.dumps(told)})


def spoilt_vectors(path, rows):
    concepts().save(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file({**load_file(path), "vectors": rows(concepts().vectors)}, path, header)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: None, "There is no file of concepts .*: make it with recipes/build_concepts.py"),
        (lambda path: path.write_text("no"), "is no file of concepts"),
        (lambda path: spoilt(path, words=None), "is no file of concepts"),
        (lambda path: spoilt(path, words=["one"]), r"1 concept makes no graph: .*build it again"),
        (lambda path: spoilt(path, words="string"), "its words are no list"),
        (lambda path: spoilt(path, words=[["a"]] * 9), "its words are not all different"),
        (lambda path: spoilt(path, words=[*map(str, range(8)), "\ud800"]), "surrogates not allowed"),
        (lambda path: spoilt(path, provenance=["a"]), "its provenance is no object"),
        (lambda path: spoilt(path, provenance={"scorer": 5}), "the scorer in its provenance is no object"),
        (lambda path: save_file(load_file(concepts().save(path) or path), path, {"provenance": "{"}), "is no file"),
        (lambda path: save_file({"links": torch.zeros(2, 2)}, path, {"provenance": '{"words": []}'}), "is no file"),
        (lambda path: spoilt_vectors(path, torch.zeros_like), "vectors of 9 words, 'word0' for one, are not of unit"),
        (lambda path: spoilt_vectors(path, lambda rows: 1.01 * rows), "are not of unit length.*build it again"),
        (lambda path: spoilt_vectors(path, lambda rows: rows.bfloat16()), "not float32"),
    ],
)
def test_another_file_is_refused_in_one_sentence(spoil, sentence, tmp_path):
    path = tmp_path / "concepts.safetensors"
    spoil(path)
    with pytest.raises(InputError, match=sentence) as error:
        Concepts.read(path)
    assert "\n" not in str(error.value)


def test_a_graph_starts_as_its_file_says_and_a_new_training_does_not_wipe_it():
    told = concepts()
    graph = ConceptGraph(9, 32, told)
    assert torch.equal(graph.vectors, told.vectors)
    assert torch.equal(graph.propagation, propagation(told.links))
    assert not hasattr(graph, "reset")  # which `begin_run` calls
    other = ConceptGraph(9, 32)
    assert not other.vectors.any()
    other.load_state_dict(graph.state_dict())
    assert torch.equal(other.vectors, told.vectors)
