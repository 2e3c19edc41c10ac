"""Checkpoints from one format to another, by the command; the figures are those of a naive forward pass."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, CLIPConfig, CLIPModel

from hf_noisy_itm import InputError, NPCModel
from hf_noisy_itm.convert import to_openai
from hf_noisy_itm.export import ConvertArguments, convert, parse_convert

from . import openai_clip

ROOT = Path(__file__).parent.parent
RECORDING = ROOT / "tests" / "fixtures" / "npc_reference.safetensors"


def command(monkeypatch, *words):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["recipes/convert.py", *map(str, words)])
    runpy.run_path("recipes/convert.py", run_name="__main__")


@pytest.fixture
def own_processor(processor, tmp_path):
    processor.save_pretrained(tmp_path / "processor")
    return processor


@pytest.fixture
def weights(own_processor, clip_config):
    """In OpenAI's format, with as many words as the tests' tokenizer has."""
    text, image = clip_config.text_config.to_dict(), clip_config.vision_config.to_dict()
    shape = {"hidden_act": "quick_gelu", "hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 96}
    words = len(own_processor.tokenizer)
    ends = {"vocab_size": words, "bos_token_id": words - 2, "eos_token_id": words - 1}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text | shape | ends, vision_config=image | shape, projection_dim=32)
    return to_openai(config, CLIPModel(config).state_dict())


def test_the_golden_weights_give_the_same_logits(monkeypatch, tmp_path):
    recorded = load_file(RECORDING)
    weights = {name.removeprefix("final."): each for name, each in recorded.items() if name.startswith("final.")}
    torch.save({"epoch": 4, "state_dict": weights}, tmp_path / "npc.pt")
    command(monkeypatch, tmp_path / "npc.pt", "--output", tmp_path / "clip", "--processor", "none")
    model = CLIPModel.from_pretrained(tmp_path / "clip").eval()
    pixels, ids = recorded["step1.images"], recorded["step1.input_ids"]
    with torch.no_grad():
        logits = model(pixel_values=pixels, input_ids=ids).logits_per_image
    expected = weights["logit_scale"].exp() * (
        openai_clip.embed_images(weights, pixels) @ openai_clip.embed_texts(weights, ids).T
    )
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    own = NPCModel.from_pretrained(tmp_path / "clip").eval()
    with torch.no_grad():
        assert torch.equal(own.clip(pixel_values=pixels, input_ids=ids).logits_per_image, logits)
    command(monkeypatch, tmp_path / "clip", "--to", "openai", "--output", tmp_path / "back")
    back = load_file(tmp_path / "back" / "clip.safetensors")
    again = back["logit_scale"].exp() * (openai_clip.embed_images(back, pixels) @ openai_clip.embed_texts(back, ids).T)
    torch.testing.assert_close(again, logits, rtol=1e-5, atol=1e-5)


def test_there_and_back_every_tensor_is_the_same(monkeypatch, weights, tmp_path):
    torch.save(weights, tmp_path / "clip.pt")
    where = ["--processor", tmp_path / "processor"]
    command(monkeypatch, tmp_path / "clip.pt", "--output", tmp_path / "clip", *where)
    command(monkeypatch, tmp_path / "clip", "--to", "openai", "--output", tmp_path / "back")
    back = load_file(tmp_path / "back" / "clip.safetensors")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], each) for name, each in weights.items())
    pictures = AutoProcessor.from_pretrained(tmp_path / "clip").image_processor
    assert pictures.crop_size["height"] == 16
    assert pictures.size["shortest_edge"] == 16  # a larger one would cut the middle out of each picture


def test_openais_format_needs_no_processor(weights, tmp_path):
    """Of a file with words of its own, and of a folder without a tokenizer."""
    torch.save(weights, tmp_path / "CLIP.PT")
    convert(str(tmp_path / "CLIP.PT"), ConvertArguments(str(tmp_path / "clip"), processor="none"))
    for source in ("CLIP.PT", "clip"):
        target = tmp_path / f"openai_{source}"
        convert(str(tmp_path / source), ConvertArguments(str(target), to="openai"))
        back = load_file(target / "clip.safetensors")
        assert back.keys() == weights.keys()
        assert all(torch.equal(back[name], each) for name, each in weights.items())


def test_a_method_becomes_a_plain_clip(monkeypatch, own_processor, clip_config, tmp_path):
    model = NPCModel.from_pretrained("hf_noisy_itm/assets/scenes-clip")
    model.save_pretrained(tmp_path / "npc")
    AutoProcessor.from_pretrained("hf_noisy_itm/assets/scenes-clip").save_pretrained(tmp_path / "npc")
    command(monkeypatch, tmp_path / "npc", "--output", tmp_path / "plain")
    config = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("clip", ["CLIPModel"])
    assert "bank_share" not in config
    pixels = torch.rand(2, 3, 48, 48)
    plain = CLIPModel.from_pretrained(tmp_path / "plain").get_image_features(pixel_values=pixels).pooler_output
    assert torch.equal(plain, model.image_features(pixels))


def test_a_folder_for_sentence_transformers(monkeypatch, weights, tmp_path):
    save_file(weights, tmp_path / "clip.safetensors")
    where = ["--processor", tmp_path / "processor"]
    command(
        *(monkeypatch, tmp_path / "clip.safetensors", "--to", "sentence_transformers"),
        *("--output", tmp_path / "sentences", *where),
    )
    (module,) = json.loads((tmp_path / "sentences" / "modules.json").read_text())
    model = CLIPModel.from_pretrained(tmp_path / "sentences" / module["path"]).eval()
    processor = AutoProcessor.from_pretrained(tmp_path / "sentences" / module["path"])
    library = pytest.importorskip("sentence_transformers", reason="the package is not installed")
    encoder = library.SentenceTransformer(str(tmp_path / "sentences"), device="cpu")
    picture = Image.new("RGB", (20, 20), "red")
    with torch.no_grad():
        tokens = processor.tokenizer(["a red ball"], return_tensors="pt")
        texts = model.get_text_features(**tokens).pooler_output
        images = model.get_image_features(**processor.image_processor([picture], return_tensors="pt")).pooler_output
    torch.testing.assert_close(torch.as_tensor(encoder.encode(["a red ball"])), texts)
    torch.testing.assert_close(torch.as_tensor(encoder.encode([picture])), images)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name what to convert first"),
        (["FILE"], "Say where to: --output DIR"),
        (["FILE", "--output", "OUT", "--to", "onnx"], "There is no format 'onnx'; there are clip, openai"),
        (["FILE", "--output", "THERE"], "is there already: name another --output"),
        (["FILE", "--output", "OUT"], "and OpenAI's tokenizer 49408: say with --processor"),
        (["FILE", "--output", "OUT", "--processor", "SCENES"], "The tokenizer has 797 words, and"),
        (["FILE", "--output", "OUT", "--processor", "GONE"], "The processor .* cannot be loaded"),
        (["FILE", "--output", "OUT", "--to", "sentence_transformers", "--processor", "none"], "needs a tokenizer"),
        (["scenes-clip", "--output", "OUT", "--to", "openai"], "stands for QuickGELU and heads of width 64"),
        (["scenes-clip", "--output", "OUT", "--processor", "none"], "a model's folder has its own"),
        (["gone/gone.pt", "--output", "OUT"], "cannot be read"),
        (["RESNET", "--output", "OUT"], "ResNet"),
    ],
)
def test_what_cannot_be_converted_gets_one_sentence(weights, tmp_path, words, sentence):
    torch.save(weights, tmp_path / "clip.pt")
    torch.save({**weights, "visual.layer1.0.conv1.weight": torch.ones(1)}, tmp_path / "resnet.pt")
    places = {"FILE": "clip.pt", "OUT": "out", "THERE": "processor", "GONE": "gone", "RESNET": "resnet.pt"}
    places = {name: str(tmp_path / place) for name, place in places.items()}
    places["SCENES"] = str(ROOT / "hf_noisy_itm" / "assets" / "scenes-clip")
    with pytest.raises(InputError, match=sentence):
        convert(*parse_convert([places.get(word, word) for word in words]))
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
