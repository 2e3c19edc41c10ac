import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import EarlyStoppingCallback, TrainerCallback

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer, PairCollator, encode
from hf_noisy_itm import trainer as trainer_module
from hf_noisy_itm.checkpoint import BANK_FILE, LIST_FILE, WEIGHTS_FILE, of_this_training, refuse_other_shapes
from hf_noisy_itm.data.pedigree import pedigree_of
from hf_noisy_itm.functional.noise import draw_noise
from hf_noisy_itm.functional.retrieval import recall
from hf_noisy_itm.memory.bank import MemoryBank
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, NPCConfig, NPCModel
from hf_noisy_itm.resuming import missing_parts

from .methods.table import METHODS
from .methods.test_contract import make, of_every_method


def make_trainer(cls, config_cls, fields, clip_config, processor, pairs, folder, eval_pairs=None, **arguments):
    model, _ = make(cls, config_cls, fields, clip_config)
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 5,
        **arguments,
    }
    return NoisyITMTrainer(model, NoisyITMArguments(**settings), pairs, eval_pairs or pairs, processor)


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


ACCUMULATED = {name: METHODS[name] for name in ("baseline", "npc", "npc-pair", "fne", "coder", "mrl-clip")}


@of_every_method
def test_a_resumed_run_is_bit_for_bit_the_undisturbed_one(
    cls, config_cls, fields, clip_config, processor, pairs, tmp_path
):
    """120 pairs in batches of 15: eight steps an epoch, so step 4 lies within the first and 8 on its border."""
    common = clip_config, processor, pairs
    counts = {"max_steps": 10, "per_device_train_batch_size": 15}
    saving = {"save_strategy": "steps", "save_steps": 4}
    whole = make_trainer(cls, config_cls, fields, *common, tmp_path / "whole", **counts, **saving)
    whole.train()
    for step in (4, 8):
        resumed = make_trainer(cls, config_cls, fields, *common, tmp_path / "resumed", **counts)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        same(whole, resumed)
    remembers = "fne" in config_cls.model_type or fields.get("negatives") == "fne"
    assert bool(whole.memory.negatives.state_dict()) == remembers


