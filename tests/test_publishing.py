"""Push and pull over HTTP, against the Hub of `hub_server.py`; clients run in processes of their own.

`huggingface_hub` reads its settings when it is imported, so each process has one endpoint, one cache and one mode.
They are few, for each imports torch.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import safetensors.torch
import torch
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from safetensors.torch import load_file
from transformers import AutoModel, CLIPModel

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.evaluation import parse_evaluation
from hf_noisy_itm.export import parse_convert
from hf_noisy_itm.hub import PublishArguments, parse_publish, publish, without_tokens
from hf_noisy_itm.hub.results import find_control
from hf_noisy_itm.hub.run_folder import stage_model
from hf_noisy_itm.hub.weights import WEIGHTS
from hf_noisy_itm.loading import load_model

from .hub_server import TOKEN, USER, HubServer, Repository
from .methods.table import METHODS
from .methods.test_contract import make

ROOT = Path(__file__).parent.parent
SCENES = ROOT / "hf_noisy_itm" / "assets" / "scenes-clip"
METRICS = json.loads((SCENES / "metrics.json").read_text())
NOISE = {"kind": "shuffle", "nominal": 0.4, "realised": 0.39, "seed": 0, "family": None, "sha256": "ab12"}
NAME = f"{USER}/a.robust-CLIP"


def client(hub, script, cache, **more):
    """What a process prints as JSON at its end, its exit status, and all that it said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(cache)}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout.splitlines()[-1]), ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder as `recipes/train.py` leaves it, and a control beside it."""
    folder = tmp_path_factory.mktemp("runs")
    figures = dict(METRICS["metrics"])
    del figures["t2i_r@10"]
    for name, method, metrics in (("npc", "npc", figures), ("control", "baseline", METRICS["metrics"])):
        model, processor = load_model("scenes-clip", method)
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
        told = {**METRICS, "method": method, "model": "scenes-clip", "metrics": metrics, "noise": NOISE}
        told["data"] = {**told["data"], "data_dir": "/home/me/secret/data", "dataset": "scenes"}
        told["command"] = without_tokens(["recipes/train.py", "--hub_token", TOKEN, "--output_dir=/home/me/secret/x"])
        (folder / name / "metrics.json").write_text(json.dumps(told))
    (folder / "npc" / "memory.json").write_text(json.dumps({"files": ["pair_weights.safetensors"]}))
    (folder / "npc" / "pair_weights.safetensors").write_bytes(b"weights")
    (folder / "npc" / "weights.png").write_bytes(b"plot")
    (folder / "npc" / "training_args.bin").write_bytes(TOKEN.encode())
    (folder / "npc" / "checkpoint-1").mkdir()
    (folder / "npc" / "checkpoint-1" / "optimizer.pt").write_bytes(b"x")
    return folder / "npc"


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PUBLISH = """
import contextlib, io, json, runpy, sys, time
import huggingface_hub.utils._http as http
from huggingface_hub import constants

endpoint = constants.ENDPOINT

class Clock:  # a request that fails is tried again after seconds that nobody needs here
    monotonic, time, perf_counter = time.monotonic, time.time, time.perf_counter
    sleep = staticmethod(lambda seconds: None)

http.time = Clock
told = {{}}
for name, words in {commands!r}:
    sys.argv = ["recipes/" + words[0], *words[1:]]
    out = io.StringIO()
    status = 0
    constants.ENDPOINT = "http://127.0.0.1:9" if name == "down" else endpoint  # where nobody listens
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as error:
            status = error.code
    told[name] = (status, out.getvalue())
