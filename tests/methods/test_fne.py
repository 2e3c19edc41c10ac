"""FNE against its formulae (methods spec: acceptance list FNE 2, 4, 6, 7, 8)."""

import math
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from peft import LoraConfig, get_peft_model, inject_adapter_in_model
from safetensors.torch import load_file
from transformers import CLIPModel

from hf_noisy_itm import NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.functional.draws import uniform
from hf_noisy_itm.functional.false_negatives import draw, sampling_log_weights
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.queue import NO_PICTURE, NO_ROW, PairQueue
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, FNEConfig, FNEModel, fne
from hf_noisy_itm.methods._batch import PairBatch
from hf_noisy_itm.methods._negatives import Candidates, InBatch

from ..test_trainer import losses_of, make_trainer
from .test_contract import make, make_batch, same_state, state
from .test_state import plain_clip

SMALL = {"queue_size": 40, "min_right_pairs": 2, "match_prior": 0.05}


def take_step(model, optimizer, batch):
    output = model(**batch)
    output.loss.backward()
    model.remember(**{name: rows.detach() for name, rows in output.to_remember.items()})
    optimizer.step()
    optimizer.zero_grad()
    model.step()
    return output


@pytest.fixture
def trained(clip_config, processor, pairs):
    """A model with some pairs in its queue, whose twin is not itself, and the batch that comes next."""

    def build(**fields):
        model, optimizer = make(FNEModel, FNEConfig, {**SMALL, **fields}, clip_config)
        for start in (0, 1, 2):
            take_step(model, optimizer, make_batch(processor, pairs, range(start, 60, 5), entries=False))
        own = torch.linspace(0.1, 0.4, 20)  # a model that has learned nothing has hardly a right pair
        model.match_moments.add(own, torch.stack([own - 0.05, own - 0.15]))
        return model, make_batch(processor, pairs, range(3, 63, 5), entries=False)

    return build


def naive_direction(model, way, anchors, keys, queue, batch, right, wrong):
    """Section 3.2 of the spec, anchor by anchor and candidate by candidate: hinge of each, and the drawn row."""
    config, losses, rows = model.config, [], []
    (mean, spread), (low, low_spread) = right, wrong
    unit = 1.0 if config.units == "absolute" else math.sqrt((spread**2 + low_spread**2) / 2)
    numbers = uniform(config.draw_seed, f"fne.{way}", model.batches.count, batch["index"])
    candidates = [
        *zip(keys, batch["image_id"].tolist(), batch["index"].tolist()),
        *(
            (queue[k], model.queue.image_id[k].item(), model.queue.row[k].item())
            for k in range(int(model.queue.filled))
        ),
    ]
    for i, anchor in enumerate(anchors):
        own = (anchor * keys[i]).sum().item()
        floor = (own if config.window == "anchor" else mean) - config.margin * unit
        weights = []
        for key, image_id, _ in candidates:
            s = (anchor * key).sum().item()
            if image_id == batch["image_id"][i] or s <= floor:
                weights.append(0.0)
                continue
            odds = (
                math.log(low_spread / spread)
                - (s - mean) ** 2 / (2 * spread**2)
                + (s - low) ** 2 / (2 * low_spread**2)
            )
            posterior = 1 / (1 + math.exp(-odds - math.log(config.match_prior / (1 - config.match_prior))))
            suspected = posterior > config.threshold
            cost = config.elimination * posterior if suspected else config.cut_down * ((s - own) / unit) ** 2
            weights.append(math.exp(-cost))
        if not any(weights):
            losses.append(0.0)
            rows.append(NO_ROW)
            continue
        reached, wanted = 0.0, numbers[i].item() * sum(weights)
        drawn = 0
        while reached + weights[drawn] <= wanted:
            reached += weights[drawn]
            drawn += 1
        key, _, row = candidates[drawn]
        losses.append(max(0.0, config.margin * unit + (anchor * key).sum().item() - own))
        rows.append(row)
    return losses, rows


