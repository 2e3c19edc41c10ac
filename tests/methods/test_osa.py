"""OSA alone, and as a component of the other methods."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.batches import collator_of
from hf_noisy_itm.checkpoint import LIST_FILE, TRUST_FILE
from hf_noisy_itm.data import StreamedPairs
from hf_noisy_itm.memory.trust import TrustScores
from hf_noisy_itm.methods import (
    BaselineConfig,
    BaselineModel,
    FNEConfig,
    FNEModel,
    NPCConfig,
    NPCModel,
    OSAConfig,
    OSAModel,
)

from ..test_trainer import losses_of, make_trainer
from .table import METHODS
from .test_contract import make, make_batch

LEVELS = {"wrong": 0.1, "confident": 0.6, "noise": 0.0}


def scores_of(pairs, cosine=None):
    cosine = torch.linspace(-0.2, 0.9, len(pairs)) if cosine is None else cosine
    return TrustScores(cosine, LEVELS, 14.0, {"fingerprint": pairs.fingerprint})


def slow_weight(form, cosines):
    """The formulas of the paper, of the release and of ours, pair by pair."""
    if form == "paper":
        return [-((s - 0.1) ** 2) * (s - 0.1 - 1) if s > 0.1 else 0.0 for s in cosines]
    if form == "released":
        excess = [max(0.0, 14.0 * s) for s in cosines]
        shares = [each / max(excess) for each in excess]
        return [-(x**2) * (x - 1) * (x + 1) for x in shares]
    places = [min(1.0, max(0.0, (s - 0.1) / 0.5)) for s in cosines]
    return [3 * t**2 - 2 * t**3 for t in places]


@pytest.mark.parametrize("form", ["paper", "released", "monotone"])
def test_the_loss_is_the_mean_of_weighted_losses(form, clip_config, processor, pairs):
    model, _ = make(OSAModel, OSAConfig, {"trust_form": form}, clip_config)
    batch = make_batch(processor, pairs)
    output = model(**batch)
    wanted = torch.tensor(slow_weight(form, batch["scores"]["scorer_cosine"].tolist()))
    torch.testing.assert_close(output.weight_per_pair, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(output.loss, (wanted * output.loss_per_pair).sum() / 8)
    assert 0 < output.weight_per_pair.max()


def test_it_is_the_control_with_the_component_and_nothing_else(clip_config, processor, pairs):
    batch = make_batch(processor, pairs)
    one, other = (
        make(cls, config, fields, clip_config)[0]
        for cls, config, fields in ((OSAModel, OSAConfig, {}), (BaselineModel, BaselineConfig, {"trust": "osa"}))
    )
    assert one.state_dict().keys() == other.state_dict().keys()
    assert torch.equal(one(**batch).loss, other(**batch).loss)
    other.config.trust = "all"
    plain = other(**batch)
    assert plain.weight_per_pair is plain.own_weight_per_pair is None
    assert not torch.equal(one(**batch).loss, plain.loss)


@pytest.mark.parametrize(
    ("cls", "config", "fields"),
    [(NPCModel, NPCConfig, {"clean_threshold": 0.5}), (FNEModel, FNEConfig, {"queue_size": 40, "min_right_pairs": 4})],
)
def test_it_multiplies_the_weights_of_other_methods(cls, config, fields, clip_config, processor, pairs):
    batch = make_batch(processor, pairs)
    plain = make(cls, config, fields, clip_config)[0](**batch)
    both = make(cls, config, {**fields, "trust": "osa"}, clip_config)[0](**batch)
    trust = torch.tensor(slow_weight("monotone", batch["scores"]["scorer_cosine"].tolist()))
    own = torch.ones(8) if plain.weight_per_pair is None else plain.weight_per_pair
    torch.testing.assert_close(both.own_weight_per_pair, own)
    torch.testing.assert_close(both.weight_per_pair, own * trust)
    torch.testing.assert_close(both.loss_per_pair, plain.loss_per_pair)


def test_a_kept_weight_of_npc_is_its_own_and_not_multiplied_twice(clip_config, processor, pairs, tmp_path):
    """Every second epoch takes NPC's last weights; with a trust of 1/2 for all they would fall at each visit."""
    level = 0.1 + 0.5 * 0.5  # halfway: smoothstep is 1/2
    fields = {"clean_threshold": 0.5, "trust": "osa", "impact_every": 2}
    trainer = make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, max_steps=21)
    trainer.memory.trust = scores_of(pairs, torch.full((len(pairs),), level))
    trainer.train()
    ledger = trainer.memory.weights
    seen = ledger.count > 1
    assert seen.any()
    assert (ledger.last[seen] > 0.6).all()  # NPC's own, tanh(1) = 0.76 or more where it does not harm much
    assert (ledger.mean()[seen] <= 0.5 + 1e-6).all()


def test_a_pair_of_no_trust_adds_nothing_of_its_own(clip_config, processor, pairs):
    model, _ = make(OSAModel, OSAConfig, {}, clip_config)
    batch = make_batch(processor, pairs)
    batch["scores"] = scores_of(pairs, torch.full((len(pairs),), -0.5)).of(batch["index"])
    model(**batch).loss.backward()
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_the_data_s_own_weights_multiply_those_of_method_and_scorer(clip_config, processor, pairs):
    batch = make_batch(processor, pairs)
    by_data = torch.linspace(0, 1, 8)
    weighted = {**batch, "scores": {**batch["scores"], "data_weight": by_data}}
    for name in ("baseline", "osa", "npc", "fne-osa"):
        model = make(*METHODS[name], clip_config)[0]
        before, after = model(**batch), model(**weighted)
        known = torch.ones(8) if before.weight_per_pair is None else before.weight_per_pair
        torch.testing.assert_close(after.weight_per_pair, known * by_data)
        own = torch.ones(8) if before.own_weight_per_pair is None else before.own_weight_per_pair
        torch.testing.assert_close(after.own_weight_per_pair, own)
        assert model.eval()(**weighted).weight_per_pair is None


