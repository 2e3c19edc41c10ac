import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from hf_noisy_itm.hub import write_model_card
from hf_noisy_itm.methods import BaselineModel, NPCModel

METRICS = json.loads(
    (Path(__file__).parent.parent / "hf_noisy_itm" / "assets" / "scenes-clip" / "metrics.json").read_text()
)


def test_the_card_takes_its_numbers_from_the_metrics(tmp_path):
    write_model_card(tmp_path, METRICS, BaselineModel, "1.2.3")
    card = ModelCard.load(tmp_path / "README.md")
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["rsum"] == pytest.approx(METRICS["metrics"]["rsum"], abs=1e-3)
    assert f"| image to text | {METRICS['metrics']['i2t_r@1']:.1f} |" in card.content
    assert "hf_noisy_itm" in card.data.tags
    assert "radford2021learning" in card.content


def test_a_missing_figure_is_a_stated_gap(tmp_path):
    figures = {name: value for name, value in METRICS["metrics"].items() if name != "t2i_r@10"}
    write_model_card(tmp_path, {**METRICS, "method": "npc", "metrics": figures}, NPCModel, "1")
    text = (tmp_path / "README.md").read_text()
    assert "not measured" in text
    assert "Negative Pre-aware" in text


@pytest.mark.parametrize("name", ['it\'s: "fine"', "a # b", "- x", "日本 🦊"])
def test_any_name_gives_valid_yaml(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    write_model_card(folder, {**METRICS, "data": {**METRICS["data"], "dataset": name}}, BaselineModel, "1")
    card = ModelCard.load(folder / "README.md")
    assert card.data.model_name == name
    assert {result.dataset_name for result in card.data.eval_results} == {f"{name}/studio"}


def test_the_card_tells_the_pedigree_of_the_noise_in_one_line(tmp_path):
    noise = {"kind": "shuffle", "nominal": 0.4, "realised": 0.3968, "seed": 0, "family": None, "sha256": "ab12"}
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    line = "39.7 % of the training pairs are wrong on purpose: kind `shuffle`, rate 0.4, seed 0, family none"
    assert f"{line}, SHA-256 `ab12`." in (tmp_path / "README.md").read_text().splitlines()
    noise = {**noise, "seed": None, "family": "f30k_ncr_0.4", "before": noise}
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    text = (tmp_path / "README.md").read_text()
    assert "seed unknown, family f30k_ncr_0.4, SHA-256 `ab12`, on top of `shuffle` at rate 0.4." in text


@pytest.mark.parametrize(
    ("noise", "sentence"),
    [
        ({"nominal": 0.0, "realised": 0.0}, "No noise was added."),
        ({"nominal": 0.0, "realised": 0.25}, "by the columns of the data, 25.0 % of the training pairs are wrong"),
    ],
)
def test_the_card_says_where_no_noise_was_added(tmp_path, noise, sentence):
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    assert sentence in (tmp_path / "README.md").read_text()