@pytest.mark.parametrize(
    "fields",
    [
        {"monotone": False},
        {
            "monotone": False,
            "units": "absolute",
            "window": "global",
            "margin": 0.2,
            "elimination": 0.5,
            "cut_down": 0.5,
        },
        {"monotone": False, "units": "absolute", "window": "anchor", "margin": 0.02, "cut_down": 50.0},
        {"monotone": False, "margin": 0.01},
    ],
    ids=["ours", "published numbers", "narrow", "hardly any"],
)
def test_forward_equals_a_loop_over_anchors_and_candidates(trained, fields):
    model, batch = trained(**fields)
    images, texts = (
        model.embed_images(batch["pixel_values"]),
        model.embed_texts(batch["input_ids"], batch["attention_mask"]),
    )
    image_keys, text_keys = model.twin.embed(PairBatch(**batch, bank=None))
    cosines = (images @ texts.T).detach()
    others = cosines.masked_fill(torch.eye(12, dtype=torch.bool), -9)  # twelve pictures, each once
    forth, back = others.amax(dim=1), others.amax(dim=0)
    moments = model.match_moments.including(cosines.diag(), torch.stack([forth, back]))
    known = [(each.mean.item(), each.variance.sqrt().item()) for each in moments]
    assert moments[0].count > 2
    i2t = naive_direction(model, "i2t", images, text_keys, model.queue.text_keys, batch, *known)
    t2i = naive_direction(model, "t2i", texts, image_keys, model.queue.image_keys, batch, *known)
    output = model(**batch)
    assert output.negatives["i2t_chosen"]["row"].tolist() == i2t[1]
    assert output.negatives["t2i_chosen"]["row"].tolist() == t2i[1]
    wanted = torch.tensor(i2t[0]) + torch.tensor(t2i[0])
    torch.testing.assert_close(output.loss_per_pair, wanted, atol=1e-5, rtol=1e-4)
    if fields.get("margin") == 0.01:
        assert NO_ROW in i2t[1] + t2i[1]


def test_the_gradient_flows_into_the_anchors_alone(trained, monkeypatch):
    """Each embedding's gradient is that of its own two hinges with constant keys."""
    model, batch = trained()
    images, texts = (
        model.embed_images(batch["pixel_values"]).detach().requires_grad_(),
        model.embed_texts(batch["input_ids"], batch["attention_mask"]).detach().requires_grad_(),
    )
    monkeypatch.setattr(model, "embed", lambda _: (images, texts))
    keys = dict(zip(("t2i", "i2t"), model.twin.embed(PairBatch(**batch, bank=None))))
    queues = {"i2t": model.queue.text_keys, "t2i": model.queue.image_keys}
    output = model(**batch)
    output.loss.backward()
    assert all(parameter.grad is None for parameter in model.twin.parameters())
    rows = batch["index"].tolist()
    for way, embeds in (("i2t", images), ("t2i", texts)):
        wanted = torch.zeros(12, 32)
        for i, row in enumerate(output.negatives[f"{way}_chosen"]["row"].tolist()):
            if row == NO_ROW:
                continue
            own = keys[way][i]
            other = keys[way][rows.index(row)] if row in rows else queues[way][model.queue.row == row][0]
            if _hinge(model, embeds[i], own, other, batch, images, texts) > 0:
                wanted[i] = (other - own) / 12
        assert wanted.any()
        torch.testing.assert_close(embeds.grad, wanted, atol=1e-6, rtol=1e-4)


def _hinge(model, anchor, own, other, batch, images, texts):
    cosines = (images @ texts.T).detach()
    others = cosines.masked_fill(torch.eye(12, dtype=torch.bool), -9)
    right, wrong = model.match_moments.including(cosines.diag(), torch.stack([others.amax(dim=1), others.amax(dim=0)]))
    unit = ((right.variance + wrong.variance) / 2).sqrt().item()
    return model.config.margin * unit + (anchor * other).sum().item() - (anchor * own).sum().item()


