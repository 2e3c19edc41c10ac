"""What is refused in a folder is refused by its name on the Hub, and costs no more memory."""

import hashlib
import json
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_noisy_itm import NPCConfig, NPCModel
from hf_noisy_itm.loading import ASSETS
from hf_noisy_itm.methods._weights import read_config

from .hub_server import TOKEN, USER, HubServer, Repository
from .test_publishing import client

SCRIPT = """
import json, resource
from hf_noisy_itm import InputError, NPCModel
from hf_noisy_itm.loading import load_model
told = {{}}
for name, keywords in {names!r}:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        NPCModel.from_pretrained(name, **keywords) if keywords else load_model(name)
        said = "loaded"
    except InputError as error:
        said = str(error)
    told[name] = said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(json.dumps(told))
"""


class Bytes:
    def __reduce__(self):
        return bytearray, (2**30,)


def publish(hub, name, folder, inner="", private=False):
    hub.repositories["models", f"{USER}/{name}"] = repository = Repository(private=private)
    files = {}
    for path in folder.iterdir():
        if path.is_file():
            content = path.read_bytes()
            files[inner + path.name] = sha = hashlib.sha256(content).hexdigest()
            hub.blobs[sha] = content
    repository.commit("main", files, "made")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")

    def folder(name):
        return shutil.copytree(ASSETS / "scenes-clip", place / name)

    weights = load_file(ASSETS / "scenes-clip" / "model.safetensors")
    asks = folder("asks")
    config = json.loads((asks / "config.json").read_text())
    config["text_config"]["vocab_size"] = 2**20
    (asks / "config.json").write_text(json.dumps(config))
    save_file(
        {name: each for name, each in weights.items() if "token_embedding" not in name}, asks / "model.safetensors"
    )
    pickled = folder("pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({**weights, "x": Bytes()}, pickled / "pytorch_model.bin")
    elsewhere = folder("elsewhere")
    (elsewhere / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "../../model.safetensors")}
    (elsewhere / "model.safetensors.index.json").write_text(json.dumps(index))
    absent = folder("absent")
    (absent / "model.safetensors").unlink()
    index["weight_map"] = dict.fromkeys(weights, "absent.safetensors")
    (absent / "model.safetensors.index.json").write_text(json.dumps(index))
    header = folder("header")
    (header / "model.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}")
    shards = folder("shards")
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, some in parts.items():
        save_file({name: weights[name] for name in some}, shards / part, metadata={"format": "pt"})
    (shards / "model.safetensors").unlink()
    index["weight_map"] = {name: part for part, some in parts.items() for name in some}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    adapters = folder("adapters")
    (adapters / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": f"{USER}/asks"}))
    plain = folder("plain")
    with HubServer() as hub:
        for each in place.iterdir():
            publish(hub, each.name, each)
        for each in (plain, asks):
            publish(hub, f"inner-{each.name}", each, "deep/", private=True)
        names = [(f"{USER}/{name.name}", {}) for name in place.iterdir()]
        within = {"subfolder": "deep", "token": TOKEN, "revision": "main"}
        names += [(f"{USER}/inner-{each}", within) for each in ("plain", "asks")]
        yield client(hub, SCRIPT.format(names=names), tmp_path_factory.mktemp("cache"))[0]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("asks", "lacks 1 of CLIP's weights"),
        ("inner-asks", "lacks 1 of CLIP's weights"),
        ("pickled", "asks for __builtin__.bytearray, which is not run"),
        ("elsewhere", "names weights outside of its folder"),
        ("absent", "absent.safetensors"),
        ("header", "model.safetensors cannot be read"),
        ("adapters", "holds adapters, and names another model for the rest"),
        ("plain", "loaded"),
        ("inner-plain", "loaded"),
        ("shards", "loaded"),
    ],
)
def test_a_name_on_the_hub_is_looked_at_as_a_folder_is(told, name, sentence):
    said, grown = told[f"{USER}/{name}"]
    assert sentence in said
    assert grown < 200  # MB


def test_what_is_looked_at_is_what_is_read_and_where_it_was_asked_for(tmp_path, monkeypatch):
    """A branch may move between the look at the config and the reading of the weights."""
    commit = "0123456789" * 4
    snapshot = shutil.copytree(ASSETS / "scenes-clip", tmp_path / "snapshots" / commit)
    asked = []

    def cached(name, file, **more):
        asked.append(more)
        return str(snapshot / file)

    monkeypatch.setattr("hf_noisy_itm.methods._weights.cached_file", cached)
    config = NPCConfig.from_pretrained(snapshot)
    given = {"revision": "main", "token": "t", "local_files_only": True, "cache_dir": "c", "subfolder": "s"}
    keywords = read_config(NPCModel, "them/clip", {**given, "config": config, "proxies": {}, "force_download": True})
    assert keywords["revision"] == commit
    told = {**given, "proxies": {}, "force_download": True, "_raise_exceptions_for_missing_entries": False}
    assert asked == [told]
