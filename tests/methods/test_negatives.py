"""FNE's posterior as a component of other methods (`negatives = "fne"`)."""

from collections import Counter

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError

from hf_noisy_itm.functional import contrastive
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, NPCConfig, NPCModel, _negatives, npc
from hf_noisy_itm.truth import negatives_in_truth

from ..test_trainer import make_trainer
from .test_contract import make, make_batch, same_state, state

FNE = {"negatives": "fne", "match_prior": 0.05, "min_right_pairs": 2}
methods = pytest.mark.parametrize(("cls", "config_cls"), [(BaselineModel, BaselineConfig), (NPCModel, NPCConfig)])


@methods
def test_there_is_no_state_unless_asked_for(cls, config_cls, clip_config, processor, pairs):
    plain, _ = make(cls, config_cls, {}, clip_config)
    assert all(name.startswith("clip.") for name in plain.state_dict())
    output = plain(**make_batch(processor, pairs, entries=False))
    assert output.to_remember is output.negatives is output.report is None
    asked, _ = make(cls, config_cls, FNE, clip_config)
    more = {name.split(".")[0] for name in asked.state_dict().keys() - plain.state_dict().keys()}
    assert more == {"match_moments"}


@methods
def test_before_anything_is_known_it_is_the_method_itself(cls, config_cls, clip_config, processor, pairs):
    batch = make_batch(processor, pairs)
    losses = [make(cls, config_cls, fields, clip_config)[0](**batch).loss for fields in ({}, FNE)]
    assert torch.equal(*losses)


def known(model):
    own = torch.linspace(0.1, 0.4, 20)
    model.match_moments.add(own, torch.stack([own - 0.05, own - 0.15]))
    return model


def test_wrong_answers_count_by_the_chance_that_they_are_wrong(clip_config, processor, pairs):
    model = known(make(BaselineModel, BaselineConfig, FNE, clip_config)[0])
    batch = make_batch(processor, pairs, range(0, 120, 5), entries=False)
    images, texts = (
        model.embed_images(batch["pixel_values"]),
        model.embed_texts(batch["input_ids"], batch["attention_mask"]),
    )
    cosines = images @ texts.T
    wrong = 1 - model.match_moments.log_odds(cosines).sigmoid()
    assert 0.1 < wrong.min() < 0.9
    wanted = torch.zeros(24)
    for i in range(24):
        for row, weight in ((cosines[i], wrong[i]), (cosines[:, i], wrong[:, i])):
            odds = (model.logit_scale * row).exp()
            others = sum(weight[j] * odds[j] for j in range(24) if j != i)
            wanted[i] -= (odds[i] / (odds[i] + others)).log().item() / 2
    output = model(**batch)
    torch.testing.assert_close(output.loss_per_pair, wanted, atol=1e-4, rtol=1e-4)
    model.config.negatives = "all"
    assert (output.loss_per_pair < model(**batch).loss_per_pair).all()


def test_no_gradient_flows_through_the_posterior(clip_config, processor, pairs, monkeypatch):
    model = known(make(BaselineModel, BaselineConfig, FNE, clip_config)[0])
    batch = make_batch(processor, pairs, entries=False)
    weigh = model.match_moments.log_weight
    gradients = []
    for constant in (False, True):
        if constant:
            monkeypatch.setattr(model.match_moments, "log_weight", lambda cosines: weigh(cosines).detach())
        gradients.append(torch.autograd.grad(model(**batch).loss, model.clip.visual_projection.weight)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize("training", [True, False])
def test_similarities_and_posterior_are_worked_out_once(clip_config, processor, pairs, monkeypatch, training):
    model = known(make(BaselineModel, BaselineConfig, FNE, clip_config)[0]).train(training)
    batch, counts = make_batch(processor, pairs, entries=False), Counter()

    def count(where, name):
        kept = getattr(where, name)
        monkeypatch.setattr(where, name, lambda *args: (counts.update([name]), kept(*args))[1])

    for module in (contrastive, _negatives):
        count(module, "inner_products")
    count(model.match_moments, "log_odds")
    output = model(**batch)
    assert counts == {"inner_products": 2, "log_odds": 2}
    assert (output.negatives is not None) == (output.to_remember is not None) == training


@pytest.mark.parametrize("fields", [{}, {"virtual_step": "pair"}], ids=["batch", "pair"])
def test_what_wrong_answers_to_entries_count_is_not_moved_by_a_virtual_step(
    clip_config, processor, pairs, monkeypatch, fields
):
    """The ratio is to tell how one loss changes. Entries are seen where they stand, however long the step."""
    batch, impact = make_batch(processor, pairs, range(0, 60, 3)), npc.impact_ratio

    def seen(length):
        sizes = {"virtual_optimizer": "sgd"} if not fields else {**fields, "pair_step_size": max(length, 1e-30)}
        model, optimizer = make(NPCModel, NPCConfig, {**FNE, **sizes}, clip_config)
        optimizer.param_groups[0]["lr"] = length
        inputs, ratios, weigh = [], [], known(model).match_moments.log_weight
        monkeypatch.setattr(model.match_moments, "log_weight", lambda c: (inputs.append(c.clone()), weigh(c))[1])
        monkeypatch.setattr(npc, "impact_ratio", lambda *of: (ratios.append(impact(*of)), ratios[-1])[1])
        model(**batch)
        return inputs, ratios[0]

    (none, same), (long, changed) = seen(0.0), seen(1.0)
    assert (same == 1).all()
    assert (changed != 1).all()
    assert len(none) == len(long) > 4
    assert all(torch.equal(one, other) for one, other in zip(none, long))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"match_prior": 0.1}, "there is no use for match_prior="),
        ({"moments": "per_epoch"}, "there is no use for moments="),
        ({**FNE, "moments": "per_epoch", "moments_kept": 0.5}, "there is no use for moments_kept="),
        ({**FNE, "min_right_pairs": -1}, "min_right_pairs must not be negative"),
    ],
)
def test_fields_without_effect_are_refused(fields, sentence):
    with pytest.raises(StrictDataclassClassValidationError, match=sentence):
        NPCConfig(**fields)


