"""What a method adds to CLIP starts right from a config and from a plain CLIP, and comes back as it was saved."""

import copy

import pytest
import torch
from huggingface_hub.dataclasses import strict
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPModel
from transformers.initialization import TORCH_INIT_FUNCTIONS

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.functional.contrastive import info_nce
from hf_noisy_itm.functional.similarity import inner_products, normalize
from hf_noisy_itm.methods import NoisyITMConfig, NoisyITMModel, NPCConfig, NPCModel
from hf_noisy_itm.methods._batch import PairLosses

from .table import METHODS
from .test_contract import make, of_every_method


class Queue(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.register_buffer("rows", torch.empty(size, width))
        self.register_buffer("pointer", torch.empty((), dtype=torch.long))
        self.register_buffer("scratch", torch.empty(2), persistent=False)

    def reset(self):
        self.rows.fill_(0.25)
        self.pointer.zero_()
        self.scratch.fill_(7.0)


class Moments(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.empty(2, dtype=torch.float64))

    def reset(self):
        self.mean.fill_(0.5)


class Proxies(nn.Module):
    def __init__(self, count, width):
        super().__init__()
        self.rows = nn.Parameter(torch.empty(count, width))

    @torch.no_grad()
    def reset_parameters(self):
        self.rows.copy_(nn.functional.normalize(torch.randn_like(self.rows), dim=1))


@strict
class ToyConfig(NoisyITMConfig):
    model_type = "noisy_itm_toy"
    queue_size: int = 6


class ToyModel(NoisyITMModel):
    config_class = ToyConfig
    copies = {"twin.vision": "clip.vision_model", "twin.projection": "clip.visual_projection"}
    frozen = ("clip.logit_scale", "clip.text_model.embeddings")

    def _build(self, config):
        self.queue, self.moments = Queue(config.queue_size, config.projection_dim), Moments()
        self.head = nn.Sequential(nn.Linear(config.projection_dim, 10), nn.LayerNorm(10))
        self.proxies = Proxies(10, config.projection_dim)
        self.twin = nn.ModuleDict(
            {
                "vision": copy.deepcopy(self.clip.vision_model),
                "projection": copy.deepcopy(self.clip.visual_projection),
            }
        )

    def losses(self, batch, image_embeds, text_embeds):
        """Online captions against the twin's pictures and those in the queue; and something for the heads to learn."""
        with torch.no_grad():
            keys = self.twin["projection"](self.twin["vision"](pixel_values=batch.pixel_values).pooler_output)
            keys = normalize(keys)
        candidates = torch.cat([keys, self.queue.rows])
        losses = info_nce(text_embeds, candidates, torch.arange(len(batch)), 10.0)
        scores = self.head(image_embeds) + inner_products(image_embeds, self.proxies.rows)
        losses = losses + scores.logsumexp(dim=1) + self.moments.mean[0].float() * scores.square().mean(dim=1)
        return PairLosses(losses, to_remember={"keys": keys}, report={"spread": scores.std()})

    @torch.no_grad()
    def remember(self, keys):
        self.moments.mean.lerp_(keys[:, :2].double().mean(dim=0), 0.5)
        size = len(self.queue.rows)
        places = (self.queue.pointer + torch.arange(len(keys)))[-size:] % size
        self.queue.rows[places] = keys[-size:]
        self.queue.pointer.add_(len(keys))

    @torch.no_grad()
    def step(self):
        for name, parameter in self.twin.named_parameters():
            whole, rest = name.split(".", 1)
            online = {"vision": self.clip.vision_model, "projection": self.clip.visual_projection}[whole]
            parameter.lerp_(online.get_parameter(rest), 0.1)


@pytest.fixture
def poisoned(monkeypatch):
    """What `from_pretrained` leaves uninitialised holds no number, rather than by chance a right one."""
    empty_like = torch.empty_like

    def poison(tensor, **arguments):
        value = empty_like(tensor, **arguments)
        return value.fill_(float("nan") if value.is_floating_point() else -(2**40))

    monkeypatch.setattr(torch, "empty_like", poison)


def plain_clip(clip_config, folder):
    torch.manual_seed(3)
    CLIPModel(clip_config).save_pretrained(folder)
    return folder


def is_right_at_the_start(model):
    assert (model.queue.rows == 0.25).all()
    assert model.queue.pointer == 0
    assert (model.queue.scratch == 7).all()
    assert (model.moments.mean == 0.5).all()
    torch.testing.assert_close(model.proxies.rows.norm(dim=1), torch.ones(10))
    assert 0.05 < model.head[0].weight.std() < 0.2  # uniform within 1 / sqrt(32), as torch starts it
    assert (model.head[1].weight == 1).all()
    for name, tensor in model.twin["vision"].state_dict().items():
        assert torch.equal(tensor, model.clip.vision_model.state_dict()[name])
    assert torch.equal(model.twin["projection"].weight, model.clip.visual_projection.weight)
    positions = model.twin["vision"].embeddings.position_ids  # a buffer that is never saved
    assert torch.equal(positions, torch.arange(positions.shape[-1])[None])


def is_frozen_where_it_says(model):
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    named = ("twin.", "clip.text_model.embeddings.", "clip.logit_scale")
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith(named)}
    assert "head.0.weight" not in frozen


def test_from_a_config(clip_config):
    model, _ = make(ToyModel, ToyConfig, {}, clip_config)
    is_right_at_the_start(model)
    is_frozen_where_it_says(model)