print(json.dumps(told))
"""

SMALL = "--max_steps 2 --save_strategy steps --save_steps 1 --per_device_train_batch_size 16 --disable_tqdm true"
SMALL += " --report_to none"


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """The Hub after a series of commands, and what each said."""
    folder = tmp_path_factory.mktemp("published")
    noisy, pairs = folder / "noisy", folder / "pairs.parquet"
    rows = [draw_row("street", (0, 1, 0), row) for row in range(12)]
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(str(pairs))
    where = ["publish.py", str(run), "--repo_id"]
    train = ["train.py", "--dataset", str(pairs), *SMALL.split(), "--push_to_hub", "true"]
    late = ["--output_dir", str(folder / "late"), "--hub_model_id", "late"]
    commands = [
        ("cut", [*where, f"{USER}/cut"]),
        ("again", [*where, f"{USER}/cut"]),
        ("public", [*where, NAME, "--dataset_id", "someone/scenes", "--license", "mit"]),
        ("branch", [*where, NAME, "--revision", "later", "--with_training_state"]),
        ("private", [*where, f"{USER}/private", "--private"]),
        ("made private", [*where, NAME, "--private"]),
        ("refused", [*where, "somebody_else/x"]),
        ("refused commit", [*where, f"{USER}/refused"]),
        ("broken", [*where, f"{USER}/broken"]),
        ("down", [*where, f"{USER}/down"]),
        ("space", ["publish.py", "hf_noisy_itm/metrics/itm_recall", "--repo_id", f"{USER}/itm_recall"]),
        (
            "noise",
            [
                *("make_noise.py", "--dataset", str(pairs), "--kind", "shuffle", "--rate", "0.5", "--seed", "0"),
                *("--output", str(noisy), "--push_to_hub", f"{USER}/noisy"),
            ],
        ),
        ("noise again", ["publish.py", str(noisy), "--repo_id", f"{USER}/other-noisy"]),
        *(
            (name, ["publish.py", str(noisy), "--repo_id", f"{USER}/noises", "--config_name", name])
            for name in ("shuffle50", "copy")
        ),
        ("training", [*train, "--output_dir", str(folder / "trained"), "--hub_token", TOKEN]),
        ("training refused", [*train, "--output_dir", str(folder / "untrained"), "--hub_model_id", "them/x"]),
        ("training refused late", [*train, *late]),
    ]
    with HubServer() as hub:
        hub.fault(f"POST /api/models/{USER}/refused/commit/*", 403, "no rights for {token}")
        hub.fault(f"POST /api/models/{USER}/late/commit/*", 403)
        hub.fault("PUT /lfs/*", None, times=2 * 6)  # of both large files, and five more attempts for each
        hub.fault(f"POST /api/models/{USER}/broken/preupload/*", 500, "an error of {token}")
        before = content(run)
        script = PUBLISH.format(commands=commands)
        told, said = client(hub, script, tmp_path_factory.mktemp("home"), HF_TOKEN=TOKEN)
        assert content(run) == before  # the local run is as it was, whatever the Hub answered
        yield hub, told, said, folder


def command_in(text):
    return shlex.split(re.search(r"to try again: python (.*)", text)[1])


def test_commands_end_as_they_should(published):
    told = published[1]
    failed = {name for name, (status, _) in told.items() if status}
    assert failed == {
        *("cut", "made private", "refused", "refused commit", "broken", "down"),
        *("training refused", "training refused late"),
    }
    for name in failed:
        status, text = told[name]
        assert status == 2
        assert text.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut", "RemoteProtocolError|ReadError|WriteError|ConnectError|BrokenPipe"),
        ("refused", "the Hub answered 403 .You have no rights in the namespace somebody_else."),
        ("refused commit", "the Hub answered 403 .no rights for Bearer <TOKEN>."),
        ("broken", "the Hub answered 500 .an error of Bearer <TOKEN>."),
        ("down", "ConnectError: .*[Cc]onnection refused"),
    ],
)
def test_a_refusal_says_why_and_how_to_try_again(published, run, name, reason):
    text = published[1][name][1].splitlines()[-1]
    assert re.search(
        rf"^error: {re.escape(str(run))} is whole but could not be uploaded to '\S+': .*(?:{reason})", text
    )
    words = command_in(text)
    assert words[0] == "recipes/publish.py"
    folder, args = parse_publish(words[1:])
    assert folder == str(run)
    assert f"{args.repo_id!r}" in text


def test_nothing_stands_in_the_repository_after_a_refusal(published):
    hub = published[0]
    for name in ("refused", "broken", "late"):
        assert hub.files(f"{USER}/{name}").keys() == {".gitattributes"}
    assert hub.files(f"{USER}/cut").keys() == hub.files(f"{USER}/private").keys()  # after the second attempt


def test_no_token_anywhere(published):
    hub, told, said, folder = published
    assert TOKEN not in said
    for kind, name in hub.repositories:
        for path, data in hub.files(name, kind).items():
            assert TOKEN.encode() not in data, (name, path)
    for path, data in content(folder).items():
        assert TOKEN.encode() not in data, path


def test_a_repository_holds_what_it_should(published, run):
    files = published[0].files(NAME)
    assert files.keys() == {
        *(".eval_results/hf_noisy_itm.yaml", ".gitattributes", "README.md", "config.json", "metrics.json"),
        *("model.safetensors", "modeling_noisy_itm.py", "processor_config.json", "tokenizer.json"),
        *("tokenizer_config.json", "weights.png"),
    }
    later = published[0].files(NAME, revision="later")
    assert {"training_state/memory.json", "training_state/pair_weights.safetensors"} <= later.keys()
    metrics = json.loads(files["metrics.json"])
    assert metrics["metrics"] == json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["command"] == ["recipes/train.py", "--hub_token", "<TOKEN>", "--output_dir=x"]
    assert metrics["data"]["data_dir"] == "data"
    for name in ("metrics.json", "README.md", "config.json"):
        assert b"secret" not in files[name]
    config = json.loads(files["config.json"])
    assert (config["model_type"], config["noisy_itm"]["method"]) == ("clip", "npc")
    assert config["noisy_itm"]["bank_share"] == 1.0
    state = load_file(SCENES / "model.safetensors")
    assert safetensors.torch.load(files["model.safetensors"]).keys() == state.keys()


def test_the_card_takes_its_numbers_from_the_run_and_its_control(published):
    files = published[0].files(NAME)
    card = ModelCard(files["README.md"].decode())
    figures = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert figures["i2t_r@1"] == round(METRICS["metrics"]["i2t_r@1"], 3)
    assert not {"t2i_r@10", "rsum"} & figures.keys()  # which is no sum of six then
    assert (card.data.license, card.data.datasets) == ("mit", ["someone/scenes"])
    assert card.data.library_name == "transformers"
    rows = [line for line in card.text.splitlines() if line.startswith("| text to image")]
    own, control = METRICS["metrics"], METRICS["metrics"]
    assert rows == [
        f"| text to image | {own['t2i_r@1']:.1f} | {own['t2i_r@5']:.1f} | not measured | 1.0 |",
        f"| text to image, control | {control['t2i_r@1']:.1f} | {control['t2i_r@5']:.1f} | 100.0 | 1.0 |",
    ]
    assert f"rSum not measured, of the control {control['rsum']:.1f}" in card.text
    assert f'from_pretrained("{NAME}")' in card.text
    assert "hardware not recorded" in card.text  # the figures are of before it was
    assert "@inproceedings" in card.text
    assert "- started from scenes\\-clip\n" in card.text
    assert "mit, as whoever published" in card.text
    trained = published[0].files(f"{USER}/trained")["README.md"].decode()
    assert "Trainer" not in trained  # whose card would stand there
    assert "cpu (" in trained
    assert "no `.eval_results` here" in trained
    assert trained.count("rSum ") == 1


def test_eval_results_are_in_the_format_of_the_hub(published):
    entries = parse_eval_result_entries(yaml.safe_load(published[0].files(NAME)[".eval_results/hf_noisy_itm.yaml"]))
    assert {entry.task_id for entry in entries} == {*(f"i2t_r@{k}" for k in (1, 5, 10)), "t2i_r@1", "t2i_r@5"}
    assert {entry.dataset_id for entry in entries} == {"someone/scenes"}
    assert "SHA-256 ab12" in entries[0].notes


def test_training_pushes_once_when_all_is_there(published):
    hub, told, _, folder = published
    assert [each for each in hub.repositories["models", f"{USER}/trained"].messages] == [
        "initial commit",
        "Upload baseline model",
    ]
    files = hub.files(f"{USER}/trained")
    local = json.loads((folder / "trained" / "metrics.json").read_text())
    there = json.loads(files["metrics.json"])
    assert there["metrics"] == local["metrics"]
    for each, weights in ((there, files[WEIGHTS]), (local, (folder / "trained" / WEIGHTS).read_bytes())):
        assert each["weights_sha256"] == {WEIGHTS: hashlib.sha256(weights).hexdigest()}
    assert (folder / "late" / "metrics.json").exists()
    assert (folder / "late" / "model.safetensors").exists()
    assert command_in(told["training refused late"][1])[1:] == [str(folder / "late"), "--repo_id", f"{USER}/late"]
    assert not (folder / "untrained" / "model.safetensors").exists()


def test_data_sets_and_the_space_go_there_too(published):
    hub = published[0]
    for name in ("noisy", "other-noisy"):
        assert {"README.md", "noise.json", "data/train-00000-of-00001.parquet"} <= hub.files(
            f"{USER}/{name}", "datasets"
        ).keys()
        assert hub.repositories["datasets", f"{USER}/{name}"].private
    space = hub.files(f"{USER}/itm_recall", "spaces")
    assert space.keys() == {".gitattributes", "README.md", "app.py", "itm_recall.py", "requirements.txt", "tests.py"}
    assert hub.repositories["models", f"{USER}/private"].private
    assert not hub.repositories["models", NAME].private


PULL = """
import contextlib, json, os, sys, urllib.request
import datasets
import torch
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from transformers import AutoModel, AutoProcessor, CLIPConfig, CLIPModel
from transformers.utils import logging
logging.set_verbosity_error()
name, folder = {name!r}, {folder!r}
from hf_noisy_itm import InputError, NPCModel
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data.pedigree import pedigree_of_source
from hf_noisy_itm.hub.run_folder import stage_model
from hf_noisy_itm.loading import load_model
inputs = {{"input_ids": torch.arange(20).reshape(2, 10), "pixel_values": torch.rand(2, 3, 48, 48)}}

