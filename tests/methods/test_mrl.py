import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, CLIPModel
from transformers.utils import find_labels

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.data import FeatureProcessor, FeatureRows, Labels
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.methods import MRLConfig, MRLModel

from ..functional.test_categories import naive_contrast
from .table import METHODS
from .test_contract import make, make_batch

WIDTHS = {"image": 6, "text": 4, "sound": 3}
SMALL = {"class_names": ["a", "b", "c", "d"], "head_width": 8, "embed_width": 5}


def vectors(widths=WIDTHS, seed=0, **fields):
    torch.manual_seed(seed)
    return MRLModel(MRLConfig(**{**SMALL, "feature_widths": widths, **fields})).train()


def batch_of(widths=WIDTHS, size=7, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return {
        "features": {name: torch.randn(size, width, generator=rng) for name, width in widths.items()},
        "category": {name: torch.randint(4, (size,), generator=rng) for name in widths},
    }


def naive_losses(model, batch):
    """Eq. 2, 5, 7 and 8, sample by sample; the modalities' labels differ."""
    config = model.config
    names = list(model.modalities)
    embeds = torch.stack([model.embed_features(name, batch["features"][name]) for name in names]).detach()
    size = embeds.shape[1]
    contrast = naive_contrast(embeds, torch.arange(size), config.contrast_temperature, config.contrast_form, None, "")
    losses = []
    for j in range(size):
        clustering = 0.0
        for i, name in enumerate(names):
            scores = [
                math.exp(float(c @ embeds[i, j]) / config.proxy_temperature) for c in model.proxies.weight.detach()
            ]
            p = scores[int(batch["category"][name][j])] / sum(scores)
            clustering += math.log(1 - p) if config.clustering == "robust" else -math.log(p)
        losses.append(config.beta * clustering + (1 - config.beta) * float(contrast[:, j].sum()))
    return torch.tensor(losses)


@pytest.mark.parametrize("widths", [{"image": 6, "text": 4}, WIDTHS], ids=["two", "three"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"contrast_form": "paper", "contrast_temperature": 0.5},
        {"clustering": "cross_entropy", "beta": 0.9, "proxy_temperature": 0.2},
    ],
    ids=["as it stands", "printed", "cross-entropy"],
)
def test_losses_equal_a_slow_loop(widths, fields):
    model, batch = vectors(widths, **fields), batch_of(widths)
    output = model(**batch)
    torch.testing.assert_close(output.loss_per_pair, naive_losses(model, batch), rtol=1e-4, atol=1e-5)
    assert output.loss.item() == pytest.approx(naive_losses(model, batch).mean().item(), rel=1e-4)
    assert {name: value.shape for name, value in output.report.items()} == {"clustering": (), "contrast": ()}


def test_the_ablations_leave_parts_out():
    batch = batch_of()
    alone = vectors(beta=0.0)
    assert alone.proxies is None
    assert set(alone(**batch).report) == {"contrast"}
    assert set(vectors(beta=1.0)(**batch).report) == {"clustering"}
    del batch["category"]
    assert torch.isfinite(alone(**batch).loss)  # the contrastive loss knows no labels
    with pytest.raises(InputError, match="MRL needs labels"):
        vectors()(**batch)


def test_without_classes_only_the_contrastive_loss_is_there():
    assert vectors(class_names=None, beta=0.0).proxies is None
    with pytest.raises(InputError, match="MRL needs labels"):
        vectors(class_names=None)


def test_proxies_are_unit_rows_after_every_step_and_all_modalities_train_them():
    model = vectors()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for seed in range(4):
        optimizer.zero_grad()
        model(**batch_of(seed=seed)).loss.backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
        optimizer.step()
        assert (model.proxies.weight.norm(dim=1) - 1).abs().max() > 1e-3
        model.step()
        torch.testing.assert_close(model.proxies.weight.norm(dim=1), torch.ones(4))


def test_a_stored_model_of_vectors_is_the_same_to_the_last_bit(tmp_path):
    """A stored config has modalities in another order, and sums must not depend on it."""
    model = vectors({"zebra": 3, "image": 6, "text": 4})
    batch = batch_of({"zebra": 3, "image": 6, "text": 4})
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).train()
    assert torch.equal(loaded(**batch).loss, model(**batch).loss)
    assert not any(name.startswith("clip") for name, _ in loaded.named_parameters())
    assert "vision_config" not in (tmp_path / "config.json").read_text()


