"""Files that are meant to harm: each is refused in a sentence, nothing of it is run, and it costs no memory."""

import contextlib
import json
import os
import resource
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from hf_noisy_itm import InputError, NPCModel
from hf_noisy_itm.hub.run_folder import stage_model
from hf_noisy_itm.loading import ASSETS, load_model
from hf_noisy_itm.openai_file import read_openai
from hf_noisy_itm.untrusted import Stored, content_of, declared, pickles

SCENES = ASSETS / "scenes-clip"
RECORDING = Path(__file__).parent / "fixtures" / "npc_reference.safetensors"


class Program:
    """Unpickled, it writes a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def canary(tmp_path):
    """A folder that stands after the test if code of a checkpoint ran."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.fixture
def weights():
    recorded = load_file(RECORDING)
    return {name.removeprefix("final."): each for name, each in recorded.items() if name.startswith("final.")}


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SCENES, tmp_path / "model")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def safetensors_of(path, header, length=None, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def test_the_canary_sings(tmp_path):
    torch.save({"a": Program(tmp_path / "canary")}, tmp_path / "x.pt")
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("place", [lambda each: each, lambda each: {"state_dict": each}, lambda each: {"a": [each]}])
@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_code_is_refused(weights, canary, tmp_path, place, new):
    content = {**weights, "visual.proj": Program(canary)}
    torch.save(place(content), tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    reason = "its pickle asks for .*mkdir, which is not run" if new else "File is not a zip file"
    with pytest.raises(InputError, match=rf"holds no plain state dict \({reason}\)\. Nothing else is opened"):
        read_openai(tmp_path / "x.pt")


def test_weights_of_a_folder_are_no_program(folder, canary):
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Program(canary)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"holds no plain state dict \(its pickle asks for .*mkdir, which is not run"):
        load_model(str(folder))


class Costly:
    """Unpickled, it is what a function makes of an argument."""

    def __init__(self, function, *arguments):
        self.made_by = function, arguments

    def __reduce__(self):
        return self.made_by


@pytest.mark.parametrize("place", [lambda each: each, lambda each: {"state_dict": each, "epoch": 1}])
@pytest.mark.parametrize("size", [2**30])
def test_a_pickle_that_grows_is_refused_before_it_does(weights, folder, tmp_path, size, place):
    """weights_only=True takes a bytearray: a gigabyte out of ten bytes."""
    torch.save(place({**weights, "x": Costly(bytearray, size)}), tmp_path / "x.pt")
    (folder / "model.safetensors").unlink()
    shutil.copyfile(tmp_path / "x.pt", folder / "pytorch_model.bin")
    before = peak()
    for read in (read_openai, lambda path: load_model(str(folder)), lambda path: NPCModel.from_pretrained(folder)):
        with pytest.raises(InputError, match="its pickle asks for __builtin__.bytearray, which is not run"):
            read(tmp_path / "x.pt")
    assert peak() - before < 100 * 2**20


def archive(path, pickled, records=()):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"data.pkl": pickled, "version": b"3\n", **dict(records)}.items():
            file.writestr(f"archive/{name}", content)
    return path


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(%sK\x00%s\x85%s\x85\x89ccollections\nOrderedDict\n)RtR"


def as_int(number):
    return b"J" + struct.pack("<i", number)


def one_tensor(numbers=1, size=1, stride=1):
    parts = (STORAGE % as_int(numbers), as_int(size), as_int(stride))
    return b"\x80\x02}X\x01\x00\x00\x00a" + TENSOR % parts + b"s."