def embeds(model):
    model = model.eval()
    with torch.no_grad():
        if isinstance(model, CLIPModel):
            output = model(**inputs)
            return output.image_embeds, output.text_embeds
        return model.embed_images(inputs["pixel_values"]), model.embed_texts(inputs["input_ids"])

def same(*models):
    (one, *others) = [embeds(model) for model in models]
    return all(torch.equal(a, b) for other in others for a, b in zip(one, other))

local = NPCModel.from_pretrained(folder)

def pull():
    ours, auto, plain = (each.from_pretrained(name) for each in (NPCModel, AutoModel, CLIPModel))
    loaded, processor = load_model(name)
    return {{
        "classes": [type(each).__name__ for each in (ours, auto, loaded, plain, processor)],
        "same": same(local, ours, auto, loaded) and same(CLIPModel.from_pretrained(folder), plain),
        "method": ours.config.method == local.config.method == auto.config.method == loaded.config.method,
        "processor": type(AutoProcessor.from_pretrained(name)).__name__,
    }}

online = told = pull()
given = [each.from_pretrained(name, bank_share=0.25).config.bank_share for each in (NPCModel, AutoModel)]
told["given"] = given + [AutoModel.from_pretrained(name, revision="later").config.bank_share]
told["subfolder"] = same(local, AutoModel.from_pretrained("someone/sub", subfolder="inner"))
told["private"] = same(local, NPCModel.from_pretrained("someone/private", token={token!r}))
told["commit"] = same(local, AutoModel.from_pretrained(name, revision={sha!r}))
told["CLIP"] = [type(AutoModel.from_pretrained({scenes!r})).__name__]
told["CLIP"] += [type(AutoModel.from_config(CLIPConfig())).__name__]
rows = datasets.load_dataset("someone/noisy", token={token!r})
told["configs"] = [datasets.load_dataset("someone/noises", each, token={token!r})["train"].num_rows
                   for each in ("copy", "shuffle50")]
