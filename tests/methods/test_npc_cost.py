"""NPC's cheaper forms: what they leave out, and that what remains is what it says."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hf_noisy_itm import PairCollator
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.functional.contrastive import pair_losses
from hf_noisy_itm.functional.pair_steps import losses_after_pair_steps, pair_steps
from hf_noisy_itm.memory.weights import PairWeights
from hf_noisy_itm.methods import BaselineModel, NPCConfig, NPCModel, _virtual_steps
from hf_noisy_itm.methods.npc import confidence_weight, impact_ratio

from ..test_trainer import make_trainer
from .test_contract import make


def same_picture(image_id):
    return (image_id[:, None] == image_id) & ~torch.eye(len(image_id), dtype=torch.bool)


@pytest.fixture
def clip_config(clip_config):
    """Two blocks in each tower, so that one can stay and one move."""
    plain = clip_config.to_dict()
    for tower in ("vision_config", "text_config"):
        plain[tower]["num_hidden_layers"] = 2
    return type(clip_config).from_dict(plain)


@pytest.fixture
def batch(processor, pairs):
    """Eight pairs whose entries are another caption of the picture, and a pair from elsewhere."""
    every, collator = np.arange(len(pairs)), PairCollator(processor, pairs)
    collator.entries = {"image": (every // 5) * 5 + 1, "text": np.roll(every, 37)}
    return collator([pairs[row] for row in range(0, 40, 5)])


def test_pairs_that_step_alone_are_weighed_by_the_closed_form(clip_config, batch):
    model, _ = make(NPCModel, NPCConfig, {"virtual_step": "pair", "pair_step_size": 0.7}, clip_config)
    model.attach(model.exchange, None)  # no optimizer is asked for
    weight = model(**batch).weight_per_pair
    bank, scale = batch["bank"], model.logit_scale
    images = model.embed_images(torch.cat([batch["pixel_values"], bank["pixel_values"]]))
    texts = model.embed_texts(*(torch.cat([batch[name], bank[name]]) for name in ("input_ids", "attention_mask")))
    steps = pair_steps(images[:8], texts[:8], scale, 0.7, same_picture(batch["image_id"]))
    before, after = {}, {}
    for name, entry in bank["entries"].items():
        embeds, same = (images[entry["image_row"]], texts[entry["text_row"]]), same_picture(entry["image_id"])
        before[name] = pair_losses(*embeds, scale, same)
        after[name] = losses_after_pair_steps(steps, *embeds, scale, same)
    expected = confidence_weight(impact_ratio(before, after)).detach()
    assert 0 < (expected < 1).sum() < 8
    torch.testing.assert_close(weight, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_blocks_that_stay_are_not_run_again(clip_config, batch, blocks, autocast):
    """With a step that moves nothing all weights are 1 to the last bit; and the first blocks ran once."""
    model, optimizer = make(NPCModel, NPCConfig, {"virtual_blocks": blocks}, clip_config)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    towers = model.clip.vision_model.encoder.layers, model.clip.text_model.encoder.layers
    runs = []
    for layers in towers:
        for place, layer in enumerate(layers):
            layer.layer_norm1.register_forward_hook(lambda *_, place=place: runs.append(place))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert (model(**batch).weight_per_pair == 1).all()
    again = 2 if autocast else 1  # losses before the step are made in float32 too
    once = 4  # two towers, and two parts: the batch, and what only entries need
    more = once + 3 * again  # no entry has a caption of the batch
    assert [runs.count(0), runs.count(1)] == {0: [once, once], 1: [once, more], 2: [more, more]}[blocks]
    assert all("forward" not in vars(layer) for layers in towers for layer in layers)


@pytest.mark.parametrize("blocks", [0, 1])
def test_replaying_gives_the_losses_of_a_whole_pass(clip_config, batch, blocks, monkeypatch):
    """The same step of the last blocks, its losses from a second model that really has the moved parameters."""
    model, _ = make(NPCModel, NPCConfig, {"virtual_blocks": blocks}, clip_config)
    ahead, at = [], _virtual_steps._losses_at

    def noted(model, batch, moved, *others):
        ahead.append((moved, at(model, batch, moved, *others)))
        return ahead[0][1]

    monkeypatch.setattr(_virtual_steps, "_losses_at", noted)
    model(**batch)
    [(moved, after)] = ahead
    first = [name for name in moved if "embeddings" in name or "pre_layrnorm" in name or ".layers.0." in name]
    assert moved
    assert not first
    assert any(".layers.1." in name for name in moved) == (blocks == 1)
    twin = NPCModel(model.config).eval()
    twin.load_state_dict(model.state_dict() | moved)
    bank = batch["bank"]
    images = twin.embed_images(torch.cat([batch["pixel_values"], bank["pixel_values"]]))
    texts = twin.embed_texts(*(torch.cat([batch[name], bank[name]]) for name in ("input_ids", "attention_mask")))
    for name, entry in bank["entries"].items():
        expected = pair_losses(
            images[entry["image_row"]], texts[entry["text_row"]], twin.logit_scale, same_picture(entry["image_id"])
        )
        torch.testing.assert_close(after[name], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, 13 / 3),  # forward and backward of 3 batches, of one for the virtual gradient, forward of the entries
        ({"weights": "ones"}, 3),
        ({"virtual_step": "pair"}, 3),
        ({"virtual_step": "pair", "bank_share": 0.5}, 7 / 3),  # half of the entries forward only
        ({"virtual_blocks": 0}, 3),
    ],
    ids=str,
)
def test_a_step_costs_so_many_of_the_control(clip_config, processor, pairs, monkeypatch, fields, passes):
    """Multiplications, where no entry is in the batch; what towers take, in steps of one on the batch alone."""
    every, collator = np.arange(len(pairs)), PairCollator(processor, pairs)
    collator.entries = {"image": np.roll(every, 40), "text": np.roll(every, 80)}
    batch = collator([pairs[row] for row in range(0, 40, 5)])
    assert len(batch["bank"]["pixel_values"]) == len(batch["bank"]["input_ids"]) == 16

    def multiplications(model, batch):
        with FlopCounterMode(display=False) as counter:
            model(**batch).loss.backward()
        return counter.get_total_flops()

    model, _ = make(NPCModel, NPCConfig, fields, clip_config)
    monkeypatch.setattr(model, "_drawn", lambda part: torch.tensor([True, False] * 4))
    plain = {name: value for name, value in batch.items() if name != "bank"}
    control = multiplications(BaselineModel(model.config), plain)
    assert multiplications(model, batch) == pytest.approx(passes * control, rel=0.03)


@pytest.mark.parametrize("blocks", [None, 1])
def test_dropout_does_not_weigh_pairs(clip_config, batch, blocks):
    """With a step that moves nothing all weights are 1, and looking ahead draws no random numbers."""
    for tower in (clip_config.vision_config, clip_config.text_config):
        tower.attention_dropout = 0.3
    weighs, optimizer = make(NPCModel, NPCConfig, {"virtual_blocks": blocks}, clip_config)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    torch.manual_seed(0)
    output = weighs(**batch)
    assert (output.weight_per_pair == 1).all()
    assert all(module.training for module in weighs.modules())
    state = torch.get_rng_state()
    ones, _ = make(NPCModel, NPCConfig, {"weights": "ones"}, clip_config)
    torch.manual_seed(0)
    ones(**batch)
    assert torch.equal(torch.get_rng_state(), state)


def test_reentrant_checkpointing_is_refused(clip_config, batch):
    model, _ = make(NPCModel, NPCConfig, {}, clip_config)
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(InputError, match="use_reentrant"):
        model(**batch)


def test_with_gradient_checkpointing_blocks_stay_too(clip_config, batch):
    weights = []
    for checkpointing in (False, True):
        model, _ = make(NPCModel, NPCConfig, {"virtual_blocks": 1}, clip_config)
        if checkpointing:
            model.gradient_checkpointing_enable()
        output = model(**batch)
        output.loss.backward()
        weights.append(output.weight_per_pair)
    torch.testing.assert_close(*weights)


def test_a_share_of_the_entries_is_the_whole_on_average(clip_config, batch):
    full, _ = make(NPCModel, NPCConfig, {"weights": "ones"}, clip_config)
    wanted = full(**batch).loss.item()
    some, _ = make(NPCModel, NPCConfig, {"weights": "ones", "bank_share": 0.5}, clip_config)
    some.load_state_dict(full.state_dict(), strict=False)
    losses = []
    for _ in range(300):
        with torch.no_grad():
            losses.append(some(**batch).loss.item())
            some.step()
    losses = torch.tensor(losses)
    assert losses.std() > 0.1
    assert losses.mean() == pytest.approx(wanted, abs=4 * losses.std().item() / 300**0.5)


def test_what_only_entries_need_that_are_not_drawn_has_no_gradient(clip_config, batch, monkeypatch):
    model, _ = make(NPCModel, NPCConfig, {"weights": "ones", "bank_share": 0.5}, clip_config)
    drawn = torch.tensor([True, False] * 4)
    monkeypatch.setattr(model, "_drawn", lambda part: drawn)
    pixels, bank = batch["pixel_values"].requires_grad_(), dict(batch["bank"])
    bank["pixel_values"] = bank["pixel_values"].clone().requires_grad_()
    output = model(**{**batch, "pixel_values": pixels, "bank": bank})
    output.loss.backward()
    rows = {int(row) - 8 for entry in bank["entries"].values() for row in entry["image_row"][drawn] if row >= 8}
    assert rows
    assert {row for row, grad in enumerate(bank["pixel_values"].grad) if grad.abs().max() > 0} == rows
    assert len(rows) < len(bank["pixel_values"])
    assert (pixels.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_embeddings_are_those_of_one_pass(clip_config, batch):
    whole, _ = make(NPCModel, NPCConfig, {"weights": "ones"}, clip_config)
    parts, _ = make(NPCModel, NPCConfig, {"weights": "ones", "bank_share": 0.3}, clip_config)
    parts.load_state_dict(whole.state_dict(), strict=False)
    torch.testing.assert_close(parts(**batch).loss_per_pair, whole(**batch).loss_per_pair)


def test_between_two_virtual_steps_a_pair_keeps_its_weight(clip_config, processor, pairs, tmp_path, monkeypatch):
    """Two batches an epoch, virtual steps in epochs 0 and 2: every pair is looked at in these, and only in these."""
    fields = {"clean_threshold": 0.5, "impact_every": 2}
    trainer = make_trainer(
        NPCModel,
        NPCConfig,
        fields,
        clip_config,
        processor,
        pairs.keep_captions(range(16)),
        tmp_path,
        max_steps=6,
        per_device_train_batch_size=8,
        learning_rate=0.05,
    )
    seen, add = [], PairWeights.add

    def noted(ledger, index, weight, *more):
        seen.append(dict(zip(index.tolist(), weight.tolist())))
        add(ledger, index, weight, *more)

    monkeypatch.setattr(PairWeights, "add", noted)
    trainer.train()
    epochs = [seen[number] | seen[number + 1] for number in (0, 2, 4)]
    assert [len(epoch) for epoch in epochs] == [16, 16, 16]
    assert epochs[0] == epochs[1] != epochs[2]
    assert any(weight < 1 for weight in epochs[0].values())


def test_without_a_ledger_every_step_is_weighed(clip_config, batch):
    model, _ = make(NPCModel, NPCConfig, {"impact_every": 2}, clip_config)
    first = model(**batch).weight_per_pair
    model.begin_epoch(1)
    assert torch.equal(model(**batch).weight_per_pair, first)
    known = {"last_weight": torch.full((8,), 0.25)}
    assert torch.equal(model(**batch, scores=known).weight_per_pair, known["last_weight"])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"bank_share": 0.0}, "bank_share must be above 0"),
        ({"impact_every": 0}, "impact_every at least 1"),
        ({"virtual_step": "pair", "pair_step_size": 0.0}, "pair_step_size above 0"),
        ({"virtual_step": "pair", "pair_step_size": float("inf")}, "pair_step_size above 0 and finite"),
        ({"pair_step_size": 0.3}, "virtual_step='batch' does not go with pair_step_size=0.3"),
        ({"bank_seed": -1}, "bank_seed must be at least 0 and below 2\\*\\*32, got -1"),
        ({"virtual_step": "pair", "virtual_blocks": 1}, "virtual_step='pair' does not go with virtual_blocks=1"),
        (
            {"virtual_step": "pair", "virtual_optimizer": "sgd"},
            "virtual_step='pair' does not go with virtual_optimizer='sgd'",
        ),
        ({"virtual_blocks": 3}, "virtual_blocks must be between 0 and 2, got 3"),
        ({"virtual_blocks": 1, "bank_share": 0.5}, "does not go with virtual_blocks"),
    ],
)
def test_fields_that_make_no_sense_are_refused(clip_config, fields, sentence):
    with pytest.raises(Exception, match=sentence):
        make(NPCModel, NPCConfig, fields, clip_config)