def test_what_these_pickles_are_made_of_is_read(tmp_path):
    path = archive(tmp_path / "x.pt", one_tensor(), {"data/0": b"\x00\x00\x80\x3f"})
    assert torch.load(path, weights_only=True)["a"].item() == 1
    assert content_of(path) == {"a": Stored((1,), 4)}
    assert declared(path) == {"a": (1,)}


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (one_tensor(numbers=2**30), "its record data/0 is shorter than the 1073741824 numbers"),
        (one_tensor(size=2**30), r"a tensor of shape \(1073741824,\) is longer than its storage of 1 numbers"),
        (one_tensor(size=-1), "instead of a size"),
        (one_tensor(stride=-1), "instead of a size"),
        (b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02e\x85R.", "it is damaged"),
        (b"\x80\x02ccollections\nCounter\n)R.", "asks for collections.Counter"),
        (b"\x80\x02c__builtin__\nset\n)R.", "asks for __builtin__.set"),
        (b"\x80\x02c_codecs\nencode\n)R.", "asks for _codecs.encode"),
        (b"\x80\x02}" + b"}q\x00h\x00h\x00\x86\x85K\x01s.", "a key is missing, or is neither text nor number"),
        (b"\x80\x02" + b"}0" * 10, "uses the opcode POP"),
        (b"\x80\x02}K\x01", "it is damaged"),
        (b"\x80\x02t.", "it is damaged"),
        (b"", "it is damaged"),
    ],
)
def test_what_no_state_dict_needs_is_refused(folder, pickled, reason):
    (folder / "model.safetensors").unlink()
    archive(folder / "pytorch_model.bin", pickled, {"data/0": b"\x00\x00\x80\x3f"})
    before = peak()
    for read in (lambda: read_openai(folder / "pytorch_model.bin"), lambda: load_model(str(folder))):
        with pytest.raises(InputError, match=f"pytorch_model.bin holds no plain state dict.*{reason}"):
            read()
    assert peak() - before < 300 * 2**20


def test_a_pickle_of_a_million_things_is_not_followed_to_its_end(tmp_path, monkeypatch):
    """An empty list is one byte there, and 56 in memory."""
    monkeypatch.setattr(pickles, "_MOST_OPCODES", 1000)
    with pytest.raises(InputError, match="its pickle has more than 1000 opcodes"):
        read_openai(archive(tmp_path / "x.pt", b"\x80\x02" + b"]" * 1000 + b"."))


def test_a_pickle_that_copies_one_dictionary_many_times_is_refused(tmp_path):
    """By five bytes each time, which torch's unpickler would do."""
    entries = b"}q\x00" + b"".join(b"K" + bytes([each]) + b"K\x01s" for each in range(100))
    copies = b"]" + b"}h\x00ba" * 40
    with pytest.raises(InputError, match="it copies more than it holds"):
        read_openai(archive(tmp_path / "x.pt", b"\x80\x02" + entries + copies + b"."))
    content_of(archive(tmp_path / "y.pt", b"\x80\x02]" + entries + b"a}h\x00ba."))  # once is as pickles do


def test_a_pickle_of_many_bytes_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "_MOST_BYTES", 1000)
    with pytest.raises(InputError, match="its pickle has 1003 bytes, those of a model at most 1000"):
        read_openai(archive(tmp_path / "x.pt", b"\x80\x02" + b"]" * 1000 + b"."))


