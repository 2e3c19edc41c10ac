"""NPC against its formulae."""

import math

import numpy as np
import pytest
import torch

from hf_noisy_itm.data import PairCollator
from hf_noisy_itm.encode import encode
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.functional.contrastive import pair_losses
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.methods import BaselineModel, NPCConfig, NPCModel, npc
from hf_noisy_itm.methods.npc import confidence_weight, impact_ratio

from ..data.moving import moved_by
from .test_contract import make, make_batch


def test_ratio_and_weight_by_hand():
    # Entry losses 2 -> 1 and 1 -> 2: ratios 2 and 0.5, mean 1.25, trusted. 1 -> 2 twice: 0.5, tanh(0.5) = 0.4621.
    before = {"image": torch.tensor([2.0, 1.0]), "text": torch.tensor([1.0, 1.0])}
    after = {"image": torch.tensor([1.0, 2.0]), "text": torch.tensor([2.0, 2.0])}
    ratio = impact_ratio(before, after)
    torch.testing.assert_close(ratio, torch.tensor([1.25, 0.5]), atol=1e-5, rtol=0)
    torch.testing.assert_close(confidence_weight(ratio), torch.tensor([1.0, math.tanh(0.5)]), atol=1e-5, rtol=0)


def test_the_weight_is_one_from_a_ratio_of_one_on():
    weights = confidence_weight(torch.tensor([0.999999, 1.0, 1.5]))
    assert weights[0] == pytest.approx(math.tanh(0.999999))
    assert weights[1:].tolist() == [1.0, 1.0]


def test_without_entries_it_is_the_baseline(clip_config, processor, pairs):
    npc, _ = make(NPCModel, NPCConfig, {}, clip_config)
    batch = make_batch(processor, pairs, entries=False)
    output = npc(**batch)
    assert output.weight_per_pair is None
    assert torch.equal(output.loss, npc(**batch).loss_per_pair.mean())
    baseline = BaselineModel(npc.config)
    baseline.load_state_dict(npc.state_dict())
    assert torch.equal(baseline(**batch).loss, output.loss)


def naive_step(model, batch, pairs, processor, entries, lr):
    """Section 2.3 of the spec, with a second model that really takes the virtual step: weights, loss, gradients."""
    collator = PairCollator(processor, pairs)
    twin = NPCModel(model.config)
    twin.load_state_dict(model.state_dict())
    loss = twin(**batch).loss
    loss.backward()
    torch.optim.AdamW(twin.parameters(), lr=lr).step()

    def losses(of, part):
        image_embeds = of.embed_images(part["pixel_values"])
        text_embeds = of.embed_texts(part["input_ids"], part["attention_mask"])
        same = part["image_id"][:, None] == part["image_id"][None]
        same &= ~torch.eye(len(part["index"]), dtype=torch.bool)
        return pair_losses(image_embeds, text_embeds, of.clip.logit_scale.exp(), same)

    parts = {name: collator([pairs[int(row)] for row in rows]) for name, rows in entries.items()}
    before = {name: losses(model, part) for name, part in parts.items()}
    after = {name: losses(twin, part) for name, part in parts.items()}
    ratio = sum(before[name] / after[name] for name in entries) / len(entries)
    weight = torch.where(ratio < 1, torch.tanh(ratio), torch.ones(())).detach()
    total = (weight * losses(model, batch)).mean() + sum(value.mean() for value in before.values())
    return weight, total, torch.autograd.grad(total, list(model.parameters()))


def gradients_of(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)


