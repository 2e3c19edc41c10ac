import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch

from hf_noisy_itm import InputError, PairCollator, scoring
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.methods import BaselineConfig, BaselineModel
from hf_noisy_itm.scoring import noise_cosines, score_pairs_once

from .methods.table import METHODS
from .methods.test_contract import make
from .test_trainer import make_trainer

ROOT = Path(__file__).parent.parent


@pytest.fixture
def scorer(clip_config):
    return make(BaselineModel, BaselineConfig, {}, clip_config)[0]


@pytest.fixture
def encodings(monkeypatch):
    """How often a whole data set was embedded."""
    calls, encode = [], scoring.encode
    monkeypatch.setattr(scoring, "encode", lambda *args: (calls.append(1), encode(*args))[1])
    return calls


def test_scores_are_made_once_for_the_same_pairs_and_weights(scorer, processor, pairs, tmp_path, encodings):
    first = score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path)
    again = score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path)
    assert len(encodings) == 1
    assert torch.equal(first.cosine, again.cosine)
    assert (first.levels, first.provenance) == (again.levels, again.provenance)
    assert len(list(tmp_path.iterdir())) == 1
    with torch.no_grad():
        scorer.clip.text_projection.weight[0, 0] += 1
    assert not torch.equal(score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path).cosine, first.cosine)
    moved = replace(pairs, captions=[*pairs.captions[1:], pairs.captions[0]])
    score_pairs_once(scorer, PairCollator(processor, moved), tmp_path)
    assert len(encodings) == 3


def test_heads_that_nothing_has_trained_are_not_asked(clip_config, processor, pairs, tmp_path):
    cls, config_cls, fields = METHODS["mrl"]
    fields = fields | {"trust": "osa"}
    trainer = make_trainer(cls, config_cls, fields, clip_config, processor, pairs, tmp_path)
    model = trainer.model
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer.begin_epoch(0)
    plain, _ = make(BaselineModel, BaselineConfig, {}, clip_config)
    plain.clip.load_state_dict(model.clip.state_dict())
    wanted = score_pairs_once(plain.to(model.device), trainer.data_collator)
    torch.testing.assert_close(trainer.memory.trust.cosine, wanted.cosine)
    assert trainer.memory.trust.levels == pytest.approx(wanted.levels, abs=1e-6)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_other_pixels_under_the_same_captions_are_scored_anew(scorer, processor, pairs, tmp_path, encodings):
    score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path)
    order = [1, 0, *range(2, 24)]
    swapped = replace(pairs, pictures=pairs.pictures.select(order))
    assert swapped.fingerprint == pairs.fingerprint  # which does not look at pixels
    score_pairs_once(scorer, PairCollator(processor, swapped), tmp_path)
    assert len(encodings) == 2


def test_a_broken_file_is_made_anew_and_without_a_folder_none_is_kept(scorer, processor, pairs, tmp_path, encodings):
    whole = score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"cut sh")
    assert torch.equal(score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path).cosine, whole.cosine)
    assert len(file.read_bytes()) > 6
    score_pairs_once(scorer, PairCollator(processor, pairs))
    assert len(encodings) == 3


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_run(
    scorer, processor, pairs, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("no folder")
    told = []
    monkeypatch.setattr(scoring.logger, "warning", told.append)
    scores = score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path / "file" / "cache")
    assert len(scores.cosine) == len(pairs)
    assert any("cannot be written" in sentence and "are not kept" in sentence for sentence in told)


def test_one_process_of_a_node_writes(scorer, processor, pairs, tmp_path):
    second = Exchange()
    second.first_of_node = False
    score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path, exchange=second)
    assert not list(tmp_path.iterdir())


def test_scores_of_another_number_of_pairs_are_made_anew(scorer, processor, pairs, tmp_path, encodings):
    whole = score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path)
    (file,) = tmp_path.iterdir()
    replace(whole, cosine=whole.cosine[:-1]).save(file)
    assert len(score_pairs_once(scorer, PairCollator(processor, pairs), tmp_path).cosine) == len(pairs)
    assert len(encodings) == 2