def test_what_is_packed_is_not_opened_even_if_it_grows_nothing(weights, tmp_path):
    torch.save(weights, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as plain:
        records = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
        for name, content in records.items():
            file.writestr(name, content)
        file.writestr("x/data/99", os.urandom(1000), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "x.pt") as file:
        assert sum(part.file_size for part in file.infolist()) < (tmp_path / "x.pt").stat().st_size
    with pytest.raises(InputError, match="is packed"):
        read_openai(tmp_path / "x.pt")


def test_a_packed_archive_is_not_opened(weights, folder, tmp_path):
    """A hundred megabytes of zeros in a hundred kilobytes: a file of torch.save, packed anew."""
    torch.save(weights, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as packed:
        for part in plain.namelist():
            with packed.open(zipfile.ZipInfo(part), "w") as file:
                file.write(plain.read(part))
        bomb = zipfile.ZipInfo("x/data/99")
        bomb.compress_type = zipfile.ZIP_DEFLATED
        with packed.open(bomb, "w") as file:
            for _ in range(100):
                file.write(bytes(2**20))
    before = peak()
    with pytest.raises(InputError, match="is packed: its .* bytes would become"):
        read_openai(tmp_path / "bomb.pt")
    (folder / "model.safetensors").unlink()
    shutil.copyfile(tmp_path / "bomb.pt", folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="is packed"):
        load_model(str(folder))
    assert peak() - before < 50 * 2**20


def test_tensors_that_stand_for_more_than_there_is_are_refused(weights, tmp_path):
    """Views of one number, a terabyte long, and a thousand names for one tensor."""
    before = peak()
    torch.save({**weights, "visual.proj": torch.zeros(1).expand(2**20, 2**18)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"declares tensors of 10\d{11} bytes and holds"):
        read_openai(tmp_path / "x.pt")
    torch.save(
        {**weights, **{f"x{each}": weights["token_embedding.weight"] for each in range(1000)}}, tmp_path / "x.pt"
    )
    with pytest.raises(InputError, match="declares tensors of"):
        read_openai(tmp_path / "x.pt")
    assert peak() - before < 100 * 2**20


@pytest.mark.parametrize(
    ("header", "length", "data"),
    [
        ({"logit_scale": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, 2**62, b"abcd"),
        ({"logit_scale": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, None, b"abcd"),
        ({"logit_scale": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, None, b"abcd"),
        ({"logit_scale": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}, None, b"abcd"),
        ({"logit_scale": {"dtype": "F32", "shape": [], "data_offsets": [4, 0]}}, None, b"abcd"),
        (["no mapping"], None, b""),
    ],
)
def test_a_safetensors_file_with_a_wrong_header_is_refused(folder, tmp_path, header, length, data):
    safetensors_of(tmp_path / "x.safetensors", header, length, data)
    before = peak()
    with pytest.raises(InputError, match="cannot be read"):
        read_openai(tmp_path / "x.safetensors")
    shutil.copyfile(tmp_path / "x.safetensors", folder / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors cannot be read"):
        load_model(str(folder))
    assert peak() - before < 100 * 2**20


def with_config(folder, **more):
    config = json.loads((folder / "config.json").read_text()) | more
    (folder / "config.json").write_text(json.dumps(config))


def test_code_of_another_repository_is_refused(folder):
    with_config(folder, auto_map={"AutoModel": "evil/repo--code.Model"})
    with pytest.raises(InputError, match="names code of another repository, evil/repo--code.Model"):
        load_model(str(folder))


def test_code_in_the_folder_is_not_run(folder, canary):
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass Model: pass\n")
    with_config(folder, auto_map={"AutoModel": "code.Model", "AutoConfig": "code.Model"})
    assert type(load_model(str(folder))[0]).__name__ == "BaselineModel"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["code.Own", "code.Own"]}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "code.Own"}, "processor_class": "Own"}),
    ],
)
def test_code_of_a_processor_is_not_run_and_nobody_is_asked(folder, canary, monkeypatch, file, change):
    """transformers asks on the terminal whether to run it, and "yes" may be waiting there."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass Own: pass\n")
    config = json.loads((folder / file).read_text()) | change
    (folder / file).write_text(json.dumps(config))
    with contextlib.suppress(InputError):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"crop_size": {"height": 20_000, "width": 20_000}},
            r"makes pictures of \(20000, 20000\) pixels, and the model",
        ),
        ({"crop_size": {"height": 48, "width": 40}}, r"makes pictures of \(48, 40\) pixels, and the model takes 48"),
        ({"size": {"shortest_edge": 20_000}}, "makes pictures larger than 4 times the 48 pixels"),
        ({"do_pad": True, "pad_size": {"height": 20_000, "width": 9}}, "makes pictures larger than 4 times"),
        ({"do_center_crop": False, "size": {"height": 64, "width": 64}}, r"makes pictures of \(64, 64\) pixels"),
    ],
)
def test_a_processor_makes_pictures_of_the_size_that_the_model_takes(folder, change, sentence):
    config = json.loads((folder / "processor_config.json").read_text())
    config["image_processor"] |= change
    (folder / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=sentence):
        load_model(str(folder))


@pytest.mark.parametrize("loading", [lambda folder: load_model(str(folder)), NPCModel.from_pretrained])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"attn_implementation": "evil/kernel"}, "asks for kernels of the Hub, evil/kernel: take it out"),
        ({"text_config": {"_attn_implementation": "evil/kernel:f"}}, "asks for kernels of the Hub"),
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantised"),
    ],
)
def test_a_config_brings_no_kernels_and_no_other_way_to_hold_weights(folder, change, sentence, loading):
    with_config(folder, **change)
    with pytest.raises(InputError, match=sentence):
        loading(folder)


@pytest.mark.parametrize("loading", [lambda folder: load_model(str(folder)), NPCModel.from_pretrained])
@pytest.mark.parametrize(
    ("tower", "change", "lost", "sentence"),
    [
        ("text_config", {"vocab_size": 2**20}, "text_model.embeddings.token_embedding.weight", "lacks 1 of CLIP's w"),
        ("text_config", {"vocab_size": 2**20}, None, r"of shape \(1048576, 96\), and its weights hold one of \(797"),
        ("text_config", {"vocab_size": 2**62}, None, "makes no model|asks for clip.text_model"),
        (
            "text_config",
            {"intermediate_size": 2**20},
            "text_model.encoder.layers.0.mlp.fc1.weight",
            "of shape|lacks 1",
        ),
        ("vision_config", {"intermediate_size": 2**20}, "vision_model.encoder.layers.0.mlp.fc1.weight", "of shape|la"),
        ("vision_config", {"num_hidden_layers": 80}, None, "lacks .* of CLIP's weights"),
        ("vision_config", {"num_hidden_layers": 10**9}, None, "asks for 1000000000 num_hidden_layers, and there are"),
        ("vision_config", {"image_size": 10**6}, "vision_model.embeddings.position_embedding.weight", "lacks 1"),
        (
            "text_config",
            {"max_position_embeddings": 2**22},
            "text_model.embeddings.position_embedding.weight",
            "lacks",
        ),
        (None, {"projection_dim": 2**22}, "text_projection.weight", "of shape|lacks"),
    ],
)
def test_a_config_that_asks_for_more_than_its_weights_is_refused_first(folder, loading, tower, change, lost, sentence):
    config = json.loads((folder / "config.json").read_text())
    config.update({tower: config[tower] | change} if tower else change)
    (folder / "config.json").write_text(json.dumps(config))
    if lost:
        weights = load_file(folder / "model.safetensors")
        del weights[lost]
        save_file(weights, folder / "model.safetensors")
    before = peak()
    with pytest.raises(InputError, match=sentence):
        loading(folder)
    assert peak() - before < 100 * 2**20


def test_a_config_that_asks_for_much_beside_its_weights_is_refused(folder):
    with_config(folder, model_type="noisy_itm_fne", queue_size=2**23)
    with pytest.raises(InputError, match="bytes that its weights do not hold, queue.* of shape"):
        load_model(str(folder))


def test_a_pickle_of_views_is_refused_in_a_folder(folder):
    """A gigabyte of embeddings that are one number: the shapes are the config's, and the file is short."""
    weights = load_file(folder / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    weights[name] = torch.zeros(1).expand(2**21, weights[name].shape[1])
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 2**21
    (folder / "config.json").write_text(json.dumps(config))
    before = peak()
    with pytest.raises(InputError, match="declares tensors of .* bytes and holds"):
        load_model(str(folder))
    assert peak() - before < 100 * 2**20


@pytest.mark.parametrize("name", ["../model.safetensors.index.json", "/etc/x.safetensors", "inner/x.safetensors", 7])
def test_a_config_that_names_weights_outside_of_the_folder_is_refused(folder, name):
    with_config(folder, transformers_weights=name)
    for loading in (lambda: load_model(str(folder)), lambda: NPCModel.from_pretrained(folder)):
        with pytest.raises(InputError, match="config.json of .* names weights outside of its folder"):
            loading()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": None}, "holds no model_type in its config.json, and so perhaps a model, not a CLIP"),
        ({"model_type": 7}, "holds a model of type 7, not a CLIP"),
        ({"model_type": "bert"}, "holds a model of type 'bert', not a CLIP"),
        ({"model_type": "noisy_itm_later"}, "There is no method 'later'"),
        ({"dtype": "../x"}, r"cannot be loaded as a baseline model: its files are damaged, .* \(AttributeError: "),
        ({"num_labels": []}, r"cannot be loaded.*: its files are damaged, or of another version \(TypeError: "),
        (
            {"text_config": {"hidden_size": 0}},
            "cannot be loaded as a baseline model|makes no model|they do not belong",
        ),
    ],
)
def test_nonsense_in_a_config_is_one_sentence(folder, change, sentence):
    with_config(folder, **change)
    with pytest.raises(InputError, match=sentence) as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