@pytest.mark.parametrize(("cls", "config_cls", "fields"), ACCUMULATED.values(), ids=ACCUMULATED)
def test_a_resumed_run_that_accumulates_is_too(cls, config_cls, fields, clip_config, processor, pairs, tmp_path):
    common = clip_config, processor, pairs
    counts = {"max_steps": 5, "gradient_accumulation_steps": 2}
    saving = {"save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(cls, config_cls, fields, *common, tmp_path / "whole", **counts, **saving)
    whole.train()
    resumed = make_trainer(cls, config_cls, fields, *common, tmp_path / "resumed", **counts)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    same(whole, resumed)


def same(whole, resumed):
    assert losses_of(resumed) == losses_of(whole)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert torch.equal(whole.memory.weights.total, resumed.memory.weights.total)
    kept, again = whole.memory.negatives.state_dict(), resumed.memory.negatives.state_dict()
    assert kept.keys() == again.keys()
    for name, values in kept.items():
        torch.testing.assert_close(again[name], values, rtol=0, atol=0, equal_nan=True)
    if whole.memory.bank is not None:
        for name, rows in whole.memory.bank.entries.items():
            assert torch.equal(rows, resumed.memory.bank.entries[name]), name


def test_a_picture_cache_changes_no_step_and_no_figure(clip_config, processor, pairs, tmp_path, monkeypatch):
    cache = {"picture_cache": str(tmp_path / "cache")}
    runs = []
    for run, more in enumerate(({}, cache, cache)):
        if run == 2:  # everything is there already
            monkeypatch.setattr(type(pairs), "picture", None)
        trainer = make_trainer(
            NPCModel, NPCConfig, METHODS["npc"][2], clip_config, processor, pairs, tmp_path, max_steps=3, **more
        )
        trainer.train()
        figures = {name: value for name, value in trainer.evaluate().items() if "runtime" not in name}
        runs.append((losses_of(trainer), figures))
    assert runs[0] == runs[1] == runs[2]
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 24


def test_training_lowers_the_loss_and_evaluation_is_recall(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path, max_steps=25, eval_strategy="no"
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    losses = losses_of(trainer)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert after["eval_rsum"] > before["eval_rsum"] + 20
    with torch.no_grad():
        collator = trainer.data_collator
        images = trainer.model.embed_images(collator.images(range(24)))
        texts = trainer.model.embed_texts(**collator.texts(pairs.captions))
    direct = recall(images, texts, torch.from_numpy(pairs.image_row))
    assert after["eval_i2t_r@1"] == pytest.approx(direct["i2t_r@1"])
    assert trainer.model.training  # evaluation gives the mode back


def test_best_model_is_chosen_by_rsum(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel,
        BaselineConfig,
        {},
        clip_config,
        processor,
        pairs,
        tmp_path,
        max_steps=4,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_rsum",
    )
    trainer.train()
    assert trainer.state.best_metric == max(e["eval_rsum"] for e in trainer.state.log_history if "eval_rsum" in e)


def test_training_stops_early_by_rsum(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path,
        max_steps=20, learning_rate=0.0, eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2,
        load_best_model_at_end=True, metric_for_best_model="eval_rsum",
    )  # fmt: skip
    trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    trainer.train()
    assert trainer.state.global_step == 6  # the first evaluation is the best, then two without a gain


def test_npc_logs_weights_and_leaves_bank_and_ledger(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        NPCModel, NPCConfig, {"clean_threshold": 0.5}, clip_config, processor, pairs, tmp_path, max_steps=3
    )
    trainer.train()
    logged = [entry["weight_mean"] for entry in trainer.state.log_history if "weight_mean" in entry]
    assert len(logged) == 3
    assert all(0 < value <= 1 for value in logged)
    trainer.save_model(str(tmp_path))
    assert int(load_file(tmp_path / WEIGHTS_FILE)["count"].sum()) == 3 * 16
    assert (tmp_path / BANK_FILE).exists()
    assert not (tmp_path / "training_args.bin").exists()


class Unsaved(NoisyITMTrainer):
    """An engine that writes and reads weights its own way, as FSDP with sharded files and DeepSpeed do."""

    def _save(self, output_dir=None, state_dict=None):
        self.model.save_pretrained(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        self.model.load_state_dict(load_file(f"{resume_from_checkpoint}/model.safetensors"))


@pytest.fixture
def stopped(clip_config, processor, pairs, tmp_path):
    """A run of the method with a bank that was stopped after two of four steps, and how to resume it."""

    def trainer(cls=NoisyITMTrainer, **more):
        common = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, **more}
        made = make_trainer(*METHODS["npc"], clip_config, processor, pairs, tmp_path / "run", **common)
        made.__class__ = cls
        return made

    return trainer, tmp_path / "run" / "checkpoint-2"


@pytest.mark.parametrize("cls", [NoisyITMTrainer, Unsaved])
def test_bank_and_weights_are_in_a_checkpoint_whatever_the_engine(stopped, cls):
    trainer, checkpoint = stopped
    whole = trainer(cls)
    whole.train()
    assert int(load_file(checkpoint / WEIGHTS_FILE)["count"].sum()) == 2 * 16
    resumed = trainer(cls)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(whole.memory.weights.total, resumed.memory.weights.total)
    assert losses_of(resumed) == losses_of(whole)
    assert all(
        torch.equal(rows, resumed.memory.bank.entries[name]) for name, rows in whole.memory.bank.entries.items()
    )


@pytest.mark.parametrize("name", [BANK_FILE, WEIGHTS_FILE, LIST_FILE])
@pytest.mark.parametrize("resume", [str, lambda checkpoint: True], ids=["by name", "the last one"])
def test_a_file_that_is_gone_from_a_checkpoint_stops_the_run(stopped, name, resume):
    trainer, checkpoint = stopped
    trainer(max_steps=2).train()
    (checkpoint / name).unlink()
    told = rf"{checkpoint.name}.* lacks {name}.*start anew from its weights with --model {checkpoint}"
    with pytest.raises(InputError, match=told):
        trainer().train(resume_from_checkpoint=resume(checkpoint))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("trainer_state.json", lambda path: path.write_text("{}"), "KeyError: 'global_step'"),
        ("trainer_state.json", lambda path: path.write_text('{"global_step": "2"}'), "global_step is '2'"),
        ("trainer_state.json", lambda path: path.write_text('{"global_step": 0}'), "global_step is 0"),
        ("optimizer.pt", lambda path: torch.save({}, path), "KeyError"),
        ("optimizer.pt", lambda path: torch.save([1, 2], path), "Error"),
        ("optimizer.pt", lambda path: change_states(path, "exp_avg"), "exp_avg has the shape .*, and belongs to"),
        ("optimizer.pt", lambda path: change_states(path, "step"), r"step has the shape \(2,\), and belongs"),
        ("scheduler.pt", lambda path: torch.save({"base_lrs": 1}, path), "Error"),
        ("rng_state.pth", lambda path: torch.save({"python": 3}, path), "TypeError"),
        ("rng_state.pth", lambda path: torch.save(Interrupt(3), path), "UnpicklingError"),
        ("model.safetensors", lambda path: save_file({"x": torch.zeros(2)}, path), "differ in .* tensors"),
        ("model.safetensors", lambda path: change_file(path, lambda each: each.popitem()), "differ in 1 tensors"),
        ("model.safetensors", lambda path: change_file(path, one_more), "differ in 1 tensors, another for one"),
        ("model.safetensors", lambda path: change_file(path, flatten), "size mismatch"),
    ],
)
def test_other_content_than_a_training_leaves_is_a_sentence(stopped, name, change, sentence):
    trainer, checkpoint = stopped
    trainer(max_steps=2).train()
    change(checkpoint / name)
    with pytest.raises(InputError, match=rf"does not hold what this training saves there .*{sentence}.*start anew"):
        trainer().train(resume_from_checkpoint=str(checkpoint))


