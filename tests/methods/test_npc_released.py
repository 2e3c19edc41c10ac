"""NPC's released loop: its recorded values, and each of its quirks where the recording cannot show it.

The recording (tests/fixtures/npc_reference.safetensors) was made while the authors' code ran: two steps of a tiny CLIP
in OpenAI's format.
"""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file
from transformers import AutoModel

from hf_noisy_itm import InputError
from hf_noisy_itm.convert import from_openai, to_openai
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.methods import NPCConfig, NPCModel, _virtual_steps, npc

from .test_contract import make, make_batch

RECORDING = Path(__file__).parent.parent / "fixtures" / "npc_reference.safetensors"
RELEASED = {"variant": "released", "same_image": "negative", "virtual_optimizer": "adamw_own_state"}
KINDS = {"image": "bankI", "text": "bankT"}
SETTINGS = {"lr": 1e-3, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.2}


@pytest.fixture(scope="module")
def recorded():
    return load_file(RECORDING)


def part_of(recorded, name):
    return {key.removeprefix(f"{name}."): value for key, value in recorded.items() if key.startswith(f"{name}.")}


def start(recorded, fields=RELEASED):
    """The recorded model before its first step, and its optimizer: one group, all parameters decay."""
    clip, state = from_openai(part_of(recorded, "init"))
    plain = {key: value for key, value in clip.to_dict().items() if key not in ("model_type", "architectures")}
    model = NPCModel(NPCConfig(**plain, **fields)).train()
    model.clip.load_state_dict(state)
    optimizer = torch.optim.AdamW(model.parameters(), **SETTINGS)
    model.attach(Exchange(), optimizer)
    return model, optimizer


def batch_of(step):
    """As `PairCollator` lays it out: own pairs in rows 0 to 7, then the bank's pictures and captions."""
    size = len(step["images"])
    entries = {}
    for number, kind in enumerate(KINDS, start=1):
        rows = torch.arange(number * size, (number + 1) * size)
        entries[kind] = {"image_row": rows, "text_row": rows, "image_id": rows}
    return {
        "pixel_values": step["images"],
        "input_ids": step["input_ids"],
        "image_id": torch.arange(size),
        "index": torch.arange(size),
        "bank": {
            "pixel_values": torch.cat([step[f"{name}_images"] for name in KINDS.values()]),
            "input_ids": torch.cat([step[f"{name}_input_ids"] for name in KINDS.values()]),
            "entries": entries,
        },
    }


def replay(recorded, fields=RELEASED):
    """Both steps: what went into each ratio, the ratio, and the output; and the model after them."""
    seen, impact_ratio = [], npc.impact_ratio
    model, optimizer = start(recorded, fields)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            npc, "impact_ratio", lambda *losses: (seen.append([*losses, impact_ratio(*losses)]), seen[-1][-1])[1]
        )
        for number in range(2):
            output = model(**batch_of(part_of(recorded, f"step{number}")))
            optimizer.zero_grad()
            output.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
            optimizer.step()
            model.step()
            seen[-1] += [output, model.logit_scale.detach()]
    return seen, model


def relative(got, wanted):
    return ((got - wanted).norm() / wanted.norm()).item()


def test_losses_ratios_and_weights_are_the_recorded_ones(recorded):
    for number, (before, after, ratio, output, _) in enumerate(replay(recorded)[0]):
        step = part_of(recorded, f"step{number}")
        got = {"impact_ratio": ratio, "weight": output.weight_per_pair}
        for kind, name in KINDS.items():
            got |= {f"{name}_loss_before": before[kind], f"{name}_loss_after": after[kind]}
        for name, value in got.items():
            torch.testing.assert_close(value, step[name], rtol=1e-5, atol=0, msg=f"{name} of step {number}")
        assert 0 < (step["weight"] < 1).sum() < 8
        wanted = (step["batch_i2t"] + step["batch_t2i"]) / 2
        torch.testing.assert_close(output.loss_per_pair.mean(), wanted, rtol=1e-5, atol=0)