def test_captions_of_the_own_picture_are_never_drawn(clip_config, processor, pairs):
    """Two pictures, ten captions: nearly all candidates show the anchor's picture."""
    model, optimizer = make(FNEModel, FNEConfig, {**SMALL, "margin": 20.0, "same_image": "negative"}, clip_config)
    for _ in range(6):
        output = take_step(model, optimizer, make_batch(processor, pairs, range(10), entries=False))
        for name, chosen in output.negatives.items():
            other = chosen["row"]
            assert (other >= 0).all(), name
            assert (other // 5 != torch.arange(10) // 5).all(), name


@pytest.mark.parametrize("named", [True, False], ids=["pictures named", "rows alone"])
def test_of_many_draws_none_is_the_own_picture_and_shares_are_those_of_the_weights(named):
    """Acceptance list, FNE 2: 100,000 draws; the queue holds captions of the anchors' pictures, and themselves."""
    queue, rng = PairQueue(40, 4), torch.Generator().manual_seed(0)
    row = torch.arange(30).repeat_interleave(2)[:30]  # 15 rows, twice each; ten places stay empty
    image_id = row // 3 if named else torch.full((30,), NO_PICTURE)
    queue.push(torch.zeros(30, 4), torch.zeros(30, 4), image_id, row)
    index = torch.arange(10)
    batch = PairBatch(torch.zeros(10, 1), None, None, index // 3 if named else None, index, None)
    embeds = torch.nn.functional.normalize(torch.randn(10, 4, generator=rng), dim=1)
    candidates = Candidates.of(batch, InBatch.of(embeds, embeds, batch, Exchange(), "mask"), queue, Exchange())
    picture = torch.cat([index, row]) // (3 if named else 1)
    own = picture[None, :] == picture[:10, None]
    empty = torch.arange(50) >= 40
    own = torch.nn.functional.pad(own, (0, 10), value=False)
    assert torch.equal(candidates.excluded, own | empty)
    cosines = 2 * torch.rand(10, 50, generator=rng) - 1
    log_weight = sampling_log_weights(
        cosines, torch.full((10,), 0.2), torch.randn(10, 50, generator=rng), candidates.excluded, -0.5, 2.0, 0.5, 0.3
    )
    log_weight[7] = -torch.inf  # nothing to draw
    weights = log_weight.exp()
    numbers = torch.stack([uniform(0, "test", step, index) for step in range(10_000)])
    column, found = draw(log_weight.repeat(10_000, 1), numbers.flatten())
    column, found = column.view(10_000, 10), found.view(10_000, 10)
    assert torch.equal(found, (index != 7).expand(10_000, 10))
    for anchor in index[index != 7].tolist():
        share = column[:, anchor].bincount(minlength=50) / 10_000
        wanted = weights[anchor] / weights[anchor].sum()
        assert not share[candidates.excluded[anchor]].any()
        assert not share[cosines[anchor] <= -0.5].any()
        torch.testing.assert_close(share, wanted, atol=0.02, rtol=0)


def test_an_earlier_copy_of_the_own_pair_is_no_negative(trained):
    """Also where the batch does not say which picture a pair shows."""
    model, batch = trained(margin=20.0)
    again = torch.isin(model.queue.row, torch.arange(0, 60, 5))
    assert again.sum() == 12
    model.queue.row[~again] = 100  # of other rows there are two kinds: those of the batch, and this one
    batch = {name: batch[name] for name in ("pixel_values", "input_ids", "attention_mask")}
    index = torch.arange(0, 60, 5)
    drawn = set()
    for _ in range(20):
        for name, chosen in model(**batch, index=index).negatives.items():
            assert (chosen["row"] != index).all(), name
            drawn |= set(chosen["row"].tolist())
        model.batches.advance()
    assert drawn == {*index.tolist(), 100}


@pytest.mark.parametrize("loss", ["triplet", "infonce"])
def test_a_row_without_candidates_has_no_loss(clip_config, processor, pairs, loss):
    model, _ = make(FNEModel, FNEConfig, {**SMALL, "loss": loss}, clip_config)
    output = model(**make_batch(processor, pairs, range(5), entries=False))  # five captions of one picture
    assert output.loss == 0
    assert all((chosen["row"] == NO_ROW).all() for chosen in output.negatives.values())
    output.loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_places_of_the_queue_that_hold_nothing_are_no_candidates(clip_config, processor, pairs):
    model, _ = make(FNEModel, FNEConfig, {**SMALL, "loss": "infonce"}, clip_config)
    batch = make_batch(processor, pairs, range(0, 40, 5), entries=False)
    baseline = BaselineModel(model.config)
    baseline.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model(**batch).loss, baseline(**batch).loss)  # nothing suspected, nothing in the queue
    model.queue.image_keys.fill_(9.0)  # what lies there must not matter
    torch.testing.assert_close(model(**batch).loss, baseline(**batch).loss)


@pytest.mark.parametrize("same_image", ["mask", "negative", "positive"])
def test_infonce_equals_a_loop(trained, processor, pairs, same_image):
    """Two captions of some pictures meet in the batch, others in a queue that is not full."""
    model, _ = trained(loss="infonce", same_image=same_image)
    batch = make_batch(processor, pairs, range(2, 62, 4), entries=False)
    images, texts = (
        model.embed_images(batch["pixel_values"]),
        model.embed_texts(batch["input_ids"], batch["attention_mask"]),
    )
    model.queue.row[:2] = batch["index"][:2]  # earlier copies of two pairs, which are no answers at all
    model.queue.image_id[:2] = batch["image_id"][:2]
    output = model(**batch)
    filled, size = int(model.queue.filled), len(images)
    assert 0 < filled < len(model.queue)
    assert (batch["image_id"][:, None] == model.queue.image_id).any()
    cosines = (images @ texts.T).detach()
    own = torch.eye(size, dtype=torch.bool)
    same = batch["image_id"][:, None] == batch["image_id"]
    assert same.sum() > size
    others = cosines.masked_fill(own if same_image == "negative" else same, -9)
    moments = model.match_moments.including(cosines.diag(), torch.stack([others.amax(dim=1), others.amax(dim=0)]))
    wanted = torch.zeros(size)
    image_keys, text_keys = model.twin.embed(PairBatch(**batch, bank=None))
    for anchors, others, keys, queue in (
        (images, texts, text_keys, model.queue.text_keys),
        (texts, images, image_keys, model.queue.image_keys),
    ):
        candidates = torch.cat([others, queue[:filled]])
        image_id = torch.cat([batch["image_id"], model.queue.image_id[:filled]])
        for i in range(size):
            s = anchors[i] @ candidates.T
            counts = 1 - model.match_moments.log_odds(s[None], moments)[0].sigmoid()
            is_same = image_id == batch["image_id"][i]
            if same_image != "negative":
                counts[is_same] = float(same_image == "positive")
            is_copy = torch.cat([torch.zeros(size, dtype=torch.bool), model.queue.row[:filled] == batch["index"][i]])
            counts[is_copy] = 0
            counts[i] = 1
            odds = (model.logit_scale * s).exp()
            right = is_same & ~is_copy if same_image == "positive" else torch.arange(len(s)) == i
            in_batch = torch.arange(len(s)) < size
            wanted[i] -= (odds / (counts * odds)[in_batch].sum()).log()[right & in_batch].mean().item() / 2
            right_keys = same[i] if same_image == "positive" else own[i]
            key_odds = (model.logit_scale * (keys @ anchors[i])).exp()[right_keys]
            total = key_odds.sum() + (counts * odds)[~in_batch].sum()
            stored = torch.cat([key_odds, odds[right & ~in_batch]])
            wanted[i] -= (stored / total).log().mean().item() / 2
    torch.testing.assert_close(output.loss_per_pair, wanted, atol=1e-4, rtol=1e-4)
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_warm_up_is_the_hardest_in_the_batch_by_hand(clip_config, processor, pairs, monkeypatch):
    fields = {**SMALL, "warmup_epochs": 1, "units": "absolute", "margin": 0.2}
    model, _ = make(FNEModel, FNEConfig, fields, clip_config)
    rows = torch.zeros(3, 32)
    rows[:, :3] = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]])
    texts = torch.eye(3, 32)
    monkeypatch.setattr(model, "embed", lambda _: (rows, texts))
    output = model(**make_batch(processor, pairs, (0, 5, 10), entries=False))
    # Cosines 1 0 0 / .6 .8 0 / 0 .6 .8. Pictures: .2+0-1, .2+.6-.8, .2+.6-.8; captions: .2+.6-1, .2+.6-.8, .2+0-.8.
    torch.testing.assert_close(output.loss_per_pair, torch.tensor([0.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    model.config.margin = 0.3
    output = model(**make_batch(processor, pairs, (0, 5, 10), entries=False))
    torch.testing.assert_close(output.loss_per_pair, torch.tensor([0.0, 0.2, 0.1]), atol=1e-6, rtol=0)
    assert set(output.to_remember) == {"own_similarity", "hardest_similarity"}
    model.begin_epoch(1)
    assert "row" in model(**make_batch(processor, pairs, (0, 5, 10), entries=False)).to_remember


def test_a_warm_up_is_announced(clip_config, caplog):
    for warmup_epochs, wanted in ((0, 0), (2, 1)):
        model, _ = make(FNEModel, FNEConfig, {**SMALL, "warmup_epochs": warmup_epochs}, clip_config)
        caplog.clear()
        model.begin_epoch(0)
        model.begin_epoch(1)
        assert caplog.text.count("never draws a negative") == wanted


def test_statistics_start_anew_every_epoch_only_if_told(trained):
    for moments, rest in (("per_epoch", 0), ("ema", 1)):
        model, _ = trained(moments=moments)
        before = state(model)
        model.begin_epoch(1)
        assert bool(model.match_moments.count.any()) == bool(rest)
        assert torch.equal(model.queue.image_keys, before["queue.image_keys"])  # the queue stays


def test_the_twin_follows_and_is_never_trained(clip_config, processor, pairs):
    model, optimizer = make(FNEModel, FNEConfig, {**SMALL, "twin_momentum": 0.75}, clip_config)
    twin = {name: value.clone() for name, value in model.twin.state_dict().items()}
    take_step(model, optimizer, make_batch(processor, pairs, entries=False))
    for name, value in model.twin.named_parameters():
        online = model.clip.get_parameter(name)
        torch.testing.assert_close(value, 0.75 * twin[name] + 0.25 * online, atol=1e-6, rtol=1e-5)
        assert value.grad is None
    assert not any(module.training for module in model.train().twin.modules())
    assert model.clip.vision_model.training
    assert model.batches.count == 1


def test_no_two_batches_draw_by_the_same_numbers(trained, monkeypatch):
    """Nor two that make one step, and name no rows."""
    model, batch = trained()
    del batch["index"]
    numbers = []
    monkeypatch.setattr(fne, "uniform", lambda *of: numbers.append(uniform(*of)) or numbers[-1])
    for _ in range(2):
        model.remember(**model(**batch).to_remember)
    assert len({tuple(each.tolist()) for each in numbers}) == 4


def test_the_twin_says_when_it_cannot_follow(clip_config, processor, pairs):
    model, _ = make(FNEModel, FNEConfig, SMALL, clip_config)
    model.clip.text_model.adapter = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"momentum encoder cannot follow .*text_model\.adapter\.bias for one"):
        model.step()


def adapted(clip_config, **fields):
    """A model whose towers and projections have adapters, which alone are trained."""
    model, _ = make(FNEModel, FNEConfig, {**SMALL, **fields}, clip_config)
    targets = ["q_proj", "v_proj", "visual_projection"]
    inject_adapter_in_model(LoraConfig(r=4, target_modules=targets), model.clip)
    return model


def train_adapted(clip_config, processor, pairs, folder, resume=None, **arguments):
    settings = {"per_device_train_batch_size": 16, "learning_rate": 1e-2, "logging_steps": 1, "save_strategy": "no"}
    settings |= {"disable_tqdm": True, "seed": 5, **arguments}
    model = adapted(clip_config, twin_momentum=0.75)
    trainer = NoisyITMTrainer(model, NoisyITMArguments(output_dir=str(folder), **settings), pairs, None, processor)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_the_twin_follows_adapters_that_alone_are_trained(clip_config, processor, pairs, tmp_path, monkeypatch):
    before = []
    step = FNEModel.step

    def noting(model):
        before[:] = [{name: value.clone() for name, value in model.twin.named_parameters()}]
        step(model)

    monkeypatch.setattr(FNEModel, "step", noting)
    trainer = train_adapted(clip_config, processor, pairs, tmp_path, max_steps=3)
    model = trainer.model
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if ".lora_" in name and name.startswith("clip.")
    }
    twin = dict(model.twin.named_parameters())
    assert sum(".lora_" in name for name in twin) == 2 * (2 * 2 + 1)
    for name, value in twin.items():
        online = model.clip.get_parameter(name)
        torch.testing.assert_close(value, 0.75 * before[0][name] + 0.25 * online, atol=1e-6, rtol=1e-5)
        assert torch.equal(value, online) == (".lora_" not in name), name
    batch = make_batch(processor, pairs, entries=False)
    keys, _ = model.twin.embed(PairBatch(**batch, bank=None))
    online = model.embed_images(batch["pixel_values"])
    with torch.no_grad():
        for name, value in model.clip.named_parameters():
            if ".lora_B" in name:
                value.zero_()
    plain = model.embed_images(batch["pixel_values"])
    assert min((keys - plain).norm(), (keys - online).norm()) > 1e-3  # the adapters are at work in the twin


def test_a_run_with_adapters_resumes_exactly(clip_config, processor, pairs, tmp_path):
    saving = {"max_steps": 6, "save_strategy": "steps", "save_steps": 4}
    whole = train_adapted(clip_config, processor, pairs, tmp_path, **saving)
    checkpoint = str(tmp_path / "checkpoint-4")
    resumed = train_adapted(clip_config, processor, pairs, tmp_path / "more", checkpoint, max_steps=6)
    assert losses_of(resumed) == losses_of(whole)
    assert same_state(state(whole.model), state(resumed.model))


def test_adapters_around_the_model_resume_exactly(clip_config, processor, pairs, tmp_path):
    """PEFT puts them into the twin as well, and saves them alone."""
    losses = []
    for name, start in (("whole", None), ("resumed", str(tmp_path / "whole" / "checkpoint-4"))):
        model, _ = make(FNEModel, FNEConfig, SMALL, clip_config)
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"]))
        settings = {"per_device_train_batch_size": 16, "logging_steps": 1, "disable_tqdm": True, "learning_rate": 1e-3}
        steps = {"max_steps": 6, "save_strategy": "steps", "save_steps": 4}
        arguments = NoisyITMArguments(output_dir=str(tmp_path / name), **settings, **steps)
        trainer = NoisyITMTrainer(adapted, arguments, pairs, pairs, processor)
        trainer.train(resume_from_checkpoint=start)
        assert not any(parameter.requires_grad for parameter in model.twin.parameters())
        losses.append(losses_of(trainer))
    assert losses[0] == losses[1]


def test_what_is_published_is_the_online_model(trained, tmp_path):
    """The twin's tensors are called like CLIP's but for a prefix: no loader may take them for those."""
    model, batch = trained(twin_momentum=0.999)
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"clip"}
    plain = CLIPModel.from_pretrained(tmp_path)
    assert plain.state_dict().keys() == model.clip.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, model.clip.state_dict()[name]), name
    moved = [name for name, each in model.twin.named_parameters() if not torch.equal(each, plain.get_parameter(name))]
    assert len(moved) > 10
    inputs = {name: batch[name] for name in ("pixel_values", "input_ids", "attention_mask")}
    control = BaselineModel.from_pretrained(tmp_path)
    assert torch.equal(control.eval()(**inputs).image_embeds, model.eval()(**inputs).image_embeds)