def test_a_field_of_another_kind_is_one_sentence_of_a_method_too(folder):
    with_config(folder, text_config={"hidden_size": "x"})
    sentence = "The config of .*, with what was given, makes no NPCModel: Field 'hidden_size' expected int"
    with pytest.raises(InputError, match=sentence) as caught:
        NPCModel.from_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "7", "{", "[" * 100_000, ""])
def test_what_is_no_config_is_one_sentence(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match="cannot be loaded: ") as caught:
        load_model(str(folder))
    assert "\n" not in str(caught.value)


def test_an_index_that_a_config_names_is_looked_at(folder):
    """transformers checks that the index lies in the folder, and not where its entries lead."""
    shutil.move(folder / "model.safetensors", folder.parent / "elsewhere.safetensors")
    names = load_file(folder.parent / "elsewhere.safetensors")
    index = folder / "own.safetensors.index.json"
    for file, sentence in (
        ("../elsewhere.safetensors", "names weights outside of its folder"),
        ("absent.safetensors", "names absent.safetensors, which is missing"),
    ):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, file)}))
        with_config(folder, transformers_weights=index.name)
        with pytest.raises(InputError, match=f"own.safetensors.index.json {sentence}"):
            load_model(str(folder))
    shutil.move(folder.parent / "elsewhere.safetensors", folder / "absent.safetensors")
    assert torch.equal(load_model(str(folder))[0].clip.text_projection.weight, names["text_projection.weight"])