@pytest.mark.parametrize("error", [MemoryError(), OSError("disk"), torch.OutOfMemoryError("GPU"), InputError("own")])
def test_what_the_machine_does_while_a_checkpoint_is_read_is_no_fault_of_the_checkpoint(error, tmp_path):
    with pytest.raises(type(error)) as told, of_this_training(tmp_path):
        raise error
    assert told.value is error


def change_file(path, change):
    state = load_file(path)
    change(state)
    save_file(state, path)


def one_more(state):
    state["another"] = torch.zeros(2)


def change_states(path, name):
    content = torch.load(path, weights_only=True)
    for state in content["state"].values():
        state[name] = torch.zeros(*state[name].shape, 2)
    torch.save(content, path)


def test_an_optimizer_that_is_not_torchs_own_may_have_states_of_any_shape():
    class Factored(torch.optim.AdamW):
        pass

    for optimizer in (torch.optim.AdamW, Factored):
        made = optimizer([torch.nn.Parameter(torch.ones(2, 3))])
        made.state[made.param_groups[0]["params"][0]] = {"exp_avg": torch.zeros(2)}
        with pytest.raises(ValueError, match="exp_avg") if optimizer is torch.optim.AdamW else nullcontext():
            refuse_other_shapes(made)


def flatten(state):
    name = next(name for name in state if state[name].ndim == 2)
    state[name] = state[name].flatten()