def test_the_temperature_is_trained_where_the_loss_uses_it(clip_config):
    assert not make(FNEModel, FNEConfig, SMALL, clip_config)[0].clip.logit_scale.requires_grad
    assert make(FNEModel, FNEConfig, {**SMALL, "loss": "infonce"}, clip_config)[0].clip.logit_scale.requires_grad


def test_a_batch_that_names_no_pictures_is_taken(trained):
    model, batch = trained()
    plain = {name: batch[name] for name in ("pixel_values", "input_ids")}
    output = model(**plain)
    assert torch.isfinite(output.loss)
    assert all((value["row"] < 120).all() for value in output.negatives.values())
    model.remember(**output.to_remember)
    assert (model.queue.row == NO_ROW).sum() == 12


def test_evaluation_gives_the_mode_back_and_draws_nothing(clip_config, processor, pairs, tmp_path, monkeypatch):
    """Acceptance list, FNE 7: also in the middle of an epoch, with pairs in the queue."""
    seen = []
    trainer = make_trainer(
        FNEModel, FNEConfig, SMALL, clip_config, processor, pairs, tmp_path,
        max_steps=4, eval_strategy="steps", eval_steps=2,
    )  # fmt: skip
    drawn, evaluate = [], type(trainer).evaluate
    monkeypatch.setattr(fne, "draw", lambda *of: (drawn.append(trainer.model.training), draw(*of))[1])

    def watched(self, *args, **kwargs):
        before, number = state(self.model), len(drawn)
        assert self.model.training
        figures = evaluate(self, *args, **kwargs)
        seen.append((self.model.training, self.model.twin.training, len(drawn) - number))
        assert same_state(before, state(self.model))
        return figures

    monkeypatch.setattr(type(trainer), "evaluate", watched)
    trainer.train()
    assert seen == [(True, False, 0)] * 2
    assert drawn == [True] * 2 * 4
    assert trainer.model.queue.filled == 40
    before = state(trainer.model)
    outputs = trainer.predict(pairs).predictions
    assert len(outputs) == 3  # loss per pair and embeddings: what is remembered is for training alone
    assert len(drawn) == 8
    assert same_state(before, state(trainer.model))