def test_both_steps_lead_to_the_recorded_parameters(recorded):
    """By tensor, for where it went and for how it moved.

    A bias of attention's keys has no gradient in exact arithmetic (it shifts all scores of a query alike), so what is
    recorded of it is rounding that AdamW scaled up: both must stay far below a step, and need not agree.
    """
    model = replay(recorded)[1]
    got, first = to_openai(model.config, model.clip.state_dict()), part_of(recorded, "init")
    for name, wanted in part_of(recorded, "final").items():
        parts = [tensor.chunk(3) if name.endswith("in_proj_bias") else [tensor] for tensor in (got[name], wanted)]
        for part, (tensor, other) in enumerate(zip(*parts)):
            if len(parts[0]) == 3 and part == 1:
                assert max(tensor.abs().max(), other.abs().max()) < 0.02 * SETTINGS["lr"], name
                continue
            before = first[name].chunk(3)[part] if len(parts[0]) == 3 else first[name]
            assert (other - before).abs().max() > SETTINGS["lr"]  # it moved, so that agreement means something
            assert relative(tensor, other) < 1e-4, name
            assert relative(tensor - before, other - before) < 1e-4, name


@pytest.mark.parametrize("missing", RELEASED)
def test_other_fields_give_other_values(recorded, missing):
    """Each field of the variant is seen by the recording, but for `same_image`: no entry is recorded twice."""
    fields = {key: value for key, value in RELEASED.items() if key != "variant" and key != missing}
    after = replay(recorded, fields)[0][1][1]["image"]
    assert relative(after, part_of(recorded, "step1")["bankI_loss_after"]) > 1e-2


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"variant": "released"}, "same_image='negative', virtual_optimizer='adamw_own_state' too"),
        ({**RELEASED, "virtual_optimizer": "sgd"}, "give virtual_optimizer='adamw_own_state' too"),
        ({**RELEASED, "same_image": "positive"}, "give same_image='negative' too"),
        ({**RELEASED, "weights": "ones"}, "give weights='impact' too"),
        ({**RELEASED, "negatives": "fne", "impact_every": 2}, "give negatives='all', impact_every=1 too"),
        ({**RELEASED, "bank_share": 0.5}, "give bank_share=1.0 too"),
        ({**RELEASED, "virtual_blocks": 0}, "give virtual_blocks=None too"),
    ],
)
def test_fields_that_contradict_the_variant_are_refused(fields, sentence):
    with pytest.raises(StrictDataclassError, match=sentence):
        NPCConfig(**fields)


def test_the_bank_is_a_constant_and_the_weights_are_a_factor(clip_config, processor, pairs, monkeypatch):
    """Of the objective only `mean(w) * mean(l)` has a gradient, and whose weight is whose does not matter."""
    model, _ = make(NPCModel, NPCConfig, RELEASED, clip_config)
    batch = make_batch(processor, pairs)
    plain = {key: value for key, value in batch.items() if key != "bank"}
    weight = torch.linspace(0, 1, 8) ** 2
    of_batch = torch.autograd.grad(model(**plain).loss, list(model.parameters()))
    for given in (weight, weight.flip(0)):
        monkeypatch.setattr(model, "weigh", lambda *_, given=given, **__: given)
        output = model(**batch)
        gradients = torch.autograd.grad(output.loss, list(model.parameters()))
        for got, wanted in zip(gradients, of_batch):
            torch.testing.assert_close(got, weight.mean() * wanted, rtol=1e-4, atol=1e-5)
        assert output.loss > weight.mean() * output.loss_per_pair.mean() + 1  # the bank's loss counts, in the log


