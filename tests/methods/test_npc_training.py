"""NPC under what a run may switch on: accumulation, checkpointing, autocast, frozen towers, adapters, processes."""

import copy

import pytest
import torch
import torch.distributed as dist  # noqa: TID251
from peft import LoraConfig, get_peft_model, inject_adapter_in_model
from torch.nn.parallel import DistributedDataParallel

from hf_noisy_itm import NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.exchange import Exchange, ProcessExchange
from hf_noisy_itm.methods import NPCConfig, NPCModel, _virtual_steps, npc

from ..processes import in_two
from .test_contract import make, make_batch

FORMS = {
    "paper": {},
    "released": {"variant": "released", "same_image": "negative", "virtual_optimizer": "adamw_own_state"},
}
of_both_forms = pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS)


def gradients_of(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def trained(fields, clip_config, processor, pairs, steps=2):
    """A model whose optimizer, and whose moments, have seen some steps."""
    model, optimizer = make(NPCModel, NPCConfig, fields, clip_config)
    for number in range(steps):
        take(model, optimizer, make_batch(processor, pairs, range(60 + number, 100, 5)))
    return model, optimizer


def take(model, optimizer, *batches):
    outputs = [model(**batch) for batch in batches]
    for output in outputs:
        (output.loss / len(batches)).backward()
    optimizer.step()
    optimizer.zero_grad()
    model.step()
    return outputs


def moved_names(monkeypatch):
    """Names of the parameters that virtual steps move, from now on."""
    names, look_ahead = set(), _virtual_steps.look_ahead

    def noting(*given):
        ahead = look_ahead(*given)
        names.update(ahead)
        return ahead

    monkeypatch.setattr(_virtual_steps, "look_ahead", noting)
    return names


@of_both_forms
def test_parts_of_an_accumulated_batch_are_looked_at_from_the_same_place(fields, clip_config, processor, pairs):
    """Neither a part's weights nor its gradient depend on the parts before it."""
    model, _ = trained(fields, clip_config, processor, pairs)
    parts = [make_batch(processor, pairs, rows) for rows in (range(0, 40, 5), range(41, 81, 5))]
    alone = []
    for part in parts:
        output = model(**part)
        output.loss.backward()
        alone.append((output.weight_per_pair, gradients_of(model)))
        model.zero_grad()
    for part, (weight, _) in zip(parts, alone):
        output = model(**part)
        output.loss.backward()
        assert torch.equal(output.weight_per_pair, weight)
        assert 0 < (weight < 1).sum() < 8
    for name, total in gradients_of(model).items():
        torch.testing.assert_close(total, alone[0][1][name] + alone[1][1][name], rtol=1e-4, atol=1e-5, msg=name)


@of_both_forms
def test_gradient_checkpointing_changes_no_loss_no_weight_and_no_gradient(fields, clip_config, processor, pairs):
    model, _ = trained(fields, clip_config, processor, pairs)
    batch = make_batch(processor, pairs)
    calls, results = [], []
    model.clip.vision_model.encoder.layers[0].layer_norm1.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(2):
        calls.clear()
        output = model(**batch)
        output.loss.backward()
        results.append((output, gradients_of(model), len(calls)))
        model.zero_grad()
        model.activation_checkpointing_enable()
    (plain, wanted, once), (saving, got, more) = results
    parts = 1 if fields.get("variant") == "released" else 2  # there the entries have no gradient
    assert more == once + 1 + parts  # the batch again for the virtual gradient, all again for the real one
    assert torch.equal(plain.loss, saving.loss)
    assert torch.equal(plain.weight_per_pair, saving.weight_per_pair)
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, msg=name)


@of_both_forms
def test_autocast_leaves_losses_ratios_and_moments_in_float32(fields, clip_config, processor, pairs, monkeypatch):
    model, optimizer = trained(fields, clip_config, processor, pairs)
    seen, impact_ratio = [], npc.impact_ratio
    monkeypatch.setattr(npc, "impact_ratio", lambda *of: (seen.append((*of, impact_ratio(*of))), seen[-1][-1])[1])
    batch = make_batch(processor, pairs)
    outputs = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs.append(model(**batch))
            assert model.clip.visual_projection(torch.ones(1, 32)).dtype == (
                torch.bfloat16 if enabled else torch.float32
            )
    exact, half = seen
    for before, after, ratio in seen:
        assert {loss.dtype for loss in (*before.values(), *after.values())} == {torch.float32}
        assert ratio.dtype == torch.float32
    for kind in half[0]:  # the losses before are those of float32 to the last bit, whatever embeds the batch
        assert torch.equal(half[0][kind], exact[0][kind])
    for output in outputs:
        assert {output.loss.dtype, output.loss_per_pair.dtype, output.weight_per_pair.dtype} == {torch.float32}
    torch.testing.assert_close(outputs[1].loss_per_pair, outputs[0].loss_per_pair, rtol=0.1, atol=0.1)
    torch.testing.assert_close(half[2], exact[2], rtol=0.1, atol=0.1)
    outputs[1].loss.backward()
    optimizer.step()
    model.step()
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32} | (
        {torch.int64} if fields else set()
    )


@of_both_forms
@pytest.mark.parametrize("tower", ["vision_model", "text_model"])
def test_a_frozen_tower_stays_and_the_rest_is_looked_at(
    fields, clip_config, processor, pairs, tmp_path, monkeypatch, tower
):
    model, _ = make(NPCModel, NPCConfig, {**fields, "clean_threshold": 0.5}, clip_config)
    getattr(model.clip, tower).requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    moved = moved_names(monkeypatch)
    trainer = run(model, processor, pairs, tmp_path)
    trainable = {name for name in before if not name.startswith(f"clip.{tower}.")}
    assert moved == trainable
    assert {name for name, p in model.named_parameters() if not torch.equal(p, before[name])} == trainable
    assert 0 < trainer.memory.weights.total.sum() < trainer.memory.weights.count.sum()