def test_it_learns_from_the_batches_and_forgets_per_epoch_if_told(clip_config, processor, pairs):
    model, _ = make(BaselineModel, BaselineConfig, {**FNE, "moments": "per_epoch"}, clip_config)
    before = state(model)
    output = model(**make_batch(processor, pairs, range(0, 120, 5), entries=False))
    assert same_state(before, state(model))
    model.remember(**output.to_remember)
    right = (output.to_remember["own_similarity"][:, None] > output.to_remember["hardest_similarity"]).all(dim=1)
    assert model.match_moments.count[0] == right.sum()
    model.match_moments.count.fill_(3)
    model.begin_epoch(1)
    assert not model.match_moments.count.any()


def test_what_counts_most_and_what_is_hardest_are_told(clip_config, processor, pairs):
    model = known(make(BaselineModel, BaselineConfig, FNE, clip_config)[0])
    batch = make_batch(processor, pairs, range(0, 120, 4), entries=False)  # two captions of some pictures
    images, texts = (
        model.embed_images(batch["pixel_values"]),
        model.embed_texts(batch["input_ids"], batch["attention_mask"]),
    )
    cosines = (images @ texts.T).masked_fill(batch["image_id"][:, None] == batch["image_id"], -2)
    counts = cosines * model.logit_scale + model.match_moments.log_weight(cosines)
    told = model(**batch).negatives
    for way, axis in (("i2t", 1), ("t2i", 0)):
        hardest, chosen = cosines.max(dim=axis), counts.argmax(dim=axis)
        assert torch.equal(told[f"{way}_hardest"]["row"], batch["index"][hardest.indices])
        assert torch.equal(told[f"{way}_chosen"]["row"], batch["index"][chosen])
        posterior = model.match_moments.log_odds(hardest.values[None])[0].sigmoid()
        torch.testing.assert_close(told[f"{way}_hardest"]["score"], posterior)


def test_a_run_tells_how_often_its_negatives_were_matches(clip_config, processor, pairs, tmp_path):
    """At every log of the pairs since the last one, and at the end of each pair's last visit."""
    asked = []

    def is_match(captions, pictures):
        asked.append(len(captions))
        return (captions // 5 + pictures // 5) % 3 == 0

    trainer = make_trainer(
        BaselineModel, BaselineConfig, FNE, clip_config, processor, pairs, tmp_path, max_steps=6, logging_steps=2
    )
    trainer.is_match = is_match
    trainer.train()
    assert asked == [32] * 4 * 3
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    figures = negatives_in_truth(trainer.memory.negatives.read(), is_match)
    assert set(figures) == {"i2t", "t2i"}
    for way, of_way in figures.items():
        row = trainer.memory.negatives.choices[f"{way}_hardest"]["row"]
        seen = torch.nonzero(row >= 0).squeeze(1)
        assert of_way["hardest"]["pairs"] == len(seen) == 96
        wanted = is_match(row[seen], seen).double().mean().item()  # symmetric here, so one way for both
        assert of_way["hardest"]["matches"] == pytest.approx(wanted)
        assert 0 <= of_way["hardest_auc"] <= 1
        for choice in ("chosen", "hardest"):  # an epoch has seven steps, so that no pair came twice
            shares = [entry[f"matches_{way}_{choice}"] for entry in logs]
            assert sum(shares) / 3 == pytest.approx(of_way[choice]["matches"])
    assert trainer.memory.negatives.take_fresh()[0].tolist() == []


def test_where_nobody_knows_nothing_is_logged(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, FNE, clip_config, processor, pairs, tmp_path, max_steps=1)
    trainer.train()
    assert not any(name.startswith("matches") for entry in trainer.state.log_history for name in entry)