os.environ["HF_TOKEN"] = {token!r}
of_noise = [("someone/noisy", None), ("someone/noises", "copy"), ("someone/noises", "copy-pictures")]
told["pedigrees"] = [pedigree_of_source(DataArguments(dataset=repo, dataset_config=each)) for repo, each in of_noise]
del os.environ["HF_TOKEN"]
told["rows"] = [rows["train"].num_rows, sorted(rows["train"].column_names), sum(rows["train"]["is_noisy"])]
for place in ("someone/private", "someone/nothing"):
    try:
        load_model(place)
    except InputError as error:
        told[place] = str(error)
constants.HF_HUB_OFFLINE = True  # what HF_HUB_OFFLINE=1 sets when a process starts
get_session().close()
with contextlib.suppress(OSError):
    urllib.request.urlopen(constants.ENDPOINT + "/now-offline")
told = online, pull()
print(json.dumps(told))
"""

PULL_WITHOUT_THE_PACKAGE = """
import json, sys
sys.modules["hf_noisy_itm"] = None
import torch
from PIL import Image
from transformers import AutoModel, CLIPModel, pipeline
name = {name!r}
pixels = torch.rand(2, 3, 48, 48)
plain = CLIPModel.from_pretrained(name)
told = {{"plain": type(AutoModel.from_pretrained(name)).__name__}}
remote = AutoModel.from_pretrained(name, trust_remote_code=True)
told["remote"] = [type(remote).__name__, type(remote).__module__.split(".")[0], hasattr(remote, "embed_texts")]
with torch.no_grad():
    rows = plain.get_image_features(pixel_values=pixels).pooler_output
    told["same"] = torch.equal(remote.embed_images(pixels), torch.nn.functional.normalize(rows, dim=-1))
