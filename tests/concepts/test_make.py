import json
import logging
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hf_noisy_itm import InputError
from hf_noisy_itm.concepts import make_concepts, parse_concepts, told
from hf_noisy_itm.concepts.vocabulary import STOP_WORDS
from hf_noisy_itm.data import DataArguments, load_pairs, load_test
from hf_noisy_itm.files import sha256_of_file
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.memory.concepts import Concepts
from hf_noisy_itm.memory.scores import weights_sha256
from hf_noisy_itm.methods import CODERConfig

ROOT = Path(__file__).parent.parent.parent
DATA = ["--dataset", "scenes", "--max_train_pictures", "24", "--max_eval_pictures", "10"]
TRAIN = ["recipes/coder/scenes_noise40.yaml", *DATA, "--max_steps", "3", "--per_device_train_batch_size", "16"]
TRAIN += ["--disable_tqdm", "true", "--clusters", "8", "--queue_size", "40", "--logging_steps", "1"]


def run(script, *words, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"recipes/{script}", *map(str, words)])
    runpy.run_path(f"recipes/{script}", run_name="__main__")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    edges = folder / "edges.csv"
    edges.write_text("/r/RelatedTo\t/c/en/wall\t/c/en/street\n/r/RelatedTo\t/c/en/wall\t/c/en/brick\n")
    path = folder / "concepts.safetensors"
    (folder / "none.txt").write_text("\n".join([*STOP_WORDS, "Seen"]))
    words = ["scenes-clip", *DATA, "--edges", str(edges), "--prompt", "a {}", "--output", str(path)]
    words += ["--stop_words", str(folder / "none.txt")]
    concepts, pairs = make_concepts(*parse_concepts(words))
    return path, concepts, pairs


def test_the_file_says_what_it_is(built):
    path, concepts, pairs = built
    read = Concepts.read(path)
    assert read.words == concepts.words
    assert {"wall", "small", "two", "above"} <= set(read.words)
    facts = read.provenance
    assert facts["captions"] == pairs.caption_fingerprint
    assert facts["edges"] | {"sha256": None} == {
        "file": "edges.csv", "sha256": None, "edges": 1, "unknown": 1, "apart": 0,
    }  # fmt: skip
    assert "seen" not in read.words
    assert facts["stop_words"] == {"file": "none.txt", "sha256": sha256_of_file(path.parent / "none.txt")}
    one, other = (read.words.index(word) for word in ("wall", "street"))
    assert read.links[one, other] >= 0.5  # a weight of 1
    model, processor = load_model("scenes-clip")
    assert facts["scorer"] == {"model": "scenes-clip", "weights_sha256": weights_sha256(model.clip)}
    tokens = processor.tokenizer(f"a {read.words[7]}", return_tensors="pt")
    want = model.eval().embed_texts(tokens["input_ids"], tokens["attention_mask"])[0]
    torch.testing.assert_close(read.vectors[7], want, atol=1e-6, rtol=1e-5)
    summary = told(concepts, path)
    for words in (f"{len(read)} concepts of 120 captions", "edges with unknown nodes, ignored", "strongest ties: "):
        assert words in summary


def test_shuffled_captions_are_the_same_captions_and_damaged_ones_are_not(built):
    _, _, pairs = built
    same, other = (
        load_pairs(DataArguments(dataset="scenes", max_train_pictures=24, noise_rate=0.5, noise_kind=kind))[0]
        for kind in ("shuffle", "truncated")
    )
    assert same.fingerprint != pairs.fingerprint
    assert same.caption_fingerprint == pairs.caption_fingerprint != other.caption_fingerprint


def test_training_uses_the_file_and_chooses_on_validation_pairs(built, monkeypatch, tmp_path):
    run("train.py", *TRAIN, "--concepts", built[0], "--output_dir", tmp_path / "run", monkeypatch=monkeypatch)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    chosen = metrics["chosen"]
    tried = {float(name.removeprefix("rsum_at_")): value for name, value in chosen.items() if "rsum_at" in name}
    assert len(tried) == 21
    assert tried[chosen["instance_share"]] == max(tried.values())
    assert tried[chosen["instance_share"]] == pytest.approx(metrics["metrics"]["fused_rsum"])
    assert tried[1.0] == pytest.approx(metrics["metrics"]["rsum"])
    assert tried[0.0] == pytest.approx(metrics["metrics"]["concept_rsum"])
    assert {"rsum", "fused_rsum", "concept_rsum"} <= set(metrics["test"])
    model, processor = load_model(str(tmp_path / "run"))
    assert model.config.concept_words == built[1].words
    assert model.config.instance_share == chosen["instance_share"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "concepts" not in config
    assert config["concepts_sha256"] == sha256_of_file(built[0])
    assert config["concepts_made_from"] == built[1].provenance
    assert metrics["sources"] == {"concepts": {"sha256": sha256_of_file(built[0]), **built[1].provenance}}
    tokens = processor.tokenizer("two cats above a wall", return_tensors="pt")
    (found,) = model.concepts(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], k=3)
    assert len(found) == 3
    assert all(word in model.config.concept_words and 0 <= share <= 1 for word, share in found)
    run("evaluate.py", tmp_path / "run", *DATA, monkeypatch=monkeypatch)
    (figures,) = (json.loads(path.read_text()) for path in (tmp_path / "run").glob("evaluation-*.json"))
    assert figures["metrics"]["rsum"] == pytest.approx(metrics["test"]["rsum"])
    assert figures["views"]["fused"]["rsum"] == pytest.approx(metrics["test"]["fused_rsum"])