def test_entries_that_two_pairs_share_are_negatives_of_each_other(clip_config, processor, pairs, monkeypatch):
    """An entry among eight copies of itself has a loss of log 8; in the paper's form the others are masked: 0."""
    losses, impact_ratio = {}, npc.impact_ratio
    for name, fields in (("released", RELEASED), ("paper", {})):
        model, _ = make(NPCModel, NPCConfig, fields, clip_config)
        monkeypatch.setattr(
            npc, "impact_ratio", lambda *of, name=name: (losses.setdefault(name, of), impact_ratio(*of))[1]
        )
        batch = make_batch(processor, pairs)
        for entry in batch["bank"]["entries"].values():
            for rows in entry.values():
                rows[:] = rows[0].clone()
        model(**batch)
    for when in (0, 1):
        torch.testing.assert_close(losses["released"][when]["image"], torch.full((8,), 8.0).log())
        torch.testing.assert_close(losses["paper"][when]["image"], torch.zeros(8))


def test_the_virtual_step_is_that_of_a_second_model_whose_weights_are_overwritten(clip_config, processor, pairs):
    """The release's own way, over four steps: a twin with an optimizer of its own that takes every virtual step."""
    model, optimizer = make(NPCModel, NPCConfig, RELEASED, clip_config)
    twin, of_twin = make(NPCModel, NPCConfig, RELEASED, clip_config)
    seen = []
    look_ahead = _virtual_steps.look_ahead
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _virtual_steps, "look_ahead", lambda *given: (seen.append(look_ahead(*given)), dict(seen[-1]))[1]
        )
        for number in range(4):
            batch = make_batch(processor, pairs, range(number, number + 40, 5))
            twin.clip.load_state_dict(model.clip.state_dict())
            of_twin.zero_grad()
            (4 * twin(**{key: value for key, value in batch.items() if key != "bank"}).loss).backward()
            of_twin.step()
            model(**batch).loss.backward()
            for name, parameter in twin.named_parameters():
                torch.testing.assert_close(seen[-1][name], parameter.detach(), rtol=1e-5, atol=3e-6, msg=name)
            optimizer.step()
            optimizer.zero_grad()
            model.step()
    assert model.virtual_moments.steps.count == 4


def test_moments_are_remembered_and_start_at_zero_where_there_were_none(clip_config, processor, pairs, tmp_path):
    model, optimizer = make(NPCModel, NPCConfig, RELEASED, clip_config)
    model(**make_batch(processor, pairs)).loss.backward()
    optimizer.step()
    model.step()
    model.save_pretrained(tmp_path / "released")
    loaded = NPCModel.from_pretrained(tmp_path / "released")
    assert not any(moment.any() for moment in loaded.virtual_moments.buffers())
    loaded.resume_run(model.memory())
    moments = dict(model.virtual_moments.named_buffers())
    assert len(moments) == 2 * len(dict(model.named_parameters())) + 1
    for name, moment in loaded.virtual_moments.named_buffers():
        assert moment.any(), name
        assert torch.equal(moment, moments[name]), name
    make(NPCModel, NPCConfig, {}, clip_config)[0].save_pretrained(tmp_path / "paper")
    config = NPCConfig.from_pretrained(tmp_path / "paper", **RELEASED)
    for fresh in (
        NPCModel.from_pretrained(tmp_path / "paper", config=config),
        AutoModel.from_pretrained(tmp_path / "paper", **RELEASED),
    ):
        assert fresh.config.variant == "released"
        assert not any(moment.any() for moment in fresh.virtual_moments.buffers())


def test_loading_as_released(clip_config, tmp_path):
    """`variant` is what `transformers` calls a weight file's suffix, too; and the fields are checked together."""
    make(NPCModel, NPCConfig, {}, clip_config)[0].save_pretrained(tmp_path)
    assert NPCModel.from_pretrained(tmp_path, **RELEASED).config.variant == "released"
    with pytest.raises(OSError, match=r"model\.fp16\.safetensors"):
        NPCModel.from_pretrained(tmp_path, variant="fp16")
    with pytest.raises(StrictDataclassError, match="give same_image='negative', virtual_optimizer"):
        NPCConfig.from_pretrained(tmp_path, variant="released")
    with pytest.raises(InputError, match="makes no NPCModel: clean_threshold is a probability"):
        NPCModel.from_pretrained(tmp_path, clean_threshold=3.0)