def test_the_ledger_of_a_run_is_saved_and_says_who_was_compared(clip_config, processor, pairs, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 7}
    trainer = make_trainer(FNEModel, FNEConfig, SMALL, clip_config, processor, pairs, tmp_path, max_steps=7, **saving)
    trainer.train()
    choices = trainer.memory.negatives.choices
    assert set(choices) == {f"{way}_{choice}" for way in ("i2t", "t2i") for choice in ("chosen", "hardest")}
    rows = choices["i2t_hardest"]["row"]
    seen = rows >= 0
    assert 100 < seen.sum() <= 112  # an epoch of seven batches of 16, and hardly a row without candidates
    assert (rows[seen] // 5 != torch.arange(120)[seen] // 5).all()
    saved = load_file(tmp_path / "checkpoint-7" / "pair_negatives.safetensors")
    assert torch.equal(saved["i2t_hardest.row"], rows)
    trainer.save_model(str(tmp_path))
    assert not (tmp_path / "pair_negatives.safetensors").exists()  # it names rows of the training data


def test_a_new_run_starts_with_an_empty_queue_and_a_fresh_twin(trained):
    """What an earlier training remembered names rows of its own data; what it learnt stays."""
    model, _ = trained()
    learnt = {name: tensor.clone() for name, tensor in model.clip.state_dict().items()}
    twin = {name: tensor for name, tensor in model.twin.state_dict().items() if "weight" in name}
    assert not model.queue.is_empty.all()
    assert any(not torch.equal(tensor, learnt[name]) for name, tensor in twin.items())
    model.begin_run()
    assert model.queue.is_empty.all()
    assert model.match_moments.read()[0].count == 0
    assert model.batches.count == 0
    assert all(torch.equal(tensor, learnt[name]) for name, tensor in model.clip.state_dict().items())
    assert all(torch.equal(tensor, learnt[name]) for name, tensor in twin.items())
    assert not any(parameter.requires_grad for parameter in model.twin.parameters())


def test_fields_take_the_numbers_of_their_variant(clip_config, tmp_path):
    assert (FNEConfig().loss, FNEConfig().units, FNEConfig().monotone) == ("triplet", "standardised", True)
    released = FNEConfig(variant="released", margin=0.3)
    assert (released.margin, released.queue_size, released.match_prior, released.moments) == (
        0.3,
        8224,
        1e-4,
        "per_epoch",
    )
    folder = plain_clip(clip_config, tmp_path / "plain")
    model = FNEModel.from_pretrained(folder, variant="released", queue_size=40)
    assert (model.config.elimination, model.config.queue_size, model.config.units) == (0.5, 40, "absolute")
    assert model.match_moments.zero_own
    model.save_pretrained(tmp_path / "saved")
    again = FNEModel.from_pretrained(tmp_path / "saved")
    here = {"_name_or_path": None}
    assert again.config.to_dict() | here == model.config.to_dict() | here


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"queue_size": 0}, "queue_size must be at least 1"),
        ({"warmup_epochs": -1}, "warmup_epochs not negative"),
        ({"twin_momentum": 1.0}, "twin_momentum must be at least 0 and below 1"),
        ({"margin": -0.1}, "margin must be finite and not negative"),
        ({"margin": float("nan")}, "margin must be finite"),
        ({"elimination": float("inf")}, "elimination must be finite"),
        ({"cut_down": float("nan")}, "cut_down must be finite"),
        ({"threshold": 1.5}, "threshold is a probability, got 1.5"),
        ({"threshold": float("nan")}, "threshold is a probability"),
        ({"min_right_pairs": -1}, "min_right_pairs must not be negative"),
        ({"match_prior": float("nan")}, "match_prior is a probability"),
        ({"negatives": "fne"}, "this one has it: leave it out"),
        (
            {"loss": "infonce", "margin": 1.0},
            "With loss='infonce' there is no use for margin=1.0: leave that out",
        ),
        ({"loss": "infonce", "draw_seed": 1}, "there is no use for draw_seed="),
        ({"variant": "released", "loss": "infonce", "margin": 3.0}, "there is no use for margin="),
        ({"moments": "per_epoch", "moments_kept": 0.9}, "there is no use for moments_kept="),
        ({"same_image": "positive"}, "same_image='positive' does not go with loss='triplet'"),
        ({"match_prior": 1.0}, "match_prior is a probability"),
        ({"moments_kept": 0.0}, "moments_kept must be above 0"),
    ],
)
def test_wrong_numbers_are_refused(fields, sentence):
    with pytest.raises(StrictDataclassClassValidationError, match=sentence):
        FNEConfig(**fields)