classify = pipeline("zero-shot-image-classification", name)
picture = Image.new("RGB", (48, 48), "red")
told["answers"] = sorted(each["label"] for each in classify(picture, candidate_labels=["a red ball", "a tree"]))
told["ours"] = [each for each, module in sys.modules.items() if each.split(".")[0] == "hf_noisy_itm" and module]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def pulled(published, run, tmp_path_factory):
    """What clients with empty caches find, and one without a network after them."""
    hub = published[0]
    source = hub.repositories["models", NAME]
    hub.repositories["models", f"{USER}/sub"] = Repository(private=False)
    inner = {f"inner/{path}": sha for path, sha in source.commits[source.branches["main"]].items()}
    hub.repositories["models", f"{USER}/sub"].commit("main", inner, "moved")
    values = {"name": NAME, "folder": str(run), "token": TOKEN, "scenes": str(SCENES)}
    values["sha"] = source.branches["later"]
    (online, offline), _ = client(hub, PULL.format(**values), tmp_path_factory.mktemp("cache"))
    assert hub.requests[-1] == "GET /now-offline"
    script = PULL_WITHOUT_THE_PACKAGE.format(name=NAME)
    return online, offline, client(hub, script, tmp_path_factory.mktemp("cache"))[0]


def test_embeddings_are_equal_bit_for_bit_with_and_without_a_network(pulled):
    for told in pulled[:2]:
        assert told["classes"] == ["NPCModel", "NPCModel", "NPCModel", "CLIPModel", "CLIPProcessor"]
        assert told["same"]
        assert told["method"]
        assert told["processor"] == "CLIPProcessor"


