import ast
import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import CommitOperationDelete, DatasetCard, ModelCard
from huggingface_hub.errors import HfHubHTTPError
from markdown_it import MarkdownIt

from hf_noisy_itm import InputError
from hf_noisy_itm.hub import PublishArguments, escape, publish, write_dataset_card, write_model_card
from hf_noisy_itm.hub.run_folder import EVAL_RESULTS, ONLY_OURS, REMOTE_CODE
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.methods import BaselineModel, CODERModel, NPCModel

from .hub_server import wrong_in_card

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


def test_the_card_names_the_configuration_of_the_data(tmp_path):
    write_model_card(
        tmp_path, {**METRICS, "data": {**METRICS["data"], "dataset_config": "street"}}, BaselineModel, "1"
    )
    card = ModelCard.load(tmp_path / "README.md")
    assert ", configuration street: " in card.text
    assert {each.dataset_name for each in card.data.eval_results} == {f"{METRICS['data']['dataset']}/street"}


def test_of_a_gallery_too_small_for_recall_at_10_no_sum_is_told(tmp_path):
    """As `evaluate` leaves it: fewer cut-offs, whose sum nobody should compare with anyone's rSum."""
    few = {"i2t_r@1": 50.0, "t2i_r@1": 25.0, "rsum": 75.0, "i2t_median_rank": 1.0, "t2i_median_rank": 2.0}
    write_model_card(tmp_path, {**METRICS, "metrics": few, "test": None}, BaselineModel, "1")
    card = ModelCard.load(tmp_path / "README.md")
    assert {each.metric_type for each in card.data.eval_results} == {"i2t_r@1", "t2i_r@1"}
    assert "rSum not measured" in card.text


def test_the_card_states_the_hyperparameters_that_were_in_use(tmp_path):
    training = {"learning_rate": 1e-5, "max_steps": -1, "num_train_epochs": 3.0, "weight_decay": 0.0, "lora_r": 4}
    write_model_card(tmp_path, {**METRICS, "training": {**training, "bf16": False, "fp16": True}}, BaselineModel, "1")
    text = (tmp_path / "README.md").read_text()
    for line in ("`learning_rate`: `1e-05`", "`num_train_epochs`: `3.0`", "`weight_decay`: `0.0`", "`lora_r`: `4`"):
        assert f"- {line}" in text
    assert "- `fp16`: `True`" in text
    assert "max_steps" not in text
    assert "bf16" not in text


def test_the_card_of_a_branch_loads_what_is_on_it_and_tells_of_adapters(tmp_path):
    (tmp_path / "adapter").mkdir()
    write_model_card(tmp_path, METRICS, BaselineModel, "1", repo="me/x", revision="trial")
    text = (tmp_path / "README.md").read_text()
    assert 'CLIPModel.from_pretrained("me/x", revision="trial")' in text
    assert 'pipeline("zero-shot-image-classification", "me/x", revision="trial")' in text
    assert "`adapter/` holds what LoRA trained alone" in text
    (tmp_path / "adapter").rmdir()
    write_model_card(tmp_path, METRICS, BaselineModel, "1", repo="me/x")
    text = (tmp_path / "README.md").read_text()
    assert 'CLIPModel.from_pretrained("me/x")' in text
    assert "adapter/" not in text


def test_the_card_tells_of_the_clip_that_is_published(tmp_path):
    figures = METRICS["metrics"] | {f"fused_{name}": 0.0 for name in METRICS["metrics"]}
    write_model_card(tmp_path, {**METRICS, "metrics": figures}, BaselineModel, "1")
    card = ModelCard.load(tmp_path / "README.md")
    assert not [result.metric_type for result in card.data.eval_results if "fused" in result.metric_type]


def test_a_missing_figure_is_a_stated_gap(tmp_path):
    figures = {name: value for name, value in METRICS["metrics"].items() if name != "t2i_r@10"}
    write_model_card(tmp_path, {**METRICS, "method": "npc", "metrics": figures}, NPCModel, "1")
    text = (tmp_path / "README.md").read_text()
    assert "not measured" in text
    assert "Negative Pre-aware" in text


def test_the_card_says_what_is_not_the_papers(tmp_path):
    for model_class, method, says in ((CODERModel, "coder", True), (NPCModel, "npc", False)):
        write_model_card(tmp_path, {**METRICS, "method": method}, model_class, "1")
        assert ("the abstract alone was known" in (tmp_path / "README.md").read_text()) == says


