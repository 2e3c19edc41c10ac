"""What of a run is refused, masked or left out before anything goes to the Hub: nothing here speaks to one."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from safetensors.torch import load_file, save_file

from hf_noisy_itm import InputError
from hf_noisy_itm.adapters import add_lora, save_adapter
from hf_noisy_itm.hub import PublishArguments, publish, write_model_card
from hf_noisy_itm.hub.configurations import named
from hf_noisy_itm.hub.results import find_control
from hf_noisy_itm.hub.run_folder import stage_model
from hf_noisy_itm.hub.run_metrics import read_metrics
from hf_noisy_itm.hub.tokens import for_others, mask_tokens
from hf_noisy_itm.hub.weights import weights_sha256
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.methods import BaselineModel, NPCModel

from .hub_server import TOKEN, wrong_in_card
from .test_hub import noise_json

METRICS = json.loads(
    (Path(__file__).parent.parent / "hf_noisy_itm" / "assets" / "scenes-clip" / "metrics.json").read_text()
)
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in one file, and the same in shards."""
    folder = tmp_path_factory.mktemp("whole")
    model, processor = load_model("scenes-clip", "npc")
    for name, size in (("one", "1GB"), ("sharded", "1MB")):
        model.save_pretrained(folder / name, max_shard_size=size)
        processor.save_pretrained(folder / name)
        (folder / name / "metrics.json").write_text(json.dumps({**METRICS, "method": "npc"}))
    return folder


def change_weights(run, change):
    state = load_file(run / WEIGHTS)
    change(state)
    save_file(state, run / WEIGHTS, {"format": "pt"})


def lack(state):
    del state["clip.text_projection.weight"]


def other_shape(state):
    state["clip.text_projection.weight"] = state["clip.text_projection.weight"][:-1].clone()


def not_a_number(state):
    state["clip.text_projection.weight"][0, 0] = math.nan


def infinite(state):
    state["clip.logit_scale"].fill_(math.inf)


def as_bytes(state):
    state["clip.text_projection.weight"] = state["clip.text_projection.weight"].to(torch.int8)


def as_complex(state):
    state["clip.text_projection.weight"] = state["clip.text_projection.weight"].to(torch.complex64) * math.nan


def more(state):
    state["clip.text_projection.lora_A.weight"] = torch.zeros(2)


def cut(run):
    (run / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:-100])


def test_figures_of_other_weights_are_not_published(whole, tmp_path):
    """As after `save_pretrained` into the folder of an earlier run."""
    run = shutil.copytree(whole / "one", tmp_path / "run")
    told = {**METRICS, "method": "npc", "weights_sha256": weights_sha256(run)}
    (run / "metrics.json").write_text(json.dumps(told))
    change_weights(run, lambda state: state["clip.logit_scale"].add_(1e-6))

    class Nowhere:
        """A Hub that is not asked."""

    with pytest.raises(InputError, match="The weights in .* are not those that its metrics.json tells of"):
        publish(run, PublishArguments("me/x"), Nowhere())
    shutil.copy(whole / "one" / WEIGHTS, run / WEIGHTS)
    with pytest.raises(InputError, match="is whole but could not be uploaded to 'me/x': AttributeError: 'Nowhere'"):
        publish(run, PublishArguments("me/x"), Nowhere())


def staged(run, tmp_path):
    (tmp_path / "staged").mkdir()
    stage_model(run, tmp_path / "staged")
    return {path.name for path in (tmp_path / "staged").iterdir()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lack, "it lacks 1 of .* tensors, clip.text_projection.weight for one"),
        (other_shape, r"clip.text_projection.weight has the shape \[.*\], and config.json says \["),
        (not_a_number, "clip.text_projection.weight has NaN or infinity in it: train again"),
        (infinite, "clip.logit_scale has NaN or infinity in it"),
        (as_bytes, "clip.text_projection.weight is of torch.int8"),
        (as_complex, "clip.text_projection.weight is of torch.complex64"),
        (more, "its config.json knows nothing of 1 tensors, clip.text_projection.lora_A.weight for one"),
    ],
)
def test_weights_that_are_not_those_of_the_config_are_refused(whole, tmp_path, change, sentence):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    change_weights(run, change)
    with pytest.raises(InputError, match=sentence):
        staged(run, tmp_path)