class Interrupt(TrainerCallback):
    """Ends a training as Ctrl-C does, after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("form", ["npc", "npc-released"])
def test_one_trainer_may_be_interrupted_and_resumed(clip_config, processor, pairs, tmp_path, form):
    runs = []
    for name in ("whole", "interrupted"):
        saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 5}
        trainer = make_trainer(*METHODS[form], clip_config, processor, pairs, tmp_path / name, **saving)
        if name == "interrupted":
            interrupt = Interrupt(3)
            trainer.add_callback(interrupt)
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
            trainer.remove_callback(interrupt)
        trainer.train(resume_from_checkpoint=name == "interrupted")
        runs.append((losses_of(trainer), trainer))
    assert runs[0][0] == runs[1][0]
    for name, tensor in runs[0][1].model.state_dict().items():
        assert torch.equal(tensor, runs[1][1].model.state_dict()[name]), name
    assert torch.equal(*(trainer.memory.weights.total for _, trainer in runs))


def test_a_second_training_on_one_trainer_looks_ahead_with_the_same_optimizer(clip_config, processor, pairs, tmp_path):
    """It is a new run, of whose pairs nothing is known before its first step."""
    trainer = make_trainer(*METHODS["npc"], clip_config, processor, pairs, tmp_path, max_steps=3)
    trainer.train()
    optimizer = trainer.model.optimizer
    assert type(optimizer) is torch.optim.AdamW
    trainer.train()
    assert trainer.model.optimizer is optimizer
    assert len(losses_of(trainer)) == 3
    assert int(trainer.memory.weights.count.sum()) == 3 * 16


def test_the_state_goes_before_a_checkpoint_is_written_anew(stopped, monkeypatch):
    """Or a process that is killed meanwhile would leave a mixture of two that looks whole."""
    trainer, checkpoint = stopped
    trainer(max_steps=2).train()
    assert missing_parts(checkpoint) == []
    monkeypatch.setattr(NoisyITMTrainer, "_save_optimizer_and_scheduler", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer(max_steps=2).train()
    assert missing_parts(checkpoint) == ["trainer_state.json"]


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("resume", [str, lambda checkpoint: True], ids=["by name", "the last one"])
def test_a_checkpoint_of_the_model_alone_is_not_resumed(stopped, resume):
    trainer, checkpoint = stopped
    trainer(max_steps=2, save_only_model=True).train()
    with pytest.raises(
        InputError, match=r"lacks optimizer\.pt, scheduler\.pt and rng_state\.pth, without which the run"
    ):
        trainer().train(resume_from_checkpoint=resume(checkpoint))


def test_a_trainer_without_checkpoints_says_so(stopped):
    trainer, _ = stopped
    with pytest.raises(InputError, match="There is no checkpoint in .* to resume from"):
        trainer().train(resume_from_checkpoint=True)


def test_a_checkpoint_without_a_bank_says_so(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(*METHODS["baseline"], clip_config, processor, pairs, tmp_path, max_steps=1)
    (tmp_path / BANK_FILE).write_bytes(b"of an earlier run")
    trainer.train()
    trainer.save_model(str(tmp_path))
    assert json.loads((tmp_path / LIST_FILE).read_text()) == {"files": [], "num_processes": 1}
    assert not (tmp_path / BANK_FILE).exists()


def a_bank(pairs, **provenance):
    rows = torch.arange(len(pairs))
    entries = {"image": rows.roll(5), "text": rows.roll(10)}
    return MemoryBank(entries, {"loss": rows.float()}, {"fingerprint": pairs.fingerprint, **provenance})


def test_a_given_bank_is_used_from_the_first_step_and_refreshed_where_the_method_says(
    clip_config, processor, pairs, tmp_path, monkeypatch
):
    """Seven steps an epoch. Nothing is encoded before the first; the second epoch has a bank of the model by then."""
    encoded = []
    monkeypatch.setattr(trainer_module, "encode", lambda *args: (encoded.append(1), encode(*args))[1])
    fields = {"clean_threshold": 0.5, "bank_refresh_epochs": 1}
    trainer = make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, max_steps=7)
    trainer.given_bank = a_bank(pairs, word="given")
    trainer.train()
    assert not encoded
    assert trainer.memory.bank.provenance["word"] == "given"
    assert torch.equal(torch.from_numpy(trainer.data_collator.entries["text"]), torch.arange(120).roll(10))
    trainer = make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, max_steps=8)
    trainer.given_bank = a_bank(pairs)
    trainer.train()
    assert len(encoded) == 1
    assert trainer.memory.bank.provenance["epoch"] == 1


@pytest.mark.parametrize("save_steps", [3, 7])
def test_a_run_with_a_given_bank_resumes_exactly(clip_config, processor, pairs, tmp_path, save_steps):
    """Within the first epoch the checkpoint has the given bank; what is given anew then does not count."""
    fields = {"clean_threshold": 0.5, "bank_refresh_epochs": 1}
    runs = []
    for resume in (None, str(tmp_path / f"checkpoint-{save_steps}")):
        saving = {"save_strategy": "steps", "save_steps": save_steps, "max_steps": 9}
        trainer = make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, **saving)
        trainer.given_bank = a_bank(pairs) if resume is None else None
        trainer.train(resume_from_checkpoint=resume)
        runs.append((losses_of(trainer), trainer))
    assert runs[0][0] == runs[1][0]
    assert same_bank(runs[0][1].memory.bank, runs[1][1].memory.bank)
    stored = MemoryBank.load(tmp_path / f"checkpoint-{save_steps}" / BANK_FILE, pairs.fingerprint)
    assert same_bank(stored, a_bank(pairs))


def same_bank(one, other):
    facts = [json.dumps(bank.provenance, sort_keys=True) for bank in (one, other)]
    return facts[0] == facts[1] and all(
        before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
        for before, after in ((one.entries, other.entries), (one.scores, other.scores))
    )


def test_after_a_refresh_scores_are_of_the_new_bank_and_weights_of_the_whole_run(
    clip_config, processor, pairs, tmp_path, monkeypatch
):
    banks = []
    use = NoisyITMTrainer.use_bank
    monkeypatch.setattr(NoisyITMTrainer, "use_bank", lambda self, bank: (banks.append(bank), use(self, bank)))
    noise = {"kind": "shuffle", "nominal": 0.4}
    noisy = replace(pairs, pedigree=noise)
    common = {"max_steps": 10, "save_strategy": "steps", "save_steps": 8}
    whole = make_trainer(*METHODS["npc"], clip_config, processor, noisy, tmp_path, **common)
    whole.train()
    first, second = banks
    assert [bank.provenance["epoch"] for bank in banks] == [0, 1]
    assert first.provenance["scorer"] != second.provenance["scorer"]
    assert all(bank.provenance["noise"] == noise for bank in banks)
    assert whole.memory.bank is second
    assert not torch.equal(first.scores["loss"], second.scores["loss"])
    assert int(whole.memory.weights.count.sum()) == 10 * 16
    resumed = make_trainer(*METHODS["npc"], clip_config, processor, noisy, tmp_path / "more", max_steps=10)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert same_bank(resumed.memory.bank, whole.memory.bank)
    assert torch.equal(resumed.memory.weights.total, whole.memory.weights.total)


def test_a_bank_that_cannot_be_refreshed_stays(clip_config, processor, pairs, tmp_path, monkeypatch):
    """Found without clean pairs at the first epoch, a run ends; later it goes on with what it has, and says so."""
    build = NPCModel.build_bank

    def only(epochs):
        def build_bank(model, encoded, epoch):
            if epoch in epochs:
                return build(model, encoded, epoch)
            raise InputError("No pair is clean.")

        monkeypatch.setattr(NPCModel, "build_bank", build_bank)

    fields, told = {"clean_threshold": 0.5, "bank_refresh_epochs": 1}, []
    monkeypatch.setattr(trainer_module.logger, "warning", told.append)
    only({0, 2})
    trainer = make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, num_train_epochs=3)
    trainer.train()
    assert trainer.memory.bank.provenance["epoch"] == 2
    assert [sentence for sentence in told if "stays" in sentence] == [
        "The memory bank of before epoch 1 stays in use: No pair is clean."
    ]
    only({1})
    with pytest.raises(InputError, match="No pair is clean"):
        make_trainer(NPCModel, NPCConfig, fields, clip_config, processor, pairs, tmp_path, max_steps=1).train()


def test_a_loss_that_is_no_number_ends_the_training(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path, max_steps=3)
    with torch.no_grad():
        next(trainer.model.clip.text_model.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match=r"loss is not finite from step 1 on: .* smaller learning_rate"):
        trainer.train()


def test_the_learning_rate_ends_at_zero_and_falls_within_an_epoch(clip_config, processor, pairs, tmp_path):
    """Acceptance list, NPC 8: the released loop steps once an epoch, by a schedule of the epochs, and ends above 0."""
    schedule = {"lr_scheduler_type": "cosine", "warmup_steps": 2, "num_train_epochs": 2}
    trainer = make_trainer(NPCModel, NPCConfig, METHODS["npc"][2], clip_config, processor, pairs, tmp_path, **schedule)
    trainer.train()
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "loss" in entry]  # before each step
    assert len(rates) == 14
    assert rates[:3] == pytest.approx([0.0, 5e-4, 1e-3])
    assert all(later < earlier for earlier, later in zip(rates[2:], rates[3:]))
    assert trainer.lr_scheduler.get_last_lr() == [0.0, 0.0]


def test_doubts_about_a_bank_are_said_when_it_is_built(clip_config, processor, pairs, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(trainer_module.logger, "warning", said.append)
    build = NPCModel.build_bank
    monkeypatch.setattr(NPCModel, "build_bank", lambda *args: build(*args).told(doubts=["Hm."]))
    make_trainer(*METHODS["npc"], clip_config, processor, pairs, tmp_path, max_steps=1).train()
    assert said == ["The memory bank of epoch 0: Hm."]


def test_a_bank_is_refused_by_a_method_without_one_and_for_other_pairs(clip_config, processor, pairs, tmp_path):
    arguments = NoisyITMArguments(output_dir=str(tmp_path))
    model, _ = make(*METHODS["baseline"], clip_config)
    with pytest.raises(InputError, match="BaselineModel takes no memory bank"):
        NoisyITMTrainer(model, arguments, pairs, pairs, processor, a_bank(pairs))
    model, _ = make(*METHODS["npc"], clip_config)
    other = replace(pairs, captions=[caption.upper() for caption in pairs.captions])
    with pytest.raises(InputError, match=f"fingerprint {pairs.fingerprint}; this data has {other.fingerprint}"):
        NoisyITMTrainer(model, arguments, other, other, processor, a_bank(pairs))
    assert NoisyITMTrainer(model, arguments, pairs, pairs, processor, a_bank(pairs)).given_bank is not None


def test_evaluation_rows_keep_their_captions_and_pictures(clip_config, processor, pairs, tmp_path):
    half = np.arange(12)
    training, held_out = pairs.keep_pictures(half), pairs.keep_pictures(half + 12)
    trainer = make_trainer(
        *METHODS["npc"], clip_config, processor, training, tmp_path, eval_pairs=held_out, per_device_eval_batch_size=16
    )
    trainer.use_bank(MemoryBank({"image": torch.arange(60), "text": torch.arange(60)}))
    encoded = encode(trainer.model, PairCollator(processor, held_out))
    loaders = [
        trainer.get_eval_dataloader(),
        trainer.get_eval_dataloader(held_out),
        trainer.get_test_dataloader(held_out),
    ]
    trainer.eval_dataset = {"held out": held_out}
    loaders.append(trainer.get_eval_dataloader("held out"))
    for loader in loaders:
        batches = list(loader)
        assert not any("bank" in batch for batch in batches)
        assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(60))  # the last ones too
        words = [row for batch in batches for row in processor.tokenizer.batch_decode(batch["input_ids"], True)]
        assert words == processor.tokenizer.batch_decode(
            PairCollator(processor, held_out).texts(held_out.captions)["input_ids"], True
        )
    _, image_embeds, text_embeds = trainer.predict(held_out).predictions
    torch.testing.assert_close(torch.from_numpy(text_embeds), encoded.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        torch.from_numpy(image_embeds), encoded.image_embeds[encoded.image_of_pair], atol=1e-5, rtol=0
    )
    assert trainer.data_collator.pairs is training
    assert trainer.args.dataloader_drop_last


def test_a_trainable_parameter_in_half_precision_is_refused(clip_config, processor, pairs, tmp_path):
    model, _ = make(*METHODS["baseline"], clip_config)
    model.clip.text_model.bfloat16()
    arguments = NoisyITMArguments(output_dir=str(tmp_path))
    with pytest.raises(InputError, match=r"clip\.text_model.* is torch\.bfloat16.*dtype=torch\.float32"):
        NoisyITMTrainer(model, arguments, pairs, pairs, processor)
    model.clip.text_model.requires_grad_(False)  # a frozen tower may be as small as it likes
    NoisyITMTrainer(model, arguments, pairs, pairs, processor)


def test_the_exchange_is_there_before_training(clip_config, processor, pairs, tmp_path):
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    model, _ = make(*METHODS["npc"], clip_config)
    trainer = NoisyITMTrainer(
        model, NoisyITMArguments(output_dir=str(tmp_path)), pairs, None, processor, optimizers=(optimizer, None)
    )
    assert trainer.model.exchange is trainer.exchange
    assert trainer.model.optimizer is optimizer


def test_a_step_that_was_skipped_is_no_step(clip_config, processor, pairs, tmp_path, monkeypatch):
    """As under float16, where a gradient that overflows is dropped."""
    steps = []
    monkeypatch.setattr(BaselineModel, "step", lambda self: steps.append(trainer.state.global_step))
    trainer = make_trainer(*METHODS["baseline"], clip_config, processor, pairs, tmp_path, max_steps=3)
    skipped = property(lambda accelerator: trainer.state.global_step == 2)  # counted up before the callback
    monkeypatch.setattr(type(trainer.accelerator), "optimizer_step_was_skipped", skipped)
    trainer.train()
    assert steps == [1, 3]


@pytest.mark.parametrize("logging", ["steps", "no"])
def test_reports_are_means_and_do_not_pile_up(clip_config, processor, pairs, tmp_path, logging):
    trainer = make_trainer(
        *METHODS["npc"], clip_config, processor, pairs, tmp_path,
        max_steps=4, logging_strategy=logging, logging_steps=2,
    )  # fmt: skip
    noted = []
    add = trainer.reports.add
    trainer.reports.add = lambda name, value: (noted.append(value.item()), add(name, value))
    trainer.train()
    logged = [entry["weight_mean"] for entry in trainer.state.log_history if "weight_mean" in entry]
    if logging == "steps":
        assert logged == pytest.approx([sum(noted[:2]) / 2, sum(noted[2:]) / 2])
    else:
        assert trainer.reports.take() == {"weight_mean": pytest.approx(sum(noted) / 4)}


class Reporting(BaselineModel):
    """One pair of each batch has nothing to report."""

    def losses(self, batch, image_embeds, text_embeds):
        values = batch.index.float().masked_fill(torch.arange(len(batch)) == 3, torch.nan)
        report = {"rows": values, "one": torch.tensor(float(len(batch))), "none": torch.full((16,), torch.nan)}
        return replace(super().losses(batch, image_embeds, text_embeds), report=report)


def test_values_of_pairs_are_averaged_over_those_that_have_one(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(
        Reporting, BaselineConfig, {}, clip_config, processor, pairs, tmp_path,
        max_steps=2, logging_steps=2, train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "loss" in entry)
    assert logged["rows"] == pytest.approx((sum(range(32)) - 3 - 19) / 30)
    assert logged["one"] == 16
    assert "none" not in logged


def test_what_is_to_be_remembered_arrives_once_per_micro_batch_after_backward(
    clip_config, processor, pairs, tmp_path, monkeypatch
):
    calls = []

    class Remembering(BaselineModel):
        def losses(self, batch, image_embeds, text_embeds):
            return replace(super().losses(batch, image_embeds, text_embeds), to_remember={"rows": image_embeds})

        def remember(self, rows):
            assert not rows.requires_grad
            assert self.clip.visual_projection.weight.grad is not None
            calls.append(("remember", len(rows)))

        def step(self):
            calls.append(("step", None))

        def begin_epoch(self, epoch):
            calls.append(("begin_epoch", epoch))

    trainer = make_trainer(
        Remembering,
        BaselineConfig,
        {},
        clip_config,
        processor,
        pairs,
        tmp_path,
        max_steps=2,
        gradient_accumulation_steps=2,
    )
    trainer.train()
    step = [("remember", 16), ("remember", 16), ("step", None)]
    assert calls == [("begin_epoch", 0), *step, *step]


def test_accumulated_loss_is_the_mean_and_not_the_sum(clip_config, processor, pairs, tmp_path):
    """The trap of labels and loss kwargs would double it: two equal micro-batches must log the loss of one."""
    half = np.arange(0, 80, 5)  # 16 pairs of 16 pictures; two copies of them make two equal micro-batches
    logs = []
    for accumulation in (1, 2):
        rows = np.tile(half, accumulation)
        same = replace(
            pairs,
            captions=[pairs.captions[row] for row in rows],
            image_row=pairs.image_row[rows],
            caption_image_id=pairs.caption_image_id[rows],
            caption_id=None,
            caption_name=None,
            damaged=None,
            place=None,
            labels=None,
        )
        trainer = make_trainer(
            BaselineModel,
            BaselineConfig,
            {},
            clip_config,
            processor,
            same,
            tmp_path,
            max_steps=1,
            gradient_accumulation_steps=accumulation,
            train_sampling_strategy="sequential",
        )
        trainer.train()
        logs.append(trainer.state.log_history[0])
    assert logs[1]["loss"] == pytest.approx(logs[0]["loss"], rel=1e-5)
    assert logs[1]["grad_norm"] == pytest.approx(logs[0]["grad_norm"], rel=1e-5)


def test_weight_decay_is_for_matrices_only(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path)
    names = trainer.get_decay_parameter_names(trainer.model)
    shapes = dict(trainer.model.named_parameters())
    assert names
    assert all(shapes[name].ndim > 1 for name in names)


def test_a_batch_of_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="no negatives"):
        NoisyITMArguments(output_dir=str(tmp_path), per_device_train_batch_size=1)


def test_evaluating_without_pairs_is_an_error(clip_config, processor, pairs, tmp_path):
    trainer = make_trainer(BaselineModel, BaselineConfig, {}, clip_config, processor, pairs, tmp_path)
    trainer.eval_dataset = None
    with pytest.raises(InputError, match="eval_dataset"):
        trainer.evaluate()


def test_a_checkpoint_knows_its_data_and_refuses_others(clip_config, processor, pairs, tmp_path):
    draw = draw_noise("shuffle", 0.4, 0, pairs.image_id[pairs.image_row])
    noisy = pairs.with_noise(draw, pedigree_of(draw, "shuffle", 0))
    clip = (clip_config, processor)
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path, **saving).train()
    stored = json.loads((tmp_path / "checkpoint-1" / "noise.json").read_text())
    assert stored == {"pedigree": noisy.pedigree, "fingerprint": noisy.fingerprint}
    other = replace(noisy, pedigree=pedigree_of(draw, "shuffle", 1))
    text = replace(noisy, captions=[caption.upper() for caption in noisy.captions])
    resume = {"resume_from_checkpoint": str(tmp_path / "checkpoint-1")}
    for wrong, sentence in (
        (other, r"other noise \(shuffle, rate 0.4, seed 0\) than are given now \(shuffle, rate 0.4, seed 1\)"),
        (pairs, "other noise .* given now \\(none\\)"),
        (text, "other training pairs \\(fingerprint"),
    ):
        trainer = make_trainer(BaselineModel, BaselineConfig, {}, *clip, wrong, tmp_path / "more", max_steps=2)
        with pytest.raises(InputError, match=sentence):
            trainer.train(**resume)
    make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path / "more", max_steps=2).train(**resume)
    (tmp_path / "checkpoint-1" / "noise.json").write_text("[]")
    with pytest.raises(InputError, match="holds no pedigree"):
        make_trainer(BaselineModel, BaselineConfig, {}, *clip, noisy, tmp_path / "more", max_steps=2).train(**resume)