@pytest.fixture
def entries_of_eight(processor, pairs):
    """A batch of eight pairs with entries, the same without, and the rows of the entries."""
    rows, every = np.arange(0, 40, 5), np.arange(len(pairs))
    collator = PairCollator(processor, pairs)
    collator.entries = {"image": (every // 5) * 5 + 1, "text": np.roll(every, 7)}
    batch = collator([pairs[int(row)] for row in rows])
    plain = {key: value for key, value in batch.items() if key != "bank"}
    return batch, plain, {name: of_pair[rows] for name, of_pair in collator.entries.items()}


def test_forward_equals_a_step_written_with_a_second_model(clip_config, processor, pairs, entries_of_eight):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    batch, plain, entries = entries_of_eight
    weight, total, gradients = naive_step(model, plain, pairs, processor, entries, lr=1e-3)
    output = model(**batch)
    assert 0 < (weight < 1).sum() < 8
    torch.testing.assert_close(output.weight_per_pair, weight, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.loss, total, atol=1e-4, rtol=1e-4)
    for (name, _), got, wanted in zip(model.named_parameters(), gradients_of(model, output.loss), gradients):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3, msg=name)


def test_the_loss_of_the_bank_alone_has_a_gradient(clip_config, monkeypatch, entries_of_eight):
    """With all weights zero what remains is the bank's loss; it is linear in the weights, so ones add the batch's."""
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    batch, plain, _ = entries_of_eight
    gradients = {}
    for weight in (0.0, 1.0):
        monkeypatch.setattr(model, "weigh", lambda *_, weight=weight, **__: torch.full((8,), weight))
        gradients[weight] = gradients_of(model, model(**batch).loss)
    of_batch = gradients_of(model, model(**plain).loss)
    for bank, both, batch_only in zip(gradients[0.0], gradients[1.0], of_batch):
        assert bank.abs().max() > 0
        torch.testing.assert_close(both - bank, batch_only, atol=1e-4, rtol=1e-3)


def test_weights_act_on_single_pairs(clip_config, processor, pairs, monkeypatch):
    """Permuting the weights changes the gradient: they are not collapsed into their mean."""
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    batch = make_batch(processor, pairs)
    gradients = []
    for weight in (torch.linspace(0, 1, 8), torch.linspace(1, 0, 8)):
        monkeypatch.setattr(model, "weigh", lambda *_, weight=weight, **__: weight)
        gradients.append(torch.autograd.grad(model(**batch).loss, model.clip.text_projection.weight)[0])
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


def test_a_pair_of_zero_weight_still_acts_as_a_negative(clip_config, processor, pairs, monkeypatch):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    batch = make_batch(processor, pairs, entries=False)
    monkeypatch.setattr(model, "weigh", lambda *_, **__: torch.tensor([0.0] + [1.0] * 7))
    embeds = model.embed_images(batch["pixel_values"]).detach().requires_grad_()
    texts = model.embed_texts(batch["input_ids"], batch["attention_mask"]).detach()
    losses = model.pair_losses(embeds, texts, batch["image_id"])
    (torch.tensor([0.0] + [1.0] * 7) * losses).mean().backward()
    assert embeds.grad[0].norm() > 0
    output = model(**batch)
    torch.testing.assert_close(output.loss, output.loss_per_pair[1:].sum() / 8)


def test_the_virtual_step_leaves_parameters_optimizer_and_random_state_alone(clip_config, processor, pairs):
    model, optimizer = make(NPCModel, NPCConfig, {}, clip_config)
    batch = make_batch(processor, pairs)
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    parameters = [p.clone() for p in model.parameters()]
    moments = [{key: value.clone() for key, value in entry.items()} for entry in optimizer.state.values()]
    rng = torch.get_rng_state()
    model(**batch)
    assert all(torch.equal(a, b) for a, b in zip(parameters, model.parameters(), strict=True))
    for old, new in zip(moments, optimizer.state.values(), strict=True):
        assert all(torch.equal(old[key], new[key]) for key in old)
    assert torch.equal(rng, torch.get_rng_state())


def weights_of_a_model_that_knows(moved, fields, clip_config, processor, pairs):
    """Of 16 pictures, two captions of which the model has learnt; those at positions `moved` get each other's."""
    model, optimizer = make(NPCModel, NPCConfig, fields, clip_config)
    rows = np.arange(0, 80, 5)
    known = [make_batch(processor, pairs, rows + other, entries=False) for other in (0, 1)]
    for _ in range(60):
        for batch in known:
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    source = np.arange(len(pairs))
    source[rows[moved]] = np.roll(rows[moved], 1)
    noisy = moved_by(pairs, source)
    collator = PairCollator(processor, noisy)
    collator.entries = {"image": np.arange(len(pairs)) + 1}  # the other known caption of the same picture
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    return model(**collator([noisy[row] for row in rows])).weight_per_pair


def test_wrong_captions_harm_their_entries_and_right_ones_do_not(clip_config, processor, pairs):
    right, wrong = (
        weights_of_a_model_that_knows(moved, {}, clip_config, processor, pairs) for moved in ([], np.arange(16))
    )
    assert (right == 1).all()
    assert (wrong < 0.5).all()


def test_where_pairs_step_alone_a_wrong_one_stands_out_among_right_ones(clip_config, processor, pairs):
    """In the step on the whole batch two wrong pairs harm the entries of right ones too: that is what it asks."""
    alone = weights_of_a_model_that_knows([0, 1], {"virtual_step": "pair"}, clip_config, processor, pairs)
    assert (alone[:2] < 0.05).all()
    assert (alone[2:] > 0.75).all()
    together = weights_of_a_model_that_knows([0, 1], {}, clip_config, processor, pairs)
    assert (together[:2] < 0.1).all()
    assert (together[2:] < together[:2].max()).any()


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "fields",
    [{}, {"virtual_optimizer": "sgd"}, {"virtual_step": "pair", "pair_step_size": 1e-45}],
    ids=["AdamW", "SGD", "pair"],
)
def test_a_step_of_length_zero_leaves_all_weights_at_one(clip_config, processor, pairs, autocast, fields):
    """The weight jumps at a ratio of 1, so both losses must come out of the same arithmetic."""
    model, optimizer = make(NPCModel, NPCConfig, fields, clip_config)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        weight = model(**make_batch(processor, pairs)).weight_per_pair
    assert (weight == 1).all()