def test_noise_is_the_same_each_time_and_moves_no_global_generator(scorer, processor, pairs):
    collator = PairCollator(processor, pairs)
    state, was_training = torch.get_rng_state(), scorer.training
    one, other = noise_cosines(scorer, collator), noise_cosines(scorer, collator)
    assert torch.equal(one, other)
    assert (one.abs() <= 1 + 1e-5).all()
    assert len(one.unique()) > 100
    assert torch.equal(state, torch.get_rng_state())
    assert scorer.training == was_training


def run(*words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["recipes/train.py", *map(str, words)])
    runpy.run_path("recipes/train.py", run_name="__main__")


SMALL = [
    "recipes/osa/scenes_noise40.yaml",
    "--max_train_pictures",
    "24",
    "--max_eval_pictures",
    "12",
    "--max_steps",
    "2",
]
SMALL += ["--per_device_train_batch_size", "16", "--disable_tqdm", "true"]


def test_a_recipe_says_who_scored_and_keeps_the_scores(monkeypatch, tmp_path):
    words = [*SMALL, "--score_cache", tmp_path / "cache", "--trust_form", "paper"]
    run(*words, "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    trust = metrics["trust"]
    assert (trust["scorer"]["model"], trust["scorer"]["steps"]) == ("scenes-clip", 0)
    assert trust["cosine"]["auc"] > 0.95
    assert metrics["weights"]["auc"] > 0.9
    assert metrics["method_config"] == {"trust_form": "paper"}
    assert (tmp_path / "run" / "pair_scores.safetensors").exists()
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_recipe_with_heads_scores_by_the_clip_that_they_stand_on(monkeypatch, tmp_path):
    rows = [draw_row("street", (0, 1, 0), row) | {"label": "abc"[row % 3]} for row in range(24)]
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    table.to_parquet(str(tmp_path / "pairs.parquet"))
    words = [
        "recipes/mrl/own_pairs.yaml",
        *SMALL[1:],
        "--model",
        "scenes-clip",
        "--dataset",
        tmp_path / "pairs.parquet",
    ]
    words += ["--trust", "osa", "--noise_rate", "0.4", "--dataloader_num_workers", "0", "--score_cache", tmp_path]
    run(*words, "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["trust"]["cosine"]["auc"] > 0.95


def test_a_scorer_may_look_at_the_pairs_first(monkeypatch, tmp_path):
    words = [*SMALL, "--method", "npc", "--trust", "osa", "--scorer", "scenes-clip", "--scorer_steps", "2"]
    words += ["--clean_threshold", "0.5", "--score_cache", tmp_path / "cache"]
    run(*words, "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["trust"]["scorer"]["steps"] == 2
    assert (tmp_path / "run" / "scorer" / "model.safetensors").exists()
    own = (tmp_path / "run" / "scorer" / "model.safetensors").read_bytes()
    bundled = (ROOT / "hf_noisy_itm" / "assets" / "scenes-clip" / "model.safetensors").read_bytes()
    assert own != bundled


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "baseline", "--scorer", "scenes-clip"], "BaselineModel asks for no scorer: give --trust osa"),
        (["--scorer", "./no-such"], "There is no model folder"),
        (["--scorer_steps", "-1"], "scorer_steps must be at least 0, got -1"),
        (["--trust", "all"], "trust"),
        (["--trust_form", "linear"], "invalid choice: 'linear'|Invalid choice"),
        (["--streaming", "true", "--noise_rate", "0"], "leave --streaming out"),
    ],
)
def test_what_does_not_go_together_ends_with_one_sentence(words, sentence, monkeypatch, capsys, tmp_path):
    import re

    with pytest.raises(SystemExit) as stop:
        run(*SMALL, *words, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(sentence, line)


def test_the_fields_of_the_recipes_are_fields():
    for path in sorted((ROOT / "recipes" / "osa").glob("*.yaml")):
        assert parse_recipe([str(path), "--output_dir", "x"]).name == "osa"
    with pytest.raises(InputError, match="trust_form"):
        parse_recipe([str(path), "--trust_from", "paper"])