def test_a_field_at_its_default_is_no_idle_one():
    FNEConfig(loss="infonce", margin=3.0)
    FNEConfig(variant="released", loss="infonce", margin=0.2, moments_kept=0.99)


def test_a_queue_that_cannot_be_is_refused_in_a_sentence(clip_config, tmp_path):
    with pytest.raises(InputError, match=r"A queue of 1000000000000 pairs takes 272,000 GB, .*smaller queue_size"):
        make(FNEModel, FNEConfig, {"queue_size": 10**12}, clip_config)
    with pytest.raises(InputError, match="smaller queue_size"):
        FNEModel.from_pretrained(plain_clip(clip_config, tmp_path), queue_size=10**12)


WAITS = ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero", "cpu", "to", "numpy")


@pytest.mark.parametrize(
    ("cls", "config_cls", "fields"),
    [
        (FNEModel, FNEConfig, SMALL),
        (FNEModel, FNEConfig, {**SMALL, "loss": "infonce"}),
        (FNEModel, FNEConfig, {**SMALL, "warmup_epochs": 9}),
        (BaselineModel, BaselineConfig, {"negatives": "fne", "min_right_pairs": 2}),
    ],
    ids=["triplet", "infonce", "warm-up", "component"],
)
def test_a_step_of_training_waits_for_the_device_nowhere(
    clip_config, processor, pairs, tmp_path, monkeypatch, cls, config_cls, fields
):
    """From the embeddings on, with all that the trainer writes down: no number is read, nothing is moved."""
    trainer = make_trainer(cls, config_cls, fields, clip_config, processor, pairs, tmp_path, max_steps=2)
    trainer.train()  # what lies on another device is moved once
    model, batch = trainer.model, make_batch(processor, pairs, range(3, 63, 5), entries=False)
    leaves = [torch.nn.functional.normalize(torch.randn(12, 32), dim=1).requires_grad_() for _ in range(2)]
    keys = tuple(leaf.detach() for leaf in leaves)
    monkeypatch.setattr(model, "embed", lambda _: tuple(leaves))
    if cls is FNEModel:
        monkeypatch.setattr(model.twin, "embed", lambda _, chunk: keys)
        assert model.epoch.number == 0
    before = trainer.memory.negatives.state_dict()

    def waits(name, kept):
        def ours(*args, **kwargs):
            caller = sys._getframe(1).f_globals["__name__"]
            assert not caller.startswith("hf_noisy_itm"), f"{caller} calls {name}"
            return kept(*args, **kwargs)

        return ours

    with monkeypatch.context() as patch:
        for name in WAITS:
            patch.setattr(torch.Tensor, name, waits(name, getattr(torch.Tensor, name)))
        with pytest.raises(AssertionError, match="memory.negatives calls cpu"):  # so it would be seen
            trainer.memory.negatives.take_fresh()
        trainer.training_step(model, batch)
        model.begin_epoch(1)
    assert all(leaf.grad.any() for leaf in leaves)
    after = trainer.memory.negatives.state_dict()
    warm = fields.get("warmup_epochs") == 9
    assert not after if warm else any(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("loss", ["triplet", "infonce"])
def test_half_precision_is_for_the_towers_alone(trained, loss):
    model, batch = trained(loss=loss)
    exact = model(**batch)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**batch)
    assert output.loss_per_pair.dtype == torch.float32
    assert all(rows.dtype in (torch.float32, torch.long) for rows in output.to_remember.values())
    torch.testing.assert_close(output.loss, exact.loss, atol=0.05, rtol=0.05)