@pytest.mark.parametrize(
    ("noise", "what"),
    [
        ({"nominal": 0.0, "realised": 0.0}, "pictures and captions"),
        ({"nominal": 0.0, "realised": 0.25}, "captions that are partly wrong"),
        ({"nominal": None, "kind": "label_symmetric", "realised": 0.2, "labels": 9}, "labels that are partly wrong"),
    ],
)
def test_captions_are_called_wrong_where_some_are(tmp_path, noise, what):
    write_model_card(tmp_path, {**METRICS, "method": "npc", "noise": noise}, NPCModel, "1")
    text = (tmp_path / "README.md").read_text()
    assert f"A CLIP trained on {what}, with Negative Pre-aware" in text
    assert ("20.0 % of the labels are wrong on purpose" in text) == ("labels" in noise)


@pytest.mark.parametrize("name", ['it\'s: "fine"', "a # b", "- x", "日本 🦊", "two\nlines: [{", "a\n---\nb"])
def test_any_name_gives_valid_yaml(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    write_model_card(folder, {**METRICS, "data": {**METRICS["data"], "dataset": name}}, BaselineModel, "1")
    card = ModelCard.load(folder / "README.md")
    name = " ".join(name.split())
    assert card.data.model_name == name
    assert wrong_in_card(yaml.safe_load(str(card).split("---\n")[1])) == []
    assert {result.dataset_name for result in card.data.eval_results} == {f"{name}/studio"}


def test_the_card_tells_the_pedigree_of_the_noise_in_one_line(tmp_path):
    noise = {"kind": "shuffle", "nominal": 0.4, "realised": 0.3968, "seed": 0, "family": None, "sha256": "ab12"}
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    line = "39.7 % of the training pairs are wrong on purpose: kind `shuffle`, rate 0.4, seed 0, family none"
    assert f"{line}, SHA-256 `ab12`." in (tmp_path / "README.md").read_text().splitlines()
    noise = {**noise, "seed": None, "family": "f30k_ncr_0.4", "before": noise}
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    text = (tmp_path / "README.md").read_text()
    assert "seed unknown, family `f30k_ncr_0.4`, SHA-256 `ab12`, on top of `shuffle` at rate 0.4." in text


@pytest.mark.parametrize(
    ("noise", "sentence"),
    [
        ({"nominal": 0.0, "realised": 0.0}, "This training added no noise."),
        ({"nominal": 0.0, "realised": 0.25}, "by the columns of the data, 25.0 % of the training pairs are wrong"),
    ],
)
def test_the_card_says_where_no_noise_was_added(tmp_path, noise, sentence):
    write_model_card(tmp_path, {**METRICS, "noise": noise}, BaselineModel, "1")
    assert sentence in (tmp_path / "README.md").read_text()


NASTY = [
    "a | b",
    "[link](https://x.org) ![](x.png)",
    "<script>alert(1)</script> &amp; <!--",
    "# head\n\n- list\n---\n`code` **bold** _it_ ~~x~~",
    "{{ 7 * 7 }} {% raw %} $x$",
    "www.x.org @user #1",
    "\u202egnp.tac\x00\x07",
]


def noise_json(**more):
    examples = [{"image_id": text, "before": text, "after": text, "noise_source": text} for text in NASTY]
    rate = {"what": "wrong captions", "count": 4, "share": 0.4}
    pedigree = {"kind": "shuffle", "nominal": 0.4, "realised": 0.4, "seed": 0, "family": None, "sha256": "ab12"}
    content = {
        "pedigree": pedigree,
        "on": "captions",
        "fingerprint": "f00",
        "rates": [rate],
        "evaluation": {"test": {"of": "val", "pictures": 5, "captions": 10, "fingerprint": "b00"}},
        "configs": {
            "pairs": {"train": "data/train-*.parquet"},
            "pictures": {"test": "pictures/test-*.parquet"},
        },
        "examples": examples,
        "source": {"dataset": "a|b", "config": None, "split": "train", "where": None},
        "license": None,
        "arguments": ["--dataset", "a|b", "--rate", "0.4"],
        "files": {"data/train-00000-of-00001.parquet": "11", "pictures/test-00000-of-00001.parquet": "22"},
        "versions": {"hf-noisy-itm": "1.2.3"},
    }
    return content | more


def test_captions_of_others_mean_nothing_but_themselves_on_a_card(tmp_path):
    write_dataset_card(tmp_path, noise_json())
    text = DatasetCard.load(tmp_path / "README.md").content
    table = [line for line in text.splitlines() if re.match(r"\| .*(b|link|script|head|7|user|gnp)", line)][-7:]
    for line in table:
        assert len(re.findall(r"(?<!\\)\|", line)) == 5  # four cells
        assert not re.search(r"(?<!\\)[\[\]<>`*_#@$!~{}]", line)
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html
    assert "<a " not in html
    assert "{{ 7 * 7 }} {% raw %}" in html
    assert "\u202e" not in text
    assert "\x00" not in text
    assert escape("x" * 300) == "x" * 200 + "…"


def test_the_data_card_says_which_files_belong_together_and_under_what_terms(tmp_path):
    write_dataset_card(tmp_path, noise_json())
    card = DatasetCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.license_name) == ("other", "unknown")
    pairs, pictures = card.data.configs
    assert (pairs["config_name"], pairs["default"]) == ("pairs", True)
    assert pairs["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert pictures["data_files"] == [{"split": "test", "path": "pictures/test-*.parquet"}]
    assert "whoever publishes this folder must find out" in card.content
    assert "kind `shuffle`, rate 0.4, seed 0, family none, SHA-256 `ab12`" in card.content
    assert "| wrong captions | 4 | 40.00 % |" in card.content
    assert "make_noise.py --dataset 'a|b' --rate 0.4 --output FOLDER" in card.content
    changed = noise_json(license="cc-by-4.0", files={"data/train-00000-of-00001.parquet": "12"}, evaluation={})
    del changed["configs"]["pictures"]
    write_dataset_card(tmp_path, changed)
    card = DatasetCard.load(tmp_path / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert [each["config_name"] for each in card.data.configs] == ["pairs"]
    assert card.data.configs[0]["description"] != pairs["description"]


class RecordingApi:
    """A Hub with one repository, which has three shards and more."""

    def __init__(self, error=None):
        self.error, self.created, self.content, self.folder = error, [], {}, None
        self.commits, self.meanwhile = 0, []
        self.there = {".gitattributes", "README.md", "noise.json", "mine/extra.parquet", "data/notes.txt"}
        self.there |= {f"data/train-0000{n}-of-00003.parquet" for n in range(3)}
        self.there |= {"pictures/test-00000-of-00001.parquet"}

    def create_repo(self, *given, **more):
        self.created.append((given, more))
        if self.error:
            raise self.error
        return SimpleNamespace(repo_id=given[0])

    def create_branch(self, *given, **more):
        pass

    def repo_info(self, *given, **where):
        return SimpleNamespace(private=False, sha=self.commits)

    def list_repo_files(self, **where):
        return sorted(self.there)

    def create_commit(self, operations, parent_commit, **where):
        while self.meanwhile:
            self.meanwhile.pop()()
        if parent_commit != self.commits:
            response = SimpleNamespace(status_code=412, headers={}, request=None)
            raise HfHubHTTPError("A commit has happened since", response=response)
        self.commits += 1
        for each in operations:
            (self.there.discard if isinstance(each, CommitOperationDelete) else self.there.add)(each.path_in_repo)
            if not isinstance(each, CommitOperationDelete):
                with each.as_file() as file:
                    self.content[each.path_in_repo] = file.read()

    def hf_hub_download(self, filename, **where):
        (self.folder / "downloaded").write_bytes(self.content[filename])
        return self.folder / "downloaded"


def test_of_an_earlier_push_our_files_go_and_those_of_others_are_told_of(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr("hf_noisy_itm.hub.pushing.logger.warning", warnings.append)
    model, processor = load_model("scenes-clip", "baseline")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({**METRICS, "on_hub": {"dataset": "them/scenes"}}))
    api = RecordingApi()
    earlier = {"model.safetensors.index.json", "model-00001-of-00002.safetensors", "training_state/memory.json"}
    earlier |= {"adapter/adapter_config.json", "noise_report/x.png", "vocab.json", "weights.png", REMOTE_CODE}
    others = [f"mine/{n}.txt" for n in range(6)]
    api.there = {".gitattributes", *earlier, *others}
    assert publish(tmp_path, PublishArguments("me/x"), api) == "me/x"
    assert not (earlier - {REMOTE_CODE}) & api.there
    assert {"model.safetensors", REMOTE_CODE, EVAL_RESULTS, *others} <= api.there
    assert warnings == [
        "me/x also holds files that were not of this push, and stay: mine/0.txt, mine/1.txt, mine/2.txt, mine/3.txt, "
        "mine/4.txt and 1 more."
    ]
    assert ModelCard(api.content["README.md"].decode()).data.datasets == ["them/scenes"]  # the run says so itself
    assert b"them/scenes" in api.content[EVAL_RESULTS]
    assert REMOTE_CODE in ONLY_OURS  # of a CLIP before, and of a model without one now


@pytest.fixture
def noisy_folder(tmp_path):
    """As recipes/make_noise.py leaves it, with what a user may have put there."""
    folder = tmp_path / "noisy"
    shards = {f"data/train-0000{n}-of-00002.parquet": f"{n}" for n in range(2)}
    for name, text in {**shards, ".env": "SECRET", "train.log": "x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    files = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in shards.items()}
    (folder / "noise.json").write_text(json.dumps(noise_json(files=files)))
    write_dataset_card(folder, noise_json(files=files))
    return folder


def test_of_a_data_set_its_files_go_to_a_private_repository_and_replace_its_shards(noisy_folder):
    shards = {f"data/train-0000{n}-of-00002.parquet" for n in range(2)}
    api = RecordingApi()
    assert publish(noisy_folder, PublishArguments("me/noisy"), api) == "datasets/me/noisy"
    assert api.created == [(("me/noisy",), {"repo_type": "dataset", "private": True, "exist_ok": True})]
    kept = {".gitattributes", "mine/extra.parquet", "data/notes.txt"}
    assert api.there == {"README.md", "noise.json", *shards, *kept}
    with pytest.raises(InputError, match="is whole but could not be uploaded to 'me/noisy': no token"):
        publish(noisy_folder, PublishArguments("me/noisy"), RecordingApi(OSError("no token")))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"files": None}, "'files' is 'None'"),
        ({"pedigree": None}, "'pedigree' is 'None'"),
        ({"pedigree": {"kind": "shuffle"}}, "it lacks 'pedigree.sha256'"),
        ({"files": {"../../etc/passwd": "11"}}, "it lists '../../etc/passwd'"),
        ({"configs": {"pairs": "data/*"}}, "'configs' must give a pattern"),
        ({"files": {"data/gone.parquet": "11"}}, "data/gone.parquet is not there"),
        ({"files": {"data/train-00000-of-00002.parquet": "11"}}, "train-00001-of-00002.parquet is not in its list"),
    ],
)
def test_a_data_set_that_is_not_as_its_list_says_is_refused(noisy_folder, change, sentence):
    content = json.loads((noisy_folder / "noise.json").read_text())
    (noisy_folder / "noise.json").write_text(json.dumps(content | change))
    api = RecordingApi()
    with pytest.raises(InputError, match=re.escape(sentence)):
        publish(noisy_folder, PublishArguments("me/noisy"), api)
    assert api.created == []