def test_a_file_of_weights_that_was_cut_is_refused(whole, tmp_path):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    cut(run)
    with pytest.raises(InputError, match="holds no whole model: .*model.safetensors cannot be read"):
        staged(run, tmp_path)


def test_shards_are_those_of_the_index(whole, tmp_path):
    run = shutil.copytree(whole / "sharded", tmp_path / "run")
    index = json.loads((run / INDEX).read_text())
    index["metadata"]["note"] = index["note"] = "hf_" + "a" * 34  # nothing of others goes along
    (run / INDEX).write_text(json.dumps(index))
    parts = sorted(set(index["weight_map"].values()))
    assert len(parts) > 1
    shutil.copy(run / parts[0], run / "model_old.safetensors")
    assert {name for name in staged(run, tmp_path) if "safetensors" in name} == {INDEX, *parts}
    published = json.loads((tmp_path / "staged" / INDEX).read_text())
    size = json.loads((whole / "sharded" / INDEX).read_text())["metadata"]["total_size"]
    assert published.keys() == {"metadata", "weight_map"}
    assert published["metadata"] == {"total_size": size}
    told = published["weight_map"]
    assert told.keys() == {name.removeprefix("clip.") for name in index["weight_map"]}
    shutil.rmtree(tmp_path / "staged")
    (run / parts[1]).rename(tmp_path / parts[1])
    with pytest.raises(InputError, match=f"holds no whole model, {parts[1]} is not there"):
        staged(run, tmp_path)
    shutil.rmtree(tmp_path / "staged")
    shutil.copy(run / parts[0], run / parts[1])
    with pytest.raises(InputError, match="index.json and the files differ"):
        staged(run, tmp_path)
    shutil.rmtree(tmp_path / "staged")
    (run / INDEX).write_text("{")
    with pytest.raises(InputError, match="is no index of weights"):
        staged(run, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("config.json", "{", "config.json is no config of a model"),
        ("config.json", "[]", "config.json is no config of a model"),
        ("config.json", '{"attn_implementation": "evil/kernel"}', "asks for kernels of the Hub"),
        ("config.json", '{"model_type": "bert"}', "is of a model of type 'bert'"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is no JSON"),
    ],
)
def test_settings_that_are_none_are_refused_by_name(whole, tmp_path, name, content, sentence):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(InputError, match=sentence):
        staged(run, tmp_path)


@pytest.mark.parametrize("damage", ["cut tokenizer", "no object", "no processor_config", "no tokenizer", "other size"])
def test_a_processor_that_cannot_be_used_is_not_published(whole, tmp_path, damage):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    if damage == "cut tokenizer":
        (run / "tokenizer.json").write_text((run / "tokenizer.json").read_text()[:500])
    elif damage == "no object":
        (run / "processor_config.json").write_text("[]")
    elif damage == "no processor_config":
        (run / "processor_config.json").unlink()
    elif damage == "no tokenizer":
        (run / "tokenizer.json").unlink()
    else:
        config = json.loads((run / "processor_config.json").read_text())
        config["image_processor"]["crop_size"] = {"height": 32, "width": 32}
        (run / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="A whole one is that of the model it was trained from: copy it there"):
        staged(run, tmp_path)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "metrics.json"])
def test_model_and_figures_are_no_links_out_of_the_folder(whole, tmp_path, name):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    (run / name).rename(tmp_path / name)
    (run / name).symlink_to(tmp_path / name)
    with pytest.raises(InputError, match=f"{name} is a link out of its folder: put the file itself there.*link\\.$"):
        publish(run, PublishArguments("me/x"))


def test_a_link_out_of_the_folder_is_not_followed(whole, tmp_path):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    (tmp_path / "private").write_text("mine")
    (run / "plot.png").symlink_to(tmp_path / "private")
    with pytest.raises(InputError, match="plot.png is a link out of its folder"):
        staged(run, tmp_path)


def an_adapter(run):
    """What a training with --lora_r leaves beside its model."""
    model, _ = load_model("scenes-clip", "npc")
    add_lora(model, 4, 8.0, 0.0)
    save_adapter(model, run / "adapter", "scenes-clip")
    return run / "adapter"