def test_clip_is_frozen_unless_it_is_to_be_trained(clip_config):
    trained = {}
    for name in ("mrl", "mrl-trained", "mrl-clip"):
        model, _ = make(*METHODS[name], clip_config)
        trained[name] = {part.split(".")[0] for part, each in model.named_parameters() if each.requires_grad}
        assert not model.clip.logit_scale.requires_grad
    assert trained == {
        "mrl": {"heads", "proxies"},
        "mrl-trained": {"clip", "heads", "proxies"},
        "mrl-clip": {"clip", "proxies"},
    }


def test_captions_of_one_picture_are_no_wrong_answers(clip_config, processor, pairs):
    """Rows 0 and 1 show one picture: moving one must not move the other's share of wrong answers."""
    batch = make_batch(processor, pairs, rows=(0, 1, 5, 10), entries=False)
    losses = {}
    for same_image in ("mask", "negative", "positive"):
        model, _ = make(MRLModel, MRLConfig, {"beta": 0.0, **SMALL, "same_image": same_image}, clip_config)
        losses[same_image] = model(**batch).loss_per_pair
    assert (losses["mask"][:2] < losses["negative"][:2]).all()
    assert (losses["positive"][:2] < losses["negative"][:2]).all()
    torch.testing.assert_close(losses["mask"][2:], losses["negative"][2:])


def test_accumulation_does_not_double_the_loss(clip_config, processor, pairs, tmp_path):
    """Trap T3: a batch with the key `labels` would make `Trainer` take the loss as scaled already."""
    batch = make_batch(processor, pairs)
    assert "labels" not in batch
    assert not find_labels(MRLModel)
    assert batch["category"].keys() == {"image", "text"}
    norms = {}
    for accumulation in (1, 2):
        model, _ = make(*METHODS["mrl"], clip_config)
        arguments = NoisyITMArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=120, gradient_accumulation_steps=accumulation,
            max_steps=1, logging_steps=1, save_strategy="no", disable_tqdm=True, learning_rate=0.0, seed=5,
            num_train_epochs=2, dataloader_drop_last=True,
        )  # fmt: skip
        trainer = NoisyITMTrainer(model, arguments, pairs, None, processor)
        trainer.train()
        norms[accumulation] = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry][0]
        loss = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][0]
        whole = trainer.model(**trainer.data_collator([pairs[row] for row in range(120)])).loss.item()
        assert loss == pytest.approx(whole, rel=1e-4)  # all pairs are one batch
    assert norms[1] == pytest.approx(norms[2], rel=1e-3)