def test_half_precision_does_not_decide_on_which_side_of_one_a_ratio_lies(clip_config, processor, pairs, monkeypatch):
    model, optimizer = make(NPCModel, NPCConfig, {"virtual_optimizer": "sgd"}, clip_config)
    for group in optimizer.param_groups:
        group["lr"] = 1e-6  # so that rounding would be far larger than what the step does
    ratios = []
    monkeypatch.setattr(npc, "confidence_weight", lambda ratio: (ratios.append(ratio), ratio)[1])
    batch = make_batch(processor, pairs, range(0, 120, 5))
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            model(**batch)
    exact, half = ratios
    clear = (exact - 1).abs() > 1e-6
    assert clear.float().mean() > 0.7
    assert ((exact > 1) == (half > 1))[clear].float().mean() > 0.9


def test_float16_is_refused_where_a_gradient_would_underflow(clip_config, processor, pairs):
    batch = make_batch(processor, pairs)
    with torch.autocast("cpu", torch.float16):
        with pytest.raises(InputError, match="cannot be taken in float16, where its gradient underflows"):
            make(NPCModel, NPCConfig, {}, clip_config)[0](**batch)
        assert make(NPCModel, NPCConfig, {"virtual_step": "pair"}, clip_config)[0](**batch).weight_per_pair is not None


def test_a_ratio_that_is_no_number_is_not_trust():
    assert confidence_weight(torch.tensor([float("nan")])).isnan().all()


def test_the_ablation_weighs_nothing_and_still_trains_on_the_entries(clip_config, processor, pairs):
    model, _ = make(NPCModel, NPCConfig, {"weights": "ones"}, clip_config)
    batch = make_batch(processor, pairs)
    output = model(**batch)
    assert output.weight_per_pair is None
    assert output.loss > model(**{key: value for key, value in batch.items() if key != "bank"}).loss


def test_without_an_optimizer_it_says_what_is_missing(clip_config, processor, pairs):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    model.attach(Exchange(), None)
    with pytest.raises(ValueError, match="optimizer that trains the model"):
        model(**make_batch(processor, pairs))