def change_adapter(change):
    def changed(place):
        path = place / "adapter_model.safetensors"
        tensors = load_file(path)
        change(tensors, sorted(tensors)[0])
        save_file(tensors, path)

    return changed


def change_adapter_config(**more):
    def changed(place):
        path = place / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return changed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda place: (place / "adapter_config.json").unlink(), "is no config of LoRA adapters"),
        (lambda place: (place / "adapter_model.safetensors").unlink(), "lacks adapter_model.safetensors"),
        (lambda place: (place / "adapter_model.safetensors").write_bytes(b"\x80\x04."), "adapter_model.safetensors"),
        (change_adapter_config(auto_mapping={"parent_library": "evil"}), "is no config of LoRA adapters"),
        (change_adapter_config(peft_type="IA3"), "is no config of LoRA adapters"),
        (change_adapter_config(r=8), "holds adapters of another model, .*lora_A"),
        (change_adapter(lambda tensors, name: tensors.update({name: torch.zeros(7, 3)})), "adapters of another model"),
        (change_adapter(lambda tensors, name: tensors.update({"x": torch.zeros(4, 4)})), "of another model, x of"),
        (change_adapter(lambda tensors, name: tensors[name].fill_(torch.nan)), "has NaN or infinity"),
        (change_adapter(lambda tensors, name: tensors.clear()), "holds nothing"),
    ],
    ids=["no config", "no file", "pickle", "mapping", "kind", "rank", "shape", "name", "NaN", "empty"],
)
def test_adapters_are_looked_at_too(whole, tmp_path, change, sentence):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    place = an_adapter(run)
    staged(run, tmp_path)
    assert (tmp_path / "staged" / "adapter" / "adapter_model.safetensors").is_file()
    change(place)
    (tmp_path / "again").mkdir()
    with pytest.raises(InputError, match=sentence):
        staged(run, tmp_path / "again")


def test_of_the_folder_of_adapters_ours_are_published_alone(whole, tmp_path):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    place = an_adapter(run)
    (place / "secret.json").write_text(json.dumps({"a": TOKEN}))
    (place / "other.safetensors").write_text("junk")
    staged(run, tmp_path)
    there = {path.name for path in (tmp_path / "staged" / "adapter").iterdir()}
    assert there == {"adapter_config.json", "adapter_model.safetensors"}


def test_settings_name_no_place_of_this_disk_and_no_token(whole, tmp_path):
    run = shutil.copytree(whole / "one", tmp_path / "run")
    path = an_adapter(run) / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": "/home/me/secret/clip", "t": TOKEN}))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"_name_or_path": "/home/me/secret/clip"}))
    staged(run, tmp_path)
    told = json.loads((tmp_path / "staged/adapter/adapter_config.json").read_text())
    assert (told["base"], told["t"]) == ("clip", "<TOKEN>")
    assert "secret" not in (tmp_path / "staged" / "config.json").read_text()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), None])
def test_a_full_disk_is_not_blamed_on_the_run(whole, tmp_path, monkeypatch, error):
    def full(*_):
        raise error or OSError(5, "Input/output error", str(whole / "one" / "config.json"))

    monkeypatch.setattr("hf_noisy_itm.hub.run_folder.shutil.copyfile", full)
    sentence = "is whole, but there is no room in .*No space left.* TMPDIR" if error else "config.json cannot be read"
    with pytest.raises(InputError, match=f"{sentence}.*; to try again: python recipes/publish.py"):
        publish(whole / "one", PublishArguments("me/x"))


# -- metrics.json -----------------------------------------------------------------------------------------------------