def test_proxies_start_from_the_names_of_the_classes(clip_config, processor, tmp_path):
    torch.manual_seed(0)
    CLIPModel(clip_config).save_pretrained(tmp_path / "clip")
    processor.save_pretrained(tmp_path / "clip")
    fields = {"heads": "none", "train_clip": True, "start_proxies": "prompts", "prompt": "two {}", "beta": 0.5}
    facts = {"class_names": ["red cats", "blue dogs", "trees"]}
    model, processor = load_model(str(tmp_path / "clip"), "mrl", fields, facts)
    tokens = processor.tokenizer(["two red cats", "two blue dogs", "two trees"], padding=True, return_tensors="pt")
    wanted = model.embed_texts(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(model.proxies.weight, wanted)
    model.begin_run()  # forgets what an earlier training remembered, and these are no memory
    torch.testing.assert_close(model.proxies.weight, wanted)
    alone = MRLModel.from_pretrained(tmp_path / "clip", **fields, **facts)
    assert torch.equal(alone.proxies.weight, model.proxies.weight)
    with torch.no_grad():
        model.proxies.take(torch.eye(32)[:3])
    model.save_pretrained(tmp_path / "own")
    processor.save_pretrained(tmp_path / "own")
    again, _ = load_model(str(tmp_path / "own"), "mrl", {}, facts)
    assert torch.equal(again.proxies.weight, torch.eye(32)[:3])  # what was trained is not started anew
    with pytest.raises(InputError, match=r"class_names are \['red cats', 'blue dogs', 'trees'\], and those of these"):
        load_model(str(tmp_path / "own"), "mrl", {}, {"class_names": ["red cats"]})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"beta": 1.5}, "beta must be between 0 and 1"),
        ({"proxy_temperature": 0.0}, "temperatures above 0"),
        ({"head_width": 0}, "Widths must be at least 1"),
        ({"class_names": ["a"]}, "two different classes"),
        ({"class_names": ["a", "a"]}, "two different classes"),
        ({"negatives": "fne"}, "leave negatives='fne' out"),
        ({"heads": "none"}, "heads='none' does not go with train_clip=False: give train_clip=True too"),
        ({"heads": "none", "train_clip": True, "head_width": 8}, "With heads='none' there is no use for head_width=8"),
        ({"start_proxies": "prompts"}, "does not go with heads='mlp': give heads='none' too"),
        ({"heads": "none", "train_clip": True, "start_proxies": "prompts", "prompt": "a photo"}, "names its class at"),
        ({"prompt": "a sketch of {}."}, "With start_proxies='orthogonal' there is no use for prompt"),
        ({"beta": 0.0, "clustering": "cross_entropy"}, "With beta=0.0 there is no use for clustering"),
        ({"beta": 1.0, "contrast_form": "paper"}, "With beta=1.0 there is no use for contrast_form"),
        ({"feature_widths": {"image": 3}}, "two modalities or more"),
        ({"feature_widths": {"image": 3, "text": 0}}, "width 1 or more"),
        ({"feature_widths": {"image": 3, "items": 2}}, "cannot be called 'items'"),
        ({"feature_widths": {"training": 3, "class": 2}}, "cannot be called 'training'"),
        ({"feature_widths": {"image": 3, "a.b": 2}}, r"cannot be called 'a\.b'"),
        ({"feature_widths": {"image": 3, "text": 2}, "train_clip": True}, "have no CLIP"),
        ({"feature_widths": {"image": 3, "text": 2}, "trust": "osa"}, "leave trust='osa' out"),
    ],
)
def test_fields_that_do_not_go_together_get_one_sentence(fields, sentence):
    with pytest.raises(StrictDataclassError, match=sentence):
        MRLConfig(**{"class_names": ["a", "b"], **fields})


def rows_of_vectors(size=60, noisy=True, seed=0):
    """Four classes of vectors in two modalities, every third label wrong."""
    rng = torch.Generator().manual_seed(seed)
    true = torch.arange(size) % 4
    widths = {"image": 6, "text": 4}
    centres = {
        name: torch.randn(4, width, generator=torch.Generator().manual_seed(9)) for name, width in widths.items()
    }
    features = {
        name: (centres[name][true] + 0.3 * torch.randn(size, width, generator=rng)).numpy()
        for name, width in widths.items()
    }
    given = {name: true.clone().numpy() for name in widths}
    if noisy:
        given["image"][::3] = (given["image"][::3] + 1) % 4
        given["text"][1::3] = (given["text"][1::3] + 2) % 4
    return FeatureRows(features, Labels(SMALL["class_names"], given, dict.fromkeys(widths, true.numpy())))


def trainer_of(folder, train, held_out=None, **more):
    model = vectors({"image": 6, "text": 4}, beta=0.5)
    arguments = NoisyITMArguments(
        output_dir=str(folder), per_device_train_batch_size=10, learning_rate=3e-3, logging_steps=1, disable_tqdm=True,
        seed=5, **{"save_strategy": "no", "max_steps": 9, **more},
    )  # fmt: skip
    return NoisyITMTrainer(model, arguments, train, held_out, FeatureProcessor.of(train))


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("save_steps", [4, 6])
def test_a_run_on_vectors_resumes_exactly(tmp_path, save_steps):
    """Six steps an epoch. Proxies, heads and the noisy labels, which a checkpoint knows by their hash."""
    rows = rows_of_vectors()
    whole = trainer_of(tmp_path / "whole", rows, save_strategy="steps", save_steps=save_steps)
    whole.train()
    resumed = trainer_of(tmp_path / "resumed", rows)
    checkpoint = str(tmp_path / "whole" / f"checkpoint-{save_steps}")
    resumed.train(resume_from_checkpoint=checkpoint)
    assert losses_of(resumed) == losses_of(whole)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    stored = FeatureProcessor.from_pretrained(checkpoint)
    assert all((stored.mean[name] == FeatureProcessor.of(rows).mean[name]).all() for name in stored.mean)
    with pytest.raises(InputError, match="other training pairs"):
        trainer_of(tmp_path / "other", rows_of_vectors(noisy=False)).train(resume_from_checkpoint=checkpoint)