def separable(num_images=40, width=16, seed=0):
    """Embeddings in which pair i is right for captions 0 to 3 of each picture and wrong for the fifth."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.nn.functional.normalize(torch.randn(num_images, width, generator=generator), dim=1)
    image_of_pair = torch.arange(num_images).repeat_interleave(5)
    texts = images[image_of_pair] + 0.1 * torch.randn(5 * num_images, width, generator=generator)
    wrong = torch.arange(4, 5 * num_images, 5)
    texts[wrong] = texts[wrong.roll(1)]
    return EncodedPairs(images, torch.nn.functional.normalize(texts, dim=1), image_of_pair, "data"), wrong


def test_the_bank_calls_wrong_pairs_unclean_and_finds_the_nearest_clean_ones(clip_config):
    model, _ = make(NPCModel, NPCConfig, {"bank_batch_size": 32}, clip_config)
    encoded, wrong = separable()
    bank = model.build_bank(encoded, 0)
    clean = bank.scores["clean_posterior"] > model.config.clean_threshold
    assert not clean[wrong].any()
    assert clean.float().mean() > 0.7
    pair_ids = torch.arange(len(clean))
    for name, embeds in (("image", encoded.image_embeds[encoded.image_of_pair]), ("text", encoded.text_embeds)):
        similarity = embeds @ embeds.T
        similarity[:, ~clean] = -2
        got = similarity[pair_ids, bank.entries[name]]
        torch.testing.assert_close(got, similarity.max(dim=1).values)
        assert clean[bank.entries[name]].all()
    assert bank.provenance["clean_pairs"] == int(clean.sum())
    own_picture = encoded.image_of_pair[bank.entries["image"]] == encoded.image_of_pair
    assert own_picture.float().mean() > 0.9  # a wrong caption's entry is its own picture with a clean caption


def test_the_bank_is_deterministic_and_scores_every_pair(clip_config):
    model, _ = make(NPCModel, NPCConfig, {"bank_batch_size": 48}, clip_config)  # 200 pairs: a tail of 8
    encoded, _ = separable()
    one, other = model.build_bank(encoded, 0), model.build_bank(encoded, 0)
    assert all(torch.equal(one.entries[name], other.entries[name]) for name in one.entries)
    assert torch.isfinite(one.scores["loss"]).all()
    assert (one.scores["loss"] > 0).all()


def test_the_config_says_how_the_bank_is_built(clip_config):
    encoded, _ = separable()
    fields = {"bank_batch_size": 32, "bank_seed": 3, "same_image": "negative", "exclude_self": True}
    fields |= {"clean_threshold": 0.5, "bank_score": "cosine"}
    model, _ = make(NPCModel, NPCConfig, fields, clip_config)
    bank, told = model.build_bank(encoded, 2), {"group_size": 32, "seed": 3, "same_image": "negative"}
    told |= {"exclude_self": True, "clean_threshold": 0.5, "score": "cosine", "epoch": 2, "method": "noisy_itm_npc"}
    assert {name: bank.provenance[name] for name in told} == told
    assert bank.scores.keys() == {"cosine", "clean_posterior"}
    assert not (bank.entries["image"] == torch.arange(len(encoded.text_embeds))).any()


def test_the_bank_knows_by_which_weights_it_was_scored(clip_config):
    encoded, _ = separable()
    model, _ = make(NPCModel, NPCConfig, {"bank_batch_size": 32}, clip_config)
    before = model.build_bank(encoded, 0).provenance["scorer"]
    assert model.build_bank(encoded, 1).provenance["scorer"] == before
    with torch.no_grad():
        model.clip.text_projection.weight[0, 0] += 1e-3
    assert model.build_bank(encoded, 2).provenance["scorer"] != before


def test_no_clean_pair_is_an_error_with_the_highest_posterior(clip_config):
    model, _ = make(NPCModel, NPCConfig, {"clean_threshold": 0.999999999}, clip_config)
    encoded, _ = separable()
    flat = EncodedPairs(
        encoded.image_embeds, encoded.text_embeds.roll(7, 0), encoded.image_of_pair, encoded.fingerprint
    )
    with pytest.raises(ValueError, match="lower clean_threshold"):
        model.build_bank(flat, 0)


def test_the_bank_of_a_real_model_matches_its_own_encoding(clip_config, processor, pairs):
    model, _ = make(NPCModel, NPCConfig, {"bank_batch_size": 30, "clean_threshold": 0.0}, clip_config)
    encoded = encode(model, PairCollator(processor, pairs), batch_size=7)
    assert encoded.image_embeds.shape == (24, 32)
    assert encoded.text_embeds.shape == (120, 32)
    bank = model.build_bank(encoded, 0)
    assert bank.provenance["fingerprint"] == pairs.fingerprint


def test_when_a_bank_is_wanted(clip_config):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    assert [model.needs_bank(epoch) for epoch in range(4)] == [True, False, False, False]
    model.config.bank_refresh_epochs = 2
    assert [model.needs_bank(epoch) for epoch in range(4)] == [True, False, True, False]


def test_a_broken_loss_is_a_sentence(clip_config):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    encoded, _ = separable()
    encoded.text_embeds[3] = float("nan")
    with pytest.raises(InputError, match="The memory bank cannot be built: Loss .* is nan"):
        model.build_bank(encoded, 0)