def test_changed_rows_are_refused(noisy_folder):
    (noisy_folder / "data" / "train-00001-of-00002.parquet").write_text("other")
    with pytest.raises(InputError, match="train-00001-of-00002.parquet has another content than is listed"):
        publish(noisy_folder, PublishArguments("me/noisy"), RecordingApi())


@pytest.mark.parametrize("left", ["checkpoint-7/model.safetensors", "config.json"])
def test_what_a_training_left_without_figures_is_no_data_set(tmp_path, left):
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("x")
    (tmp_path / "noise.json").write_text(json.dumps({"pedigree": None, "fingerprint": "f00"}))
    with pytest.raises(InputError, match="is of a training without figures .* --resume_from_checkpoint auto"):
        publish(tmp_path, PublishArguments("me/x"), RecordingApi())


def test_one_repository_holds_several_noises_and_each_keeps_the_others(noisy_folder, tmp_path):
    api = RecordingApi()
    api.there, api.folder = {".gitattributes"}, tmp_path
    for name in ("shuffle40", "shuffle20", "shuffle40"):
        assert publish(noisy_folder, PublishArguments("me/noisy", config_name=name), api) == "datasets/me/noisy"
    card = DatasetCard(api.content["README.md"].decode())
    assert [each["config_name"] for each in card.data.configs] == [
        *("shuffle20", "shuffle20-pictures", "shuffle40", "shuffle40-pictures")
    ]
    shards = [file["path"] for each in card.data.configs for file in each["data_files"]]
    assert shards[:2] == ["shuffle20/data/train-*.parquet", "shuffle20/pictures/test-*.parquet"]
    assert "| `shuffle40` | a\\|b | `shuffle` | 0.4 | 0 | `ab12` | unknown |" in card.text
    assert {"shuffle20/data/train-00001-of-00002.parquet", "shuffle40/data/train-00001-of-00002.parquet"} <= api.there
    own = api.content["shuffle20/README.md"].decode()
    assert 'load_dataset("me/noisy", "shuffle20", split="train")' in own
    assert 'load_dataset("me/noisy", "shuffle20-pictures")' in own
    assert own.startswith("# ")
    with pytest.raises(InputError, match="holds the configurations shuffle20, shuffle40: give this one a name"):
        publish(noisy_folder, PublishArguments("me/noisy"), api)
    other = RecordingApi()
    with pytest.raises(InputError, match="holds one data set without a name"):
        publish(noisy_folder, PublishArguments("me/noisy", config_name="x"), other)
    with pytest.raises(InputError, match="shuffle20-pictures is in me/noisy already, of the configuration shuffle20"):
        publish(noisy_folder, PublishArguments("me/noisy", config_name="shuffle20-pictures"), api)
    with pytest.raises(InputError, match="--config_name must be a name"):
        PublishArguments("me/noisy", config_name="../x")