def test_a_trainer_brings_the_data_s_weights_to_a_method_that_asks_for_nothing(
    clip_config, processor, pairs, tmp_path
):
    weight = np.linspace(0, 1, len(pairs), dtype=np.float32)
    given = replace(pairs, weight=weight)
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, given, tmp_path, max_steps=9)
    trainer.train()
    ledger = trainer.memory.weights
    seen = (ledger.count > 0).numpy()
    np.testing.assert_allclose(ledger.mean().numpy()[seen], weight[seen], rtol=1e-6)
    assert (ledger.last == 1).all()  # what the method itself said


def test_without_scores_it_says_what_is_missing_and_evaluation_needs_none(clip_config, processor, pairs):
    model, _ = make(OSAModel, OSAConfig, {}, clip_config)
    batch = {name: value for name, value in make_batch(processor, pairs).items() if name != "scores"}
    with pytest.raises(InputError, match="this batch has none: train with NoisyITMTrainer"):
        model(**batch)
    assert model.eval()(**batch).weight_per_pair is None


def test_the_starting_model_scores_where_nobody_is_named_and_once(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        OSAModel,
        OSAConfig,
        {},
        clip_config,
        processor,
        pairs,
        tmp_path,
        max_steps=16,
        save_strategy="steps",
        save_steps=9,
    )
    with torch.no_grad():
        images = trainer.model.embed_images(trainer.data_collator.images(range(24)))[pairs.image_row]
        texts = trainer.model.embed_texts(**trainer.data_collator.texts(pairs.captions))
        before = (images * texts).sum(dim=1)
    trainer.train()
    torch.testing.assert_close(trainer.memory.trust.cosine, before, atol=1e-5, rtol=1e-4)  # not those of a later epoch
    assert trainer.memory.trust.provenance["scorer"]["weights_sha256"]
    assert TRUST_FILE in json.loads((tmp_path / "checkpoint-9" / LIST_FILE).read_text())["files"]
    assert (trainer.memory.weights.count > 0).any()


def test_given_scores_are_used_and_resuming_takes_those_of_the_checkpoint(clip_config, processor, pairs, tmp_path):
    def trained(scores, **more):
        trainer = make_trainer(
            OSAModel, OSAConfig, {}, clip_config, processor, pairs, tmp_path, max_steps=6, save_strategy="steps",
            save_steps=3,
        )  # fmt: skip
        trainer.memory.trust = scores
        trainer.train(**more)
        return trainer

    whole = trained(scores_of(pairs))
    other = scores_of(pairs, torch.full((len(pairs),), 0.9))
    resumed = trained(other, resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert torch.equal(resumed.memory.trust.cosine, scores_of(pairs).cosine)
    assert losses_of(resumed) == losses_of(whole)
    seen = whole.memory.weights.count > 0
    wanted = torch.tensor(slow_weight("monotone", scores_of(pairs).cosine.tolist()))
    torch.testing.assert_close(whole.memory.weights.mean()[seen].float(), wanted[seen], atol=1e-6, rtol=1e-5)


def test_a_checkpoint_of_a_run_without_a_scorer_is_refused(clip_config, processor, pairs, tmp_path):
    saving = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path, **saving).train()
    trainer = make_trainer(OSAModel, OSAConfig, {}, clip_config, processor, pairs, tmp_path, **saving)
    with pytest.raises(InputError, match="model_type='noisy_itm_baseline', and now it is 'noisy_itm_osa'"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    checkpoint = tmp_path / "checkpoint-1"
    (checkpoint / "config.json").unlink()  # of adapters around a model there is none
    (checkpoint / "model.safetensors").rename(checkpoint / "adapter_model.safetensors")
    with pytest.raises(InputError, match="trained without a scorer's trust"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_scores_meet_only_who_asks_for_them_and_their_own_pairs(clip_config, processor, pairs, tmp_path):
    arguments = NoisyITMArguments(output_dir=str(tmp_path))
    model, _ = make(BaselineModel, BaselineConfig, {}, clip_config)
    with pytest.raises(InputError, match="BaselineModel asks for no scorer"):
        NoisyITMTrainer(model, arguments, pairs, pairs, processor, trust=scores_of(pairs))
    model, _ = make(OSAModel, OSAConfig, {}, clip_config)
    other = TrustScores(torch.zeros(len(pairs)), LEVELS, 1.0, {"fingerprint": "other"})
    with pytest.raises(InputError, match="built for other data"):
        NoisyITMTrainer(model, arguments, pairs, pairs, processor, trust=other)


def test_a_stream_is_refused(clip_config, processor, tmp_path):
    model, _ = make(OSAModel, OSAConfig, {}, clip_config)
    stream = StreamedPairs.__new__(StreamedPairs)
    with pytest.raises(InputError, match="asks a scorer of all training pairs, and a stream"):
        collator_of(stream, model, NoisyITMArguments(output_dir=str(tmp_path), max_steps=1), processor)


def test_every_recipe_has_its_control():
    """All settings but the method's are those of the control."""
    import yaml

    recipes = Path(__file__).parent.parent.parent / "recipes"
    for path in (recipes / "osa").glob("*.yaml"):
        own, control = (yaml.safe_load((recipes / name / path.name).read_text()) for name in ("osa", "baseline"))
        assert {**own, "method": "baseline"} == control, path.name