def changed(path, value):
    metrics = json.loads(json.dumps({**METRICS, "method": "npc"}))
    *parts, last = path.split("/")
    of = metrics
    for part in parts:
        of = of[part]
    of[last] = value
    return metrics


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("metrics", None, "lacks 'metrics'"),
        ("metrics", [], "'metrics' must be an object"),
        ("metrics/rsum", "high", "'metrics.rsum' must be a number, not 'high'"),
        ("metrics/rsum", True, "'metrics.rsum' must be a number"),
        ("test", {"rsum": [1]}, "'test.rsum' must be a number"),
        ("noise", None, "lacks 'noise'"),
        ("noise", "none", "'noise' must be an object"),
        ("noise", {"nominal": "0.4"}, "'noise.nominal' must be a number"),
        ("data", {}, "lacks 'data.dataset'"),
        ("data/dataset", 3, "'data.dataset' must be text"),
        ("training", None, "lacks 'training'"),
        ("seconds", 3, "'seconds' must be an object"),
        ("weights", {"auc": "0.9"}, "'weights.auc' must be a number"),
        ("hardware", "gpu", "'hardware' must be an object"),
        ("data/dataset", "\ud800", "it has half a character in '.ud800'"),
        ("noise", {"realised": 10**400}, "it has a number of more than 64 bits"),
    ],
)
def test_damaged_metrics_get_one_sentence(tmp_path, path, value, sentence):
    (tmp_path / "metrics.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(InputError, match=sentence):
        read_metrics(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '"x"'])
def test_what_is_no_object_gets_one_sentence(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match="cannot be read as JSON of a run"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(("metrics/rsum", value) for value in (None, math.nan, math.inf)),
        ("metrics", {}),
        ("seconds", {}),
        ("versions", {}),
        ("noise", {}),
        ("pairs", {}),
        ("method_config", {}),
        ("weights", {"auc": math.nan}),
        ("noise", {"kind": "shuffle", "nominal": None, "realised": None, "seed": None, "sha256": None}),
        ("test", {"rsum": None}),
    ],
)
def test_a_missing_figure_is_a_gap_on_a_valid_card(tmp_path, path, value):
    (tmp_path / "metrics.json").write_text(json.dumps(changed(path, value)))
    control = {**METRICS, "metrics": {"i2t_r@1": 1.0}}  # no rsum
    write_model_card(tmp_path, read_metrics(tmp_path), NPCModel, "1", repo="me/x", control=control)
    card = ModelCard.load(tmp_path / "README.md")
    assert wrong_in_card(yaml.safe_load(str(card).split("---\n")[1])) == []
    if path == "metrics/rsum":
        assert "rSum not measured, of the control not measured" in card.content
        assert "rsum" not in {each.metric_type for each in card.data.eval_results}
    assert "nan" not in card.text
    assert "Undefined" not in card.text
    assert "None" not in card.text.split("## Training")[0].replace("`None`", "")


def test_each_figure_names_its_split(tmp_path):
    metrics = {**METRICS, "data": {**METRICS["data"], "eval_split": "validation", "test_split": "test"}}
    metrics["test"] = {name: 50.0 for name in METRICS["metrics"]}
    write_model_card(tmp_path, metrics, BaselineModel, "1")
    card = ModelCard.load(tmp_path / "README.md")
    assert {(each.dataset_split, each.metric_value) for each in card.data.eval_results} == {("test", 50.0)}
    before, after = card.text.split("On the split `test`")
    assert "not trained on (split `validation`)" in before
    assert "| image to text | 96.2 |" in before
    assert "| image to text | 50.0 |" in after
    assert "`model-index` has the figures of the split `test`" in after
    write_model_card(tmp_path, METRICS, BaselineModel, "1")
    card = ModelCard.load(tmp_path / "README.md")
    assert {each.dataset_split for each in card.data.eval_results} == {"held out of train"}
    assert "(split `held out of train`)" in card.text


def test_fields_mean_nothing_but_themselves(tmp_path):
    nasty = "x` <script>alert(1)</script> [l](https://x.org)\n# head\n"
    metrics = {**METRICS, "method": "npc", "model": nasty, "hardware": {"device": nasty}, "versions": {nasty: nasty}}
    metrics["noise"] = {"kind": nasty, "nominal": 0.4, "realised": 0.4, "seed": 0, "family": nasty, "sha256": nasty}
    metrics["data"] = {"dataset": nasty, "dataset_config": nasty, "eval_split": nasty, "test_split": nasty}
    metrics |= {"method_config": {nasty: nasty}, "training": {"learning_rate": nasty}, "test": {"rsum": 1.0}}
    metrics["pairs"] = {**METRICS["pairs"], "fingerprint": nasty}
    folder = tmp_path / 'a "b" <i>'
    folder.mkdir()
    write_model_card(folder, metrics, NPCModel, "1", control=metrics)
    text = (folder / "README.md").read_text().split("---\n", 2)[2]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    for mark in ("<script", "<a ", "<i>", "<h1>head"):
        assert mark not in html
    assert 'from_pretrained("/' in text