def test_what_others_commit_meanwhile_is_neither_lost_nor_left_out_of_the_card(noisy_folder, tmp_path):
    api = RecordingApi()
    api.there, api.folder = {".gitattributes"}, tmp_path
    api.meanwhile = [lambda: publish(noisy_folder, PublishArguments("me/noisy", config_name="shuffle20"), api)]
    publish(noisy_folder, PublishArguments("me/noisy", config_name="shuffle40"), api)
    assert api.commits == 2
    text = api.content["README.md"].decode()
    assert "| `shuffle20` |" in text
    assert "| `shuffle40` |" in text

    class Busy(RecordingApi):
        def create_commit(self, operations, **where):
            self.commits += 1
            super().create_commit(operations, **where)

    busy = Busy()
    with pytest.raises(InputError, match="could not be uploaded to 'me/noisy': the Hub answered 412.*; to try again"):
        publish(noisy_folder, PublishArguments("me/noisy"), busy)
    assert busy.commits == 5


def lines_that_load(card):
    """Arguments of each `load_dataset` in the Python of a card, which must be Python."""
    (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    return [[each.value for each in [*call.args, *(word.value for word in call.keywords)]] for call in calls]


def test_a_fetched_data_set_that_is_published_again_tells_of_where_it_is_then(noisy_folder, tmp_path):
    api = RecordingApi()
    publish(noisy_folder, PublishArguments("me/first", revision="trial"), api)
    (noisy_folder / "README.md").write_bytes(api.content["README.md"])
    publish(noisy_folder, PublishArguments("me/second"), api)
    card = api.content["README.md"].decode()
    assert lines_that_load(card) == [["me/second", "train"], ["me/second", "pictures"]]
    assert "`python recipes/train.py --dataset me/second`" in card
    assert "me/first" not in card
    publish(noisy_folder, PublishArguments("me/third", revision="b-2"), api)
    card = api.content["README.md"].decode()
    assert lines_that_load(card) == [["me/third", "train", "b-2"], ["me/third", "pictures", "b-2"]]
    assert "After `hf download me/third --repo-type dataset --revision b-2 --local-dir FOLDER`, `python" in card
    api.there, api.folder = set(), tmp_path
    publish(noisy_folder, PublishArguments("me/fourth", config_name="one"), api)
    assert lines_that_load(api.content["one/README.md"].decode()) == [
        ["me/fourth", "one", "train"],
        ["me/fourth", "one-pictures"],
    ]
    (noisy_folder / "README.md").write_bytes(api.content["one/README.md"])  # which has no front matter
    publish(noisy_folder, PublishArguments("me/fifth"), api := RecordingApi())
    assert [each["config_name"] for each in DatasetCard(api.content["README.md"].decode()).data.configs] == [
        *("pairs", "pictures")
    ]


def test_the_card_of_a_published_data_set_names_its_repository(noisy_folder):
    api = RecordingApi()
    publish(noisy_folder, PublishArguments("me/noisy"), api)
    text = api.content["README.md"].decode()
    assert 'load_dataset("me/noisy", split="train")' in text
    assert 'load_dataset("FOLDER"' not in text
    publish(noisy_folder, PublishArguments("me/noisy", revision="draw2"), api)
    assert 'load_dataset("me/noisy", split="train", revision="draw2")' in api.content["README.md"].decode()
    api = RecordingApi()
    api.there = set()
    publish(noisy_folder, PublishArguments("me/noisy", config_name="b", revision="draw2"), api)
    for card in ("README.md", "b/README.md"):
        assert 'load_dataset("me/noisy", "b", split="train", revision="draw2")' in api.content[card].decode()
    assert "--dataset me/noisy" in text
