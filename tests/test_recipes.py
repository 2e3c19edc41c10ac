"""The scripts as a user runs them, on the smallest scale."""

import json
import os
import re
import runpy
import shlex
import shutil
import sys
from itertools import permutations
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, CLIPModel

from hf_noisy_itm import InputError, NPCConfig
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.loading import load_model

from .processes import run as run_command

ROOT = Path(__file__).parent.parent
SMALL = ["--max_train_pictures", "24", "--max_eval_pictures", "12", "--max_steps", "2", "--logging_steps", "1"]
SMALL += ["--per_device_train_batch_size", "16", "--disable_tqdm", "true"]


def run(script, *words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"recipes/{script}", *map(str, words)])
    runpy.run_path(f"recipes/{script}", run_name="__main__")


def test_training_leaves_a_model_that_loads_three_ways(monkeypatch, tmp_path):
    run("train.py", "recipes/npc/scenes_noise40.yaml", *SMALL, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["method"] == "npc"
    assert metrics["noise"]["nominal"] == 0.4
    assert 0 < metrics["noise"]["realised"] <= 0.4
    assert 0 <= metrics["metrics"]["rsum"] <= 600
    assert metrics["bank"]["pairs"] == 120
    pixels = torch.rand(2, 3, 48, 48)
    embeds = [
        loaded.get_image_features(pixel_values=pixels).pooler_output
        for loaded in (CLIPModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path).clip)
    ]
    assert torch.equal(*embeds)


def commands_of(method):
    """The commands of a method's block in docs/methods.md, without remarks, as lists of words."""
    block = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").split(f"\n## {method}\n")[1].split("```")[1]
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("python recipes/")]


NPC_COMMANDS = commands_of("NPC")
OTHER_COMMANDS = [words for words in commands_of("FNE") + commands_of("OSA") if "emoji" not in words[1]]
NPC_DATA = ["--max_train_pictures", "24", "--max_eval_pictures", "12"]


def test_the_page_shows_each_form_of_npc():
    forms = [parse_recipe(words[1:]) for words in NPC_COMMANDS if words[0] == "recipes/train.py"]
    given = {name for form in forms for name in form.method} | {"bank" for form in forms if form.run.bank}
    assert {"virtual_step", "virtual_blocks", "impact_every", "bank_share", "exclude_self", "variant", "bank"} <= given