def test_from_a_plain_clip(clip_config, tmp_path, poisoned):
    model = ToyModel.from_pretrained(plain_clip(clip_config, tmp_path))
    is_right_at_the_start(model)
    is_frozen_where_it_says(model)


REMEMBERED = ("queue.", "moments.", "twin.")


def test_what_was_learnt_is_published_and_what_is_remembered_stays(clip_config, tmp_path, poisoned):
    model, _ = make(ToyModel, ToyConfig, {}, clip_config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not name.startswith("clip."):
                tensor.add_(3 if tensor.dtype == torch.long else torch.rand(tensor.shape, dtype=tensor.dtype))
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert model.memory().keys() == {name for name in saved if name.startswith(REMEMBERED)}
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == saved.keys() - model.memory().keys()
    loaded, report = ToyModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert (loaded.queue.rows == 0.25).all()
    for name, tensor in loaded.twin["vision"].state_dict().items():
        assert torch.equal(tensor, model.clip.vision_model.state_dict()[name])
    loaded.resume_run({name: saved[name] for name in model.memory()})
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == saved[name].dtype
        assert torch.equal(tensor, saved[name]), name
    assert (loaded.queue.scratch == 7).all()
    is_frozen_where_it_says(loaded)


def test_only_what_was_remembered_is_remembered_again(clip_config):
    model, _ = make(ToyModel, ToyConfig, {}, clip_config)
    memory = model.memory()
    for wrong, sentence in (
        ({**memory, "queue.more": torch.zeros(1)}, "queue.more is not in both"),
        ({name: tensor for name, tensor in memory.items() if name != "moments.mean"}, "moments.mean is not in both"),
        ({**memory, "queue.rows": torch.zeros(2, 2)}, "size mismatch for queue.rows"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.resume_run(wrong)


@of_every_method
def test_no_method_leaves_anything_uninitialised(cls, config_cls, fields, clip_config, tmp_path, poisoned):
    folder = plain_clip(clip_config, tmp_path)
    model = cls.from_pretrained(folder, config=config_cls.from_pretrained(folder, **fields))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.isfinite(tensor).all(), name
        assert (tensor != -(2**40)).all(), name


def test_a_run_with_all_kinds_of_state_resumes_exactly(clip_config, processor, pairs, tmp_path):
    """Queue, moments, heads and twin under the trainer, which knows none of them; nothing copies `forward`."""
    runs = []
    for name in ("whole", "resumed"):
        model, _ = make(ToyModel, ToyConfig, {"queue_size": 40}, clip_config)
        arguments = NoisyITMArguments(
            output_dir=str(tmp_path / name), per_device_train_batch_size=16, learning_rate=1e-3, max_steps=5, seed=5,
            gradient_accumulation_steps=2, save_strategy="steps", save_steps=2, logging_steps=1, disable_tqdm=True,
        )  # fmt: skip
        trainer = NoisyITMTrainer(model, arguments, pairs, None, processor)
        trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2") if runs else None)
        runs.append(trainer)
    whole, resumed = (run.model for run in runs)
    assert whole.queue.pointer == 9 * 16  # every micro-batch: seven an epoch, so the fourth step has but one
    assert all("spread" in entry for entry in runs[0].state.log_history if "loss" in entry)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    is_frozen_where_it_says(resumed)


def test_tensors_that_nobody_starts_are_refused(clip_config):
    class Forgetful(ToyModel):
        def _build(self, config):
            super()._build(config)
            self.register_buffer("seen", torch.zeros(()))

    with pytest.raises(TypeError, match=r"Forgetful holds seen but has no reset\(\)"):
        make(Forgetful, ToyConfig, {}, clip_config)


def test_freezing_what_is_not_there_is_refused(clip_config):
    class Misspelt(ToyModel):
        frozen = ("clip.logit_scal",)

    with pytest.raises(TypeError, match=r"freezes 'clip\.logit_scal', which has no parameters"):
        make(Misspelt, ToyConfig, {}, clip_config)


def test_torch_starts_its_layers_by_functions_that_spare_what_was_loaded():
    """`reset_parameters` must go through `nn.init`, which transformers guards; else it would overwrite loaded rows."""
    assert {"kaiming_uniform_", "uniform_", "ones_", "zeros_", "normal_"} <= set(TORCH_INIT_FUNCTIONS)


def test_an_unknown_field_is_an_error_that_names_the_nearest():
    with pytest.raises(InputError, match="NPCConfig has no field 'clean_treshold' .did you mean 'clean_threshold'"):
        NPCConfig(clean_treshold=0.99)
    with pytest.raises(InputError, match=r"has no field 'qqqq'\.$"):
        NPCConfig(qqqq=1)
    assert NPCConfig(clean_threshold=0.99, attn_implementation="eager").clean_threshold == 0.99


def test_a_stored_config_of_another_time_loads(clip_config, tmp_path):
    clip_config.of_another_time = 3
    folder = plain_clip(clip_config, tmp_path)
    model = NPCModel.from_pretrained(folder, clean_threshold=0.75)
    assert model.config.clean_threshold == 0.75
    assert model.config.of_another_time == 3
    again = NPCConfig.from_dict(model.config.to_dict())
    assert again.to_dict() == model.config.to_dict()
    assert METHODS["npc"][1] is NPCConfig
