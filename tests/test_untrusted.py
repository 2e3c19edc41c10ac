"""Files that are meant to harm: each is refused in a sentence, nothing of it is run, and it costs no memory."""

import json
import os
import resource
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hf_noisy_itm import InputError
from hf_noisy_itm.convert import read_openai
from hf_noisy_itm.loading import ASSETS, load_model

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
    with pytest.raises(InputError, match="holds no plain state dict, and whole models"):
        read_openai(tmp_path / "x.pt")


def test_weights_of_a_folder_are_no_program(folder, canary):
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Program(canary)}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="a pickle with more than tensors in it, which is not run"):
        load_model(str(folder))


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
    with pytest.raises(InputError, match="cannot be loaded as a baseline model"):
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


@pytest.mark.parametrize("part", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", 7])
def test_weights_outside_of_the_folder_are_refused(folder, part):
    shutil.move(folder / "model.safetensors", folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"logit_scale": part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="names weights outside of its folder"):
        load_model(str(folder))
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(InputError, match="is no index of weights"):
        load_model(str(folder))
