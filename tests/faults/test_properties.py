"""Properties of what outlives a step, and of what a run is told, on anything that hypothesis thinks of.

Noise, retrieval, moments and the other equations have theirs beside them, in tests/functional.
"""

import dataclasses
from contextlib import suppress

import numpy as np
import pytest
import torch
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.files import read_yaml
from hf_noisy_itm.functional.retrieval import recall
from hf_noisy_itm.memory.bank import EncodedPairs, MemoryBank
from hf_noisy_itm.memory.clean import build_bank
from hf_noisy_itm.memory.queue import NO_ROW, PairQueue
from hf_noisy_itm.methods import NPCConfig
from hf_noisy_itm.methods._config import NoisyITMConfig

few = settings(max_examples=40, deadline=None)


@few
@given(st.integers(1, 9), st.lists(st.integers(0, 13), max_size=6), st.integers(0, 5))
def test_a_queue_is_the_end_of_all_that_came(size, batches, saved_after):
    """Whatever the sizes of batches and queue, and wherever it was saved and loaded between."""
    queue, came = PairQueue(size, 2), []
    for number, count in enumerate(batches):
        rows = torch.arange(len(came), len(came) + count)
        keys = torch.stack([rows, -rows], dim=1).float()
        queue.push(keys, keys + 0.5, rows * 10, rows)
        came += rows.tolist()
        if number == saved_after:
            fresh = PairQueue(size, 2)
            fresh.load_state_dict(queue.state_dict())
            queue = fresh
    there = queue.row[~queue.is_empty]
    assert sorted(there.tolist()) == came[-size:] if came else not len(there)
    assert queue.row[queue.is_empty].eq(NO_ROW).all()
    assert torch.equal(queue.image_keys[~queue.is_empty], torch.stack([there, -there], dim=1).float())
    assert torch.equal(queue.image_id[~queue.is_empty], there * 10)