def test_revisions_folders_fields_and_private_repositories(pulled):
    told = pulled[0]
    assert told["given"] == [0.25, 0.25, 1.0]
    assert told["subfolder"]
    assert told["private"]
    assert told["commit"]
    assert "someone/private cannot be loaded" in told["someone/private"]
    assert "someone/nothing cannot be loaded" in told["someone/nothing"]


def test_a_data_set_comes_back_as_it_went(published, pulled):
    local = datasets.Dataset.from_parquet(str(published[3] / "noisy" / "data" / "*.parquet"))
    assert pulled[0]["rows"] == [60, sorted(local.column_names), sum(local["is_noisy"])]
    assert pulled[0]["configs"] == [60, 60]
    pedigree = json.loads((published[3] / "noisy" / "noise.json").read_text())["pedigree"]
    assert pedigree["kind"] == "shuffle"
    assert pulled[0]["pedigrees"] == [pedigree, pedigree, None]


def test_a_plain_clip_stays_a_plain_clip(pulled):
    assert pulled[0]["CLIP"] == ["CLIPModel", "CLIPModel"]


def test_transformers_alone_opens_it(pulled):
    told = pulled[2]
    assert told["plain"] == "CLIPModel"
    assert told["remote"] == ["NoisyITMModel", "transformers_modules", True]
    assert told["same"]
    assert told["answers"] == ["a red ball", "a tree"]
    assert told["ours"] == []


# -- without a Hub ----------------------------------------------------------------------------------------------------


def test_a_command_line_is_masked():
    words = ["train.py", "--hub_token", "abc", "--push_to_hub_token=def", TOKEN, "--output_dir", "x"]
    masked = ["train.py", "--hub_token", "<TOKEN>", "--push_to_hub_token=<TOKEN>", "<TOKEN>", "--output_dir", "x"]
    assert without_tokens(words) == masked


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "npc"}, "it was trained by npc, and a control by baseline"),
        ({"model": "other"}, "the model that it starts from differs"),
        ({"noise": {**NOISE, "sha256": "cd"}}, "the noise differs"),
        ({"pairs": {**METRICS["pairs"], "fingerprint": "x"}}, "the training pairs differ"),
        ({"pairs": {**METRICS["pairs"], "eval": 7}}, "the number of pairs to evaluate on differs"),
        ({"data": {**METRICS["data"], "dataset": "other"}}, "the data differs"),
        ({"data": {**METRICS["data"], "dataset": "scenes", "dataset_config": "x"}}, "the data differs"),
        ({"data": {**METRICS["data"], "dataset": "scenes", "test_split": "x"}}, "the split to report on differs"),
    ],
)
def test_what_is_no_control_is_refused_where_it_is_named(run, tmp_path, change, sentence):
    control = json.loads((run.parent / "control" / "metrics.json").read_text()) | change
    (tmp_path / "metrics.json").write_text(json.dumps(control))
    metrics = json.loads((run / "metrics.json").read_text())
    with pytest.raises(InputError, match=f"is no control of .*: {sentence}"):
        find_control(run, metrics, str(tmp_path))
    assert find_control(run, metrics, None)["method"] == "baseline"
    assert find_control(tmp_path / "alone", metrics, None) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repo_id", "a/b"], "Name the folder to publish first"),
        (["FOLDER", "--repo_id", "b"], "must be user/name on the Hub, got 'b'"),
        (["FOLDER", "--repo_id", "a/b/c"], "must be user/name on the Hub"),
        (["FOLDER", "--repo_id", "a/b", "--privat", "true"], "did you mean 'private'"),
        (["FOLDER", "--repo_id", "a/b", "--dataset_id", "scenes"], "user/name of a data set"),
        (["FOLDER", "--repo_id", "a/b", "--license", "Do what\nyou like"], "an identifier of the Hub, such as mit"),
        (["gone", "--repo_id", "a/b"], "There is no folder gone"),
        (["EMPTY", "--repo_id", "a/b"], r"holds no run \(metrics.json\), noisy data set"),
        (["NOMODEL", "--repo_id", "a/b"], "holds no model"),
        (["DATA", "--repo_id", "a/b", "--license", "mit"], "--license is of a run, and the folder holds a data set"),
        (["CONTROL", "--repo_id", "a/b", "--with_training_state"], "holds no whole training state"),
    ],
)
def test_what_cannot_be_published_gets_one_sentence(run, tmp_path, words, sentence):
    for name in ("EMPTY", "NOMODEL", "DATA"):
        (tmp_path / name).mkdir()
    (tmp_path / "NOMODEL" / "metrics.json").write_text((run / "metrics.json").read_text())
    (tmp_path / "DATA" / "noise.json").write_text("{}")
    places = {name: str(tmp_path / name) for name in ("EMPTY", "NOMODEL", "DATA")}
    places |= {"FOLDER": str(run), "CONTROL": str(run.parent / "control")}
    with pytest.raises(InputError, match=sentence):
        publish(*parse_publish([places.get(word, word) for word in words]))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_published_of_a_method_opens_as_itself_and_as_a_clip(method, clip_config, processor, tmp_path):
    cls, config_cls, fields = METHODS[method]
    model = make(cls, config_cls, fields, clip_config)[0].eval()
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    (tmp_path / "staged").mkdir()
    assert stage_model(tmp_path / "run", tmp_path / "staged")[0] is cls
    auto, plain = AutoModel.from_pretrained(tmp_path / "staged"), CLIPModel.from_pretrained(tmp_path / "staged")
    assert type(auto) is cls
    local = cls.from_pretrained(tmp_path / "run").config.method
    assert auto.config.method == local
    assert model.learnt().keys() == auto.learnt().keys()
    assert all(torch.equal(each, auto.state_dict()[name]) for name, each in model.learnt().items())
    assert all(torch.equal(each, plain.state_dict()[name]) for name, each in model.clip.state_dict().items())
    assert cls.from_pretrained(tmp_path / "staged").config.method == local