def test_the_share_of_both_branches_is_chosen_on_validation_pairs_and_never_on_those_that_are_reported(
    built, monkeypatch, tmp_path
):
    seen = []

    def best_share(one, other):
        assert one.fingerprint == other.fingerprint
        seen.append(one.fingerprint)
        return 0.35, {}

    monkeypatch.setattr("hf_noisy_itm.methods._coupled.best_share", best_share)
    recipe = (ROOT / TRAIN[0]).read_text()
    (tmp_path / "both.yaml").write_text(recipe)
    (tmp_path / "one.yaml").write_text("\n".join(line for line in recipe.splitlines() if "test_split" not in line))
    shares = {}
    for name in ("both", "one"):
        words = [tmp_path / f"{name}.yaml", *TRAIN[1:], "--max_steps", "1", "--concepts", built[0]]
        run("train.py", *words, "--output_dir", tmp_path / name, monkeypatch=monkeypatch)
        shares[name] = json.loads((tmp_path / name / "config.json").read_text())["instance_share"]
    splits = {"dataset": "scenes", "dataset_config": "street", "max_eval_pictures": 10, "max_train_pictures": 24}
    data = DataArguments(**splits, eval_split="validation", test_split="test")
    train, validation = load_pairs(data)
    assert validation.fingerprint != load_test(data, train).fingerprint
    assert seen == [validation.fingerprint]  # once, and not where the pairs of eval_split are those to report on
    assert shares == {"both": 0.35, "one": CODERConfig().instance_share}


def test_a_file_that_is_there_is_kept(built, monkeypatch, capsys):
    words = ["scenes-clip", *DATA, "--output", str(built[0])]
    with pytest.raises(InputError, match=r"holds \d+ concepts already: name another --output"):
        make_concepts(*parse_concepts(words))
    (built[0].parent / "other.txt").write_text("mine")
    with pytest.raises(InputError, match="no file of concepts, so it is not replaced"):
        make_concepts(*parse_concepts([*words[:-1], str(built[0].parent / "other.txt"), "--overwrite", "true"]))
    run("build_concepts.py", *words, "--overwrite", "true", "--max_concepts", "5", monkeypatch=monkeypatch)
    assert "5 concepts of 120 captions" in capsys.readouterr().out
    assert np.array_equal(Concepts.read(built[0]).words, built[1].words[:5])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name a model first"),
        (["scenes-clip", "--max_concepts", "1"], "max_concepts must be at least 2, got 1"),
        (["scenes-clip", "--min_captions", "0"], "min_captions must be at least 1"),
        (["scenes-clip", "--max_share", "0"], "max_share is above 0"),
        (["scenes-clip", "--min_strength", "2"], "min_strength between 0 and 1"),
        (["scenes-clip", "--prompt", "a photo"], "prompt must say by {} where the word stands"),
        (["scenes-clip", "--streaming", "true"], "leave --streaming out"),
        (["scenes-clip", "--min_captions", "5000"], "or train without concepts"),
        (["scenes-clip", "--edges", "gone.csv"], "gone.csv cannot be read"),
        (["scenes-clip", "--stop_words", "gone.txt"], "gone.txt cannot be read"),
        (["scenes-clip", "--output", "/proc/concepts"], "cannot be written"),
        (["scenes-clip", "--output", "."], "cannot be written"),
        (["no-such-model-here"], "cannot be loaded|There is no"),
    ],
)
def test_wrong_input_ends_with_one_sentence(words, sentence, monkeypatch, capsys, tmp_path):
    place = [] if "--output" in words else ["--output", tmp_path / "concepts.safetensors"]
    with pytest.raises(SystemExit) as stop:
        run("build_concepts.py", *words, *DATA, *place, monkeypatch=monkeypatch)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence.split("|")[0] in error or sentence.split("|")[-1] in error
    assert "Traceback" not in error
    assert not (tmp_path / "concepts.safetensors").exists()


def test_a_script_without_spaces_is_told_before_too_few_words_are_found(monkeypatch, caplog, tmp_path):
    captions = [f"一只狗在草地上奔跑{number}" for number in range(9)]
    monkeypatch.setattr("hf_noisy_itm.concepts.make.load_pairs", lambda _: (SimpleNamespace(captions=captions), None))
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with pytest.raises(InputError, match="captions have 0 words that are in at least 5"):
        make_concepts(*parse_concepts(["scenes-clip", *DATA, "--output", str(tmp_path / "concepts.safetensors")]))
    assert "100% of the captions have words without spaces between them" in caplog.text


def test_a_model_that_embeds_nothing_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("hf_noisy_itm.concepts.make.embed_words", lambda texts, *_: torch.zeros(len(texts), 64))
    with pytest.raises(InputError, match="What scenes-clip makes of the words is no embedding: the vectors of"):
        make_concepts(*parse_concepts(["scenes-clip", *DATA, "--output", str(tmp_path / "concepts.safetensors")]))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--noise_kind", "truncated"], "holds concepts of other captions"),
        (["--concepts", "gone.safetensors"], "There is no file of concepts gone.safetensors"),
        (["--concepts", "README.md"], "README.md is no file of concepts"),
    ],
)
def test_training_refuses_what_does_not_fit(built, words, sentence, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run("train.py", *TRAIN, "--concepts", built[0], *words, "--output_dir", tmp_path, monkeypatch=monkeypatch)
    assert sentence in capsys.readouterr().err