@st.composite
def encoded(draw):
    """Pairs of random unit rows, some pictures with several captions; rows may come twice."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pictures = draw(st.integers(6, 14))
    owner = np.concatenate([np.arange(pictures), rng.integers(0, pictures, draw(st.integers(0, 12)))])
    images = rng.normal(size=(pictures, 4))
    texts = images[np.where(rng.random(len(owner)) < 0.6, owner, rng.permutation(owner))] + 0.1 * rng.normal(
        size=(len(owner), 4)
    )
    if draw(st.booleans()):
        texts[1], images[1] = texts[0], images[0]
    unit = [torch.nn.functional.normalize(torch.from_numpy(each).float(), dim=1) for each in (images, texts)]
    return EncodedPairs(*unit, torch.from_numpy(owner), "these")


@few
@given(encoded(), st.sampled_from([0.1, 0.5, 0.9]), st.booleans())
def test_entries_are_the_nearest_clean_pairs(pairs, threshold, exclude_self):
    """Against brute force: an entry is clean, and no clean pair is nearer by more than rounding."""
    try:
        bank = build_bank(pairs, 20.0, threshold, exclude_self)
    except InputError as error:  # no pair is clean, or the scores do not differ
        event(type(error).__name__)
        return
    clean = torch.nonzero(bank.scores["clean_posterior"] > threshold).squeeze(1)
    pictures, texts = pairs.image_embeds[pairs.image_of_pair].double(), pairs.text_embeds.double()
    for kind, rows in (("image", pictures), ("text", texts)):
        assert torch.isin(bank.entries[kind], clean).all()
        cosines = rows @ rows[clean].T
        if exclude_self and len(clean) > 1:
            own = clean == torch.arange(len(rows))[:, None]
            assert (bank.entries[kind] != torch.arange(len(rows))).all()
            cosines[own] = -2
        found = (rows * rows[bank.entries[kind]]).sum(dim=1)
        assert (found >= cosines.amax(dim=1) - 1e-6).all()


@few
@given(st.data(), st.integers(1, 9))
def test_a_bank_is_what_was_saved(tmp_path_factory, data, count):
    rows = st.lists(st.integers(0, count - 1), min_size=count, max_size=count)
    numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=count, max_size=count)
    texts = st.text(st.characters(exclude_categories=["Cs"]))
    facts = data.draw(
        st.dictionaries(texts.filter(lambda name: name != "noise"), st.none() | st.booleans() | st.integers() | texts)
    )
    bank = MemoryBank(
        {kind: torch.tensor(data.draw(rows)) for kind in ("image", "text")},
        {"loss": torch.tensor(data.draw(numbers))},
        facts,
    )
    path = tmp_path_factory.getbasetemp() / "bank.safetensors"
    bank.save(path)
    found = MemoryBank.read(path)
    assert found.provenance == facts
    assert all(torch.equal(found.entries[kind], bank.entries[kind]) for kind in bank.entries)
    assert torch.equal(found.scores["loss"], bank.scores["loss"])


@few
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(0, 10))
def test_recall_does_not_know_in_which_order_rows_come(seed, pictures, more):
    """Embeddings of few values, so that many tie."""
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(pictures), rng.integers(0, pictures, more)])
    images, texts = (
        torch.from_numpy(rng.integers(-1, 2, (count, 3)) + 1e-3).float() for count in (pictures, len(owner))
    )
    before = recall(images, texts, image_of_caption=torch.from_numpy(owner), ks=(1, 2))
    order, captions = rng.permutation(pictures), rng.permutation(len(owner))
    place = np.argsort(order)
    after = recall(
        images[order], texts[captions], image_of_caption=torch.from_numpy(place[owner[captions]]), ks=(1, 2)
    )
    assert before == after


def fields_of(config):
    own = {field.name for field in dataclasses.fields(config)} - {
        field.name for field in dataclasses.fields(NoisyITMConfig)
    }
    defaults = config()
    kinds = {float: st.floats(0.1, 0.8), int: st.integers(2, 50), bool: st.booleans()}
    return {
        name: kinds[type(getattr(defaults, name))] for name in sorted(own) if type(getattr(defaults, name)) in kinds
    }


@few
@given(st.data())
def test_a_config_is_what_was_saved(tmp_path_factory, data):
    known = fields_of(NPCConfig)
    given_fields = data.draw(st.fixed_dictionaries({}, optional=known))
    try:
        config = NPCConfig(**given_fields)
    except Exception as error:  # fields that do not go together; of `@strict` dataclasses errors of their own kind
        event(type(error).__name__)
        return
    folder = tmp_path_factory.getbasetemp() / "config"
    config.save_pretrained(folder)
    found = NPCConfig.from_pretrained(folder)
    assert {name: getattr(found, name) for name in known} == {name: getattr(config, name) for name in known}
    assert found.to_dict() == config.to_dict()


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
documents = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
)


@few
@given(documents)
def test_yaml_is_read_as_it_was_written(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "x.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    assert read_yaml(path) == document


FIELDS = {
    "learning_rate": st.floats(1e-8, 1.0),
    "max_steps": st.integers(1, 10**6),
    "per_device_train_batch_size": st.integers(2, 4096),
    "dataset": st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12),
    "where": st.sampled_from(["style=twemoji", "a = 'b c'", "größe=3"]),
    "noise_rate": st.floats(0, 1),
    "save_total_limit": st.none() | st.integers(1, 9),
    "clean_threshold": st.floats(0, 0.99),
    "exclude_self": st.booleans(),
}


@few
@given(st.fixed_dictionaries({}, optional=FIELDS), st.fixed_dictionaries({}, optional=FIELDS))
def test_a_recipe_says_on_the_command_line_what_it_says_in_a_file(tmp_path_factory, of_file, of_words):
    """And the command line wins."""
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_text(yaml.safe_dump({"method": "npc", **of_file}, allow_unicode=True), encoding="utf-8")
    words = [f"--{name}={'none' if value is None else value}" for name, value in of_words.items()]
    recipe = parse_recipe([str(path), *words])
    told = vars(recipe.training) | vars(recipe.data) | recipe.method
    for name, value in (of_file | of_words).items():
        assert told[name] == value, name


@few
@given(st.dictionaries(st.sampled_from([*FIELDS, "method", "seed", "nonsense"]), documents, max_size=4))
def test_a_recipe_of_anything_is_read_or_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with suppress(InputError):
        parse_recipe([str(path)])


@few
@given(
    st.dictionaries(
        st.text("ab.", min_size=1, max_size=4), st.lists(st.integers(-5, 5), max_size=5), min_size=1, max_size=3
    ),
    st.binary(max_size=40),
    st.data(),
)
def test_a_bank_that_was_cut_or_changed_is_refused(tmp_path_factory, tensors, piece, data):
    path = tmp_path_factory.getbasetemp() / "odd.safetensors"
    save_file({name: torch.tensor(rows) for name, rows in tensors.items()}, path)
    assert load_file(path).keys() == tensors.keys()
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:place] + piece + whole[place + len(piece) :])
    with pytest.raises(InputError, match="is not a memory bank"):
        MemoryBank.read(path)