def test_checkpoints_are_not_pushed():
    with pytest.raises(InputError, match="Checkpoints are not pushed, the finished model is"):
        NoisyITMArguments(output_dir="x", hub_strategy="checkpoint")


def test_the_command_to_try_again_is_the_one_that_was_given():
    words = ["my runs/npc", "--repo_id", "a/b", "--private", "true", "--revision", "x y"]
    args = parse_publish(words)[1]
    assert args == PublishArguments("a/b", private=True, revision="x y")
    assert shlex.split(args.command("my runs/npc"))[1:] == ["recipes/publish.py", *words]


def test_the_page_shows_commands_that_are_understood():
    page = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    parsers = {"publish": parse_publish, "convert": parse_convert, "evaluate": parse_evaluation}
    seen = set()
    for line in lines:
        if match := re.match(r"python recipes/(\w+)\.py (.*)", line):
            seen.add(match[1])
            parsers[match[1]](shlex.split(match[2], comments=True))
    assert seen == set(parsers)


def test_the_arguments_of_a_training_say_where_its_model_goes(clip_config, processor, pairs, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr("hf_noisy_itm.publishing_trainer.publish_run", lambda *given: done.append(given))
    model = make(*METHODS["baseline"], clip_config)[0]
    more = {"report_to": "none", "use_cpu": True, "hub_model_id": "me/x", "hub_revision": "trial", "hub_token": "t"}
    args = NoisyITMArguments(output_dir=str(tmp_path), hub_private_repo=True, **more)
    trainer = NoisyITMTrainer(model, args, pairs, pairs, processor)
    trainer.push_to_hub()
    trainer.push_to_hub(private=False, revision="other", token="u")
    assert [(folder, where) for folder, where, _ in done] == [
        (str(tmp_path), PublishArguments("me/x", private=True, revision="trial")),
        (str(tmp_path), PublishArguments("me/x", private=False, revision="other")),
    ]
    assert [api.token for *_, api in done] == ["t", "u"]