@of_both_forms
def test_with_adapters_only_they_are_trained_and_looked_at(
    fields, clip_config, processor, pairs, tmp_path, monkeypatch
):
    model, _ = make(NPCModel, NPCConfig, {**fields, "clean_threshold": 0.5}, clip_config)
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["q_proj", "v_proj"]), model.clip)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    adapters = {name for name in before if ".lora_" in name}
    assert len(adapters) == 2 * 2 * 2  # of two towers of one layer: two matrices each, for queries and values
    moved = moved_names(monkeypatch)
    trainer = run(model, processor, pairs, tmp_path)
    assert moved == adapters
    assert {name for name, p in model.named_parameters() if not torch.equal(p, before[name])} == adapters
    assert 0 < trainer.memory.weights.total.sum() < trainer.memory.weights.count.sum()
    if fields:
        assert model.virtual_moments.steps.count == 4
        for name in before:
            moments = [moment for moment in model.virtual_moments.of(name) if moment is not None]
            assert any(moment.any() for moment in moments) == (name in adapters), name


def run(model, processor, pairs, folder):
    arguments = NoisyITMArguments(
        output_dir=str(folder), per_device_train_batch_size=16, learning_rate=1e-3, max_steps=4, save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    trainer = NoisyITMTrainer(model, arguments, pairs, None, processor)
    trainer.train()
    return trainer


def part_of(batch, own):
    """Some pairs of a batch as one process would have them, with all rows of the batch as its bank's."""
    own_names = ("index", "image_id", "input_ids", "attention_mask", "pixel_values")
    entries = {}
    for kind, entry in batch["bank"]["entries"].items():
        entries[kind] = {name: rows[own] for name, rows in entry.items()}
        for name in ("image_row", "text_row"):
            entries[kind][name] += len(own)
    rows = {name: torch.cat([batch[name], more]) for name, more in batch["bank"].items() if name != "entries"}
    return {**{name: batch[name][own] for name in own_names}, "bank": {**rows, "entries": entries}}


def start(config, state, exchange):
    model = NPCModel(copy.deepcopy(config)).train()
    model.load_state_dict(state)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-5)  # not to scale rounding up
    model.attach(exchange, optimizer)
    return model, optimizer


def work(rank, folder, given):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.set_num_threads(1)
    for form, (config, state, batches) in given.items():
        model, optimizer = start(config, state, ProcessExchange())
        parallel, weights = DistributedDataParallel(model), []
        for batch in batches:
            output = parallel(**part_of(batch, torch.arange(4) + 4 * rank))
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            model.step()
            weights.append(output.weight_per_pair)
        torch.save({"weights": weights, "state": model.state_dict()}, f"{folder}/{form}{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_with_the_whole_batch(clip_config, processor, pairs, tmp_path):
    """Five steps under DDP, each process with half of the pairs: the same weights and, at the end, parameters."""
    firsts = (range(0, 40, 5), range(41, 81, 5), range(2, 18, 2), range(1, 41, 5), range(60, 100, 5))
    batches = [make_batch(processor, pairs, rows) for rows in firsts]
    given = {}
    for form, fields in FORMS.items():
        model, _ = trained(fields, clip_config, processor, pairs)
        given[form] = (model.config, model.state_dict(), batches)
    in_two(work, str(tmp_path), given)
    for form, (config, state, _) in given.items():
        model, optimizer = start(config, state, Exchange())
        wanted = [take(model, optimizer, batch)[0].weight_per_pair for batch in batches]
        halves = [torch.load(tmp_path / f"{form}{rank}.pt", weights_only=True) for rank in (0, 1)]
        got = [torch.cat([half["weights"][number] for half in halves]) for number in range(len(batches))]
        assert 0.05 < (torch.stack(wanted) < 1).float().mean() < 0.9
        torch.testing.assert_close(torch.stack(got), torch.stack(wanted), rtol=1e-4, atol=1e-5, msg=form)
        for name, tensor in model.state_dict().items():
            one, other = (half["state"][name] for half in halves)
            assert torch.equal(one, other), name
            if not name.endswith("k_proj.bias"):  # no gradient in exact arithmetic: AdamW makes steps of rounding
                torch.testing.assert_close(one, tensor, rtol=1e-4, atol=1e-5, msg=f"{form}: {name}")


@pytest.mark.parametrize(
    "fields",
    [
        {"virtual_step": "pair", "bank_share": 0.5},
        {"impact_every": 2},
        {"virtual_optimizer": "adamw_own_state"},
        {"negatives": "fne", "min_right_pairs": 4},
    ],
    ids=str,
)
def test_adapters_resume_with_what_the_method_remembers(fields, clip_config, processor, pairs, tmp_path):
    """PEFT saves adapters alone."""
    runs = {}
    for name, start in (("whole", None), ("resumed", str(tmp_path / "whole" / "checkpoint-9"))):
        torch.manual_seed(0)
        model = NPCModel(NPCConfig.from_dict({**clip_config.to_dict(), "clean_threshold": 0.5, **fields}))
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.1))
        settings = {"per_device_train_batch_size": 16, "logging_steps": 1, "disable_tqdm": True, "learning_rate": 1e-3}
        steps = {"max_steps": 16, "save_strategy": "steps", "save_steps": 9}
        arguments = NoisyITMArguments(output_dir=str(tmp_path / name), **settings, **steps)
        trainer = NoisyITMTrainer(adapted, arguments, pairs, pairs, processor)
        trainer.train(resume_from_checkpoint=start)
        runs[name] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert runs["resumed"] == runs["whole"]