def test_training_on_noisy_labels_finds_the_classes(tmp_path):
    held_out = rows_of_vectors(40, noisy=False, seed=3)
    trainer = trainer_of(tmp_path, rows_of_vectors(), held_out, max_steps=60)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert set(after) >= {"eval_i2t_map", "eval_t2i_map", "eval_map"}
    assert "eval_rsum" not in after
    assert after["eval_map"] > max(80, before["eval_map"])


def test_vectors_and_pictures_are_not_confused(clip_config, processor, pairs, tmp_path):
    arguments = NoisyITMArguments(output_dir=str(tmp_path))
    model, _ = make(*METHODS["mrl"], clip_config)
    rows = rows_of_vectors()
    with pytest.raises(InputError, match="was made for pictures and captions here, and the data are vectors"):
        NoisyITMTrainer(model, arguments, rows, None, processor)
    with pytest.raises(InputError, match="was made for vectors here, and the data are pictures and captions"):
        NoisyITMTrainer(vectors(), arguments, pairs, None, FeatureProcessor.of(rows))
    other = FeatureProcessor.of(rows)
    other.mean["image"] = other.mean["image"][:5]
    with pytest.raises(InputError, match=r"widths \{'image': 6, 'text': 4\}, and the model takes \{'image': 5"):
        NoisyITMTrainer(vectors({"image": 5, "text": 4}), arguments, rows, None, other)
    with pytest.raises(InputError, match="was made for vectors, and the data are pictures"):
        vectors()(**make_batch(processor, pairs, entries=False))


def with_adapters(clip_config, name, **more):
    model, _ = make(*METHODS[name], clip_config)
    return model, get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], **more))


def test_heads_that_nobody_would_train_are_refused(clip_config, processor, pairs, tmp_path):
    """PEFT freezes all that it is put around, and there would be random heads in the end."""
    arguments = NoisyITMArguments(output_dir=str(tmp_path), max_steps=1, disable_tqdm=True)
    for name, first in (("mrl", r"heads\.image\.0\.weight"), ("mrl-clip", r"proxies\.weight")):
        _, adapted = with_adapters(clip_config, name)
        with pytest.raises(InputError, match=f"{first} for one, are as they started and frozen"):
            NoisyITMTrainer(adapted, arguments, pairs, pairs, processor)
    model, _ = make(*METHODS["mrl"], clip_config)
    model.heads.requires_grad_(False)
    with pytest.raises(InputError, match="12 parameters, heads"):
        NoisyITMTrainer(model, arguments, pairs, pairs, processor)
    NoisyITMTrainer(model, arguments, None, pairs, processor)  # to look at it


def test_heads_that_were_trained_may_be_frozen(clip_config, processor, pairs, tmp_path):
    model, _ = make(*METHODS["mrl-trained"], clip_config)
    arguments = NoisyITMArguments(output_dir=str(tmp_path), max_steps=1, save_strategy="no", disable_tqdm=True)
    NoisyITMTrainer(model, arguments, pairs, pairs, processor).train()
    model.save_pretrained(tmp_path / "model")
    for each in (model, MRLModel.from_pretrained(tmp_path / "model")):
        each.heads.requires_grad_(False)
        assert each.idle() == []


def test_adapters_train_the_clip_beside_its_proxies(clip_config, processor, pairs, tmp_path):
    model, adapted = with_adapters(clip_config, "mrl-clip", modules_to_save=["proxies"])
    before = model.proxies.weight.detach().clone()
    arguments = NoisyITMArguments(
        output_dir=str(tmp_path), max_steps=2, learning_rate=1e-2, save_strategy="no", disable_tqdm=True
    )
    NoisyITMTrainer(adapted, arguments, pairs, pairs, processor).train()
    assert not torch.allclose(model.proxies.weight, before.to(model.device))
    torch.testing.assert_close(model.proxies.weight.norm(dim=1).cpu(), torch.ones(len(before)))
    merged = adapted.merge_and_unload()
    assert not torch.allclose(merged.proxies.weight.cpu(), before)