def test_a_released_step_is_one_of_its_numbers(trained):
    """What `variant` decides beyond the fields: with them alone a row without candidates has no loss."""
    fields = {"variant": "released", "warmup_epochs": 0, "margin": 0.001, "min_right_pairs": 2}
    released, batch = trained(**fields)
    plain, _ = trained(**fields)
    plain.config.variant = "clip"
    one, other = released(**batch), plain(**batch)
    empty = other.negatives["i2t_chosen"]["row"] == NO_ROW
    assert empty.any()
    assert (one.loss_per_pair >= other.loss_per_pair - 1e-6).all()


def test_adapters_that_are_merged_leave_a_plain_clip(clip_config, processor, pairs, tmp_path):
    """As README says: what is published after `merge_and_unload` embeds as the model with its adapters did."""
    model, _ = make(FNEModel, FNEConfig, SMALL, clip_config)
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    batch = make_batch(processor, pairs, entries=False)
    wrapped.eval()
    before = wrapped.base_model.model.embed_images(batch["pixel_values"])
    merged = wrapped.merge_and_unload()
    merged.save_pretrained(tmp_path)
    assert all(name.startswith("clip.") for name in load_file(tmp_path / "model.safetensors"))
    assert not any("lora" in name for name in load_file(tmp_path / "model.safetensors"))
    features = CLIPModel.from_pretrained(tmp_path).get_image_features(pixel_values=batch["pixel_values"]).pooler_output
    torch.testing.assert_close(normalize(features), before, atol=1e-5, rtol=1e-4)
    plain = model.embed_images(batch["pixel_values"])
    torch.testing.assert_close(plain, before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("loss", ["triplet", "infonce"])
def test_a_frozen_tower_stays_and_the_other_learns(clip_config, processor, pairs, tmp_path, loss):
    fields = {**SMALL, "loss": loss}
    trainer = make_trainer(FNEModel, FNEConfig, fields, clip_config, processor, pairs, tmp_path, max_steps=3)
    clip = trainer.model.clip
    for parameter in clip.vision_model.parameters():
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in clip.state_dict().items()}
    trainer.train()
    moved = {name for name, tensor in clip.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("vision_model.") for name in moved)
    assert any(name.startswith("text_model.") for name in moved)