def test_a_variant_in_shards_is_found_and_looked_at(folder):
    """The name of its index is `model.safetensors.index.fp16.json`, see transformers."""
    model = load_model(str(folder))[0]
    model.save_pretrained(folder.parent / "half", variant="fp16", max_shard_size="1MB")
    loaded = type(model).from_pretrained(folder.parent / "half", variant="fp16")
    assert torch.equal(loaded.clip.text_projection.weight, model.clip.text_projection.weight)
    index = folder.parent / "half" / "model.safetensors.index.fp16.json"
    told = json.loads(index.read_text())
    shutil.copy(index, index.with_name("model.fp16.safetensors.index.json"))
    told["weight_map"] |= {"clip.logit_scale": "../outside.safetensors"}
    index.write_text(json.dumps(told))
    with pytest.raises(InputError, match="names weights outside of its folder"):
        type(model).from_pretrained(folder.parent / "half", variant="fp16")


@pytest.mark.parametrize("is_published", [False, True])
def test_adapters_around_a_model_of_ours_are_no_way_past_what_is_looked_at(folder, tmp_path, is_published):
    """`AutoModel` follows them to the model that they name, and would add them to it in whatever format they have."""
    for each in load_model(str(folder), "npc"):
        each.save_pretrained(tmp_path / "run" if is_published else tmp_path / "base")
    (tmp_path / "around").mkdir()
    if is_published:
        (tmp_path / "base").mkdir()
        stage_model(tmp_path / "run", tmp_path / "base")
    told = {"base_model_name_or_path": str(tmp_path / "base"), "peft_type": "LORA", "r": 2**22}
    (tmp_path / "around" / "adapter_config.json").write_text(json.dumps(told))
    torch.save({"x": Program(tmp_path / "canary")}, tmp_path / "around" / "adapter_model.bin")
    with pytest.raises(InputError, match="around holds adapters, and names another model for the rest"):
        AutoModel.from_pretrained(tmp_path / "around")
    assert not (tmp_path / "canary").exists()


def test_adapters_and_shards_of_a_training_lead_nowhere(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "evil/repo"}))
    with pytest.raises(InputError, match="holds adapters, and names another model for the rest"):
        load_model(str(folder))
    (folder / "adapter_config.json").unlink()
    (folder / "shard-00000-model-00000-of-00001.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="holds a distributed checkpoint"):
        load_model(str(folder))


@pytest.mark.parametrize("part", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "a\\b", 7])
def test_weights_outside_of_the_folder_are_refused(folder, part):
    shutil.move(folder / "model.safetensors", folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"logit_scale": part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="names weights outside of its folder"):
        load_model(str(folder))
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(InputError, match="is no index of weights"):
        load_model(str(folder))