# -- tokens and places, the control -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"my_{TOKEN}", "my_<TOKEN>"),
        ("hf_oauth_eyJhbGciOi.aa-bb_cc", "<TOKEN>"),
        ("api_org_QwErTyUiOpAs", "<TOKEN>"),
        ("glpat-QwErTyUiOpAsDfGhJkLz", "<TOKEN>"),
        ("https://me:pass@x.org/a", "https://<TOKEN>@x.org/a"),
        ("https://x.org/a?token=abc&n=1", "https://x.org/a?token=<TOKEN>&n=1"),
        ("rows of /home/me/secret/x.csv, and ~/q/r", "rows of x.csv, and r"),
        ("a.csv,/home/me/b.csv", "a.csv,b.csv"),
        ("file:///home/me/x.csv", "x.csv"),
        (r"C:\Users\me\x.csv", "x.csv"),
        *((text, text) for text in ("user/repo", "and/or 1/2", "</s>", "s3://bucket/key", "hf_noisy_itm", "../x/y")),
    ],
)
def test_what_is_told_to_others(text, told):
    assert for_others({"a": [text]}) == {"a": [told]}


@pytest.mark.parametrize("name", [None, "one"])
def test_card_and_list_of_a_data_set_tell_no_token(tmp_path, name):
    (tmp_path / "README.md").write_text(f"made with {TOKEN}\n")
    content = noise_json(arguments=["--dataset", "/home/me/x.csv", TOKEN])
    (tmp_path / "noise.json").write_text(json.dumps(content))
    files = named(content, {each.name: each for each in tmp_path.iterdir()}, "me/x", name)
    assert len(files) == 2
    assert all(TOKEN.encode() not in each and b"/home" not in each for each in files.values())


def test_a_token_of_any_form_that_is_in_use_is_told_to_nobody(monkeypatch):
    monkeypatch.setattr("hf_noisy_itm.hub.tokens.get_token", lambda: "odd.token")
    assert mask_tokens("by odd.token, not odd_token") == "by <TOKEN>, not odd_token"
    monkeypatch.setattr("hf_noisy_itm.hub.tokens.get_token", lambda: None)
    assert mask_tokens("by odd.token") == "by odd.token"


def test_what_fields_call_a_secret_is_told_to_nobody():
    assert for_others(["t.py", "--hub_token", "plain"]) == ["t.py", "--hub_token", "<TOKEN>"]
    told = {"hub_token": "plain", "wandb_api_key": "x", "pad_token": "<|endoftext|>", "token": "y", "num_tokens": 7}
    assert for_others({"training": told}) == {
        "training": told | {"hub_token": "<TOKEN>", "wandb_api_key": "<TOKEN>", "token": "<TOKEN>"}
    }


@pytest.mark.parametrize("name", ["eval_split", "holdout_every", "holdout_by", "where"])
def test_a_control_of_other_evaluation_pairs_is_none(tmp_path, name):
    run = {**METRICS, "method": "npc"}
    control = {**METRICS, "data": {**METRICS["data"], name: 7 if name == "holdout_every" else "other"}}
    for folder, told in (("npc", run), ("control", METRICS), ("other", control)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metrics.json").write_text(json.dumps(told))
    assert find_control(tmp_path / "npc", run, None) == METRICS
    with pytest.raises(InputError, match="other is no control of .*evaluate on differs"):
        find_control(tmp_path / "npc", run, str(tmp_path / "other"))


def test_a_broken_neighbour_is_no_control_and_no_obstacle(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr("hf_noisy_itm.hub.results.logger.warning", warnings.append)
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "metrics.json").write_text("{")
    assert find_control(tmp_path / "npc", {**METRICS, "method": "npc"}, None) is None
    assert len(warnings) == 1
    assert "baseline does not stand as a control on the card" in warnings[0]