@pytest.mark.parametrize("words", NPC_COMMANDS, ids=lambda words: " ".join(words[1:]))
def test_what_the_page_says_of_npc_works_as_it_stands(words, monkeypatch, tmp_path):
    """On fewer pairs, for two steps; the bank of the last but one command is that of the last."""
    script, *words = words
    own = [str(tmp_path / word) if word == "bank.safetensors" else word for word in words]
    if script == "recipes/build_bank.py":
        run("build_bank.py", *own, *NPC_DATA, monkeypatch=monkeypatch)
        assert (tmp_path / "bank.safetensors").exists()
        return
    if "--bank" in words:
        (builder,) = [each[1:] for each in NPC_COMMANDS if each[0] == "recipes/build_bank.py"]
        path = str(tmp_path / "bank.safetensors")
        builder = [path if word == "bank.safetensors" else word for word in builder]
        run("build_bank.py", *builder, *NPC_DATA, monkeypatch=monkeypatch)
    run("train.py", *own, *SMALL, "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    config = NPCConfig.from_pretrained(tmp_path / "run")
    given = {
        word[2:]: words[place + 1] for place, word in enumerate(words) if word.startswith("--") and word != "--bank"
    }
    for name, word in given.items():
        assert str(getattr(config, name)).lower() == word
    assert metrics["bank"]["pairs"] == 120
    assert metrics["weights"]["pairs"] == 32


@pytest.mark.parametrize("words", OTHER_COMMANDS, ids=lambda words: " ".join(words[1:]))
def test_what_the_page_says_of_others_works_as_it_stands(words, monkeypatch, tmp_path):
    run("train.py", *words[1:], *SMALL, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["rsum"] >= 0


MRL_COMMANDS = [words for words in commands_of("MRL") if words[1] == "recipes/mrl/own_pairs.yaml"]


@pytest.mark.parametrize("words", [words for words in MRL_COMMANDS if "--feature_columns" in words])
def test_what_the_page_says_of_vectors_works_as_it_stands(words, monkeypatch, tmp_path):
    """On three modalities of several widths, each with labels of its own."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 12), ("test", 10)):
        columns = {}
        for name, width in (("image", 5), ("text", 3), ("sound", 4)):
            columns[f"{name}_features"] = rng.normal(size=(count, width)).tolist()
            columns[f"{name}_label"] = ["abc"[row % 3] for row in range(count)]
        datasets.Dataset.from_dict(columns).to_parquet(str(tmp_path / "vectors" / f"{split}.parquet"))
    own = [str(tmp_path / word) if word == "vectors" else word for word in words[1:]]
    own += [*SMALL, "--head_width", "8", "--output_dir", tmp_path / "run"]
    run("train.py", *own, "--dataloader_num_workers", "0", monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    ways = {f"{one}2{other}_map" for one, other in permutations("its", 2)}
    assert metrics["test"].keys() == {*ways, "map"}


@pytest.mark.parametrize("words", [words for words in MRL_COMMANDS if "--feature_columns" not in words])
def test_what_the_page_says_of_labels_works_as_it_stands(words, monkeypatch, tmp_path):
    """On the bundled CLIP, and a file of pictures with captions and a class."""
    rows = [draw_row("street", (0, 1, 0), row) | {"label": "abc"[row % 3]} for row in range(24)]
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    table.to_parquet(str(tmp_path / "pairs.parquet"))
    own = [str(tmp_path / word) if word == "pairs.parquet" else word for word in words[1:]]
    own += [*SMALL, "--model", "scenes-clip", "--dataloader_num_workers", "0", "--output_dir", tmp_path / "run"]
    run("train.py", *own, monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"rsum", "map"} <= metrics["metrics"].keys()
    seen = [json.loads(path.read_text()) for path in (tmp_path / "run").glob("checkpoint-*/trainer_state.json")]
    assert [state["best_metric"] for state in seen] == [pytest.approx(metrics["metrics"]["map"])]  # that one is kept
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["class_names"] == ["a", "b", "c"]
    assert (config["heads"], config["train_clip"]) == (("none", True) if "none" in own else ("mlp", False))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--dataset", "no/such.parquet"], "There is no file"),
        (["--model", "./no-such-model"], "There is no model folder"),
        (["--lerning_rate", "1"], "did you mean 'learning_rate'"),
        (["--dataset_config", "beach"], "'beach' not found. Available: ['studio', 'street', 'crowded']"),
        (["--per_device_train_batch_size", "4000"], "a batch takes 4000"),
        (["--noise_rate", "1.5"], "between 0 and 1"),
        (["--noise_rate", "nan"], "between 0 and 1"),
        (["--noise_seed", "-1"], "noise_seed must not be negative"),
        (["--output_dir", "README.md"], "is a file; give a folder"),
        (["--resume_from_checkpoint", "true"], "There is no checkpoint in"),
        (
            ["--resume_from_checkpoint", "nowhere"],
            "There is no checkpoint nowhere to resume from: it lacks model.safetensors",
        ),
        (["--eval_split", "train"], "both 'train'"),
        (["--caption_column", "alt"], "no column 'alt'; there are image, captions"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_status_2(words, sentence, monkeypatch, capsys, tmp_path):
    words = ["recipes/baseline/scenes_noise40.yaml", *SMALL, "--output_dir", tmp_path, *words]
    with pytest.raises(SystemExit) as stop:
        run("train.py", *words, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert [line for line in error.splitlines() if line.startswith("error: ")][-1]


def test_pretraining_makes_a_clip_with_its_own_tokenizer(monkeypatch, tmp_path):
    words = ["--dataset_config", "studio", "--image_layers", "1", "--text_layers", "1", "--width", "32"]
    run("pretrain.py", *words, *SMALL, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "clip"
    assert CLIPModel.from_pretrained(tmp_path).config.projection_dim == 32


def test_two_processes_take_the_steps_of_one_and_find_what_it_finds(tmp_path):
    """Same global batch, so the same weights; neither 37 pictures nor the fourth batch, of 24, are shared evenly."""
    words = ["recipes/train.py", "recipes/npc/scenes_noise40.yaml", *SMALL, "--max_steps", "5"]
    words += ["--max_eval_pictures", "37", "--per_device_eval_batch_size", "8", "--report", "true"]
    words += ["--dataloader_drop_last", "false"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    weights, figures, reports = {}, {}, {}
    two = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu.yaml"]
    for name, launcher, batch in (("one", [sys.executable], "32"), ("two", two, "16")):
        command = [*launcher, *words, "--per_device_train_batch_size", batch, "--output_dir", str(tmp_path / name)]
        done = run_command(command, 300, environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("in 2 processes" in done.stdout) == (name == "two")
        weights[name] = load_file(tmp_path / name / "model.safetensors")
        figures[name] = json.loads((tmp_path / name / "metrics.json").read_text())["metrics"]
        reports[name] = pd.read_parquet(tmp_path / name / "noise_report" / "scores.parquet")
    for key, tensor in weights["one"].items():
        torch.testing.assert_close(weights["two"][key], tensor, atol=1e-5, rtol=1e-4, msg=key)
    for name, figure in figures["one"].items():
        assert figures["two"][name] == (pytest.approx(figure, abs=1e-4) if name == "loss" else figure), name
    for signal in ("cosine", "loss", "training_weight"):  # others count neighbours, of which some stand equally near
        assert reports["two"][signal].to_numpy() == pytest.approx(reports["one"][signal].to_numpy(), abs=1e-4), signal


STREAM = ["--streaming", "true", "--shuffle_buffer", "16", "--max_steps", "3", "--noise_rate", "0"]


@pytest.mark.slow  # starts two processes, for what test_stream.py checks with sharing out alone
def test_a_stream_is_trained_on_in_two_processes(tmp_path):
    """Batches of eight from 24 pictures of five captions in three shards, shared out as whole rows."""
    rows = datasets.Dataset.from_list([draw_row("street", (0, 1, 0), row) for row in range(24)])
    for name, part in (
        ("train-0", range(8)),
        ("train-1", range(8, 16)),
        ("train-2", range(16, 20)),
        ("test", range(20, 24)),
    ):
        rows.select(part).cast_column("image", datasets.Image()).to_parquet(str(tmp_path / "data" / f"{name}.parquet"))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu.yaml"]
    command += ["recipes/train.py", "--model", "scenes-clip", "--dataset", str(tmp_path / "data")]
    command += [*SMALL, *STREAM, "--per_device_train_batch_size", "8", "--output_dir", str(tmp_path / "run")]
    done = run_command(command, 300, {**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert "on a stream of pairs, in 2 processes" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["pairs"]["train"] is None
    assert 0 <= metrics["metrics"]["rsum"] <= 600
    assert "streamed, so neither counted" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize(
    ("recipe", "words", "sentence"),
    [
        ("npc", [], "leave --streaming out"),
        ("baseline", ["--max_steps", "-1"], "A stream has no end"),
        ("baseline", ["--noise_rate", "0.4"], "leave noise_rate and the like out"),
    ],
)
def test_what_a_stream_cannot_serve_ends_with_one_sentence(recipe, words, sentence, monkeypatch, capsys, tmp_path):
    words = [f"recipes/{recipe}/scenes_noise40.yaml", *SMALL, *STREAM, *words, "--output_dir", tmp_path]
    with pytest.raises(SystemExit):
        run("train.py", *words, monkeypatch=monkeypatch)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "model.safetensors cannot be read"),
        (lambda folder: drop_weights(folder / "model.safetensors", "vision_model"), "lacks .* of CLIP's weights"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot spell a word|cannot be loaded"),
        (lambda folder: edit_config(folder / "config.json", model_type="bert"), "of type 'bert', not a CLIP"),
        (lambda folder: edit_config(folder / "config.json", projection_dim=7), "lacks|do not belong together"),
    ],
    ids=["truncated", "half", "mute", "foreign", "shape"],
)
def test_a_broken_model_is_refused_and_not_trained(spoil, sentence, tmp_path):
    folder = shutil.copytree(ROOT / "hf_noisy_itm" / "assets" / "scenes-clip", tmp_path / "model")
    load_model(str(folder), "npc")
    spoil(folder)
    with pytest.raises(InputError, match=sentence) as error:
        load_model(str(folder), "npc")
    assert "\n" not in str(error.value)


def drop_weights(path, prefix):
    save_file({name: value for name, value in load_file(path).items() if not name.startswith(prefix)}, path)


def edit_config(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def broken_parquet(folder):
    """Twelve pictures, the eighth cut short, and the concept that selects half of them."""
    rows = [draw_row("street", (0, 1, 0), row) for row in range(12)]
    rows[8]["image"] = {"bytes": rows[8]["image"]["bytes"][:300], "path": None}
    table = datasets.Dataset.from_list([{**row, "kind": "ab"[number % 2]} for number, row in enumerate(rows)])
    table.to_parquet(str(folder / "pairs.parquet"))
    return str(folder / "pairs.parquet")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_broken_picture_is_named_by_its_row_in_the_file(workers, monkeypatch, capsys, tmp_path):
    words = ["--dataset", broken_parquet(tmp_path), "--where", "kind=a", "--holdout_every", "3", "--max_steps", "2"]
    words += ["--per_device_train_batch_size", "20", "--dataloader_num_workers", workers, "--disable_tqdm", "true"]
    with pytest.raises(SystemExit) as stop:
        run("train.py", *words, "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    assert stop.value.code == 2
    assert "error: The picture in row 8 does not decode" in capsys.readouterr().err


def test_a_broken_picture_can_be_skipped(monkeypatch, capsys, tmp_path):
    words = ["--dataset", broken_parquet(tmp_path), "--on_bad_row", "skip", "--max_steps", "1"]
    words += ["--per_device_train_batch_size", "20", "--disable_tqdm", "true", "--output_dir", tmp_path / "run"]
    run("train.py", *words, monkeypatch=monkeypatch)
    assert re.search(r"picture\(s\) that do not decode +1 +0 +left out +training 8\n", capsys.readouterr().out)
