"""What lies beside the metric for a Space: the card, the requirements, and the function behind the page."""

import contextlib
import doctest
import importlib.util
import inspect
import io
import json
import re
import shutil
import tomllib
from importlib.metadata import version
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from hf_noisy_itm.functional.retrieval import recall
from hf_noisy_itm.hub.space import metric_card, stage_metric
from hf_noisy_itm.metrics import ITMRecall

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "hf_noisy_itm" / "metrics" / "itm_recall"
_, FRONT_MATTER, CARD = metric_card("hf_noisy_itm/metrics/itm_recall").split("---\n", 2)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app as a Space runs it: in a folder of another name, outside the package."""
    folder = shutil.copytree(FOLDER, tmp_path_factory.mktemp("space") / "app")
    spec = importlib.util.spec_from_file_location("space_app", folder / "app.py")
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app


def arrays():
    rng = np.random.default_rng(0)
    images, owner = rng.standard_normal((12, 8), np.float32), rng.permutation(np.arange(36) % 12)
    texts = images[owner] + rng.standard_normal((36, 8), np.float32)
    gallery = torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(owner)
    return {"image_embeds": images[owner], "text_embeds": texts, "image_id": owner}, recall(*gallery)


def figures(answer):
    sentence, rows = answer
    assert sentence.startswith("12 pictures, 36 captions.")
    return {name: value for name, value, _, _ in rows}


@pytest.mark.parametrize("kind", ["safetensors", "half safetensors", "npz", "JSON"])
def test_files_and_text_give_the_figures_of_the_metric(app, tmp_path, kind):
    content, expected = arrays()
    path, text = tmp_path / f"rows.{kind.split()[-1]}", ""
    if kind == "JSON":
        path, text = None, json.dumps({name: array.tolist() for name, array in content.items()})
    elif kind == "npz":
        np.savez_compressed(path, **content)
    else:
        tensors = {name: torch.from_numpy(array) for name, array in content.items()}
        if kind.startswith("half"):
            tensors |= {name: tensors[name].bfloat16() for name in ("image_embeds", "text_embeds")}
            expected = ITMRecall(keep_in_memory=True).compute(**tensors)
        save_file(tensors, path)
    assert figures(app.answer(path and str(path), text)) == {name: round(v, 2) for name, v in expected.items()}


def test_options_reach_the_metric(app, tmp_path):
    content, _ = arrays()
    np.savez(tmp_path / "rows.npz", **content)
    metric = ITMRecall(keep_in_memory=True)
    folds = app.answer(str(tmp_path / "rows.npz"), "", "1, 3", 3)
    assert figures(folds)["i2t_r@3"] == round(metric.compute(**content, ks=(1, 3), folds=3)["i2t_r@3"], 2)
    _, rows = app.answer(str(tmp_path / "rows.npz"), "", "1", 1, 40, 0.5, 3)
    expected = metric.compute(**content, ks=(1,), bootstrap=40, level=0.5, seed=3)
    assert rows[0] == ["i2t_r@1"] + [round(expected[f"i2t_r@1{end}"], 2) for end in ("", "_low", "_high")]


def test_the_example_of_the_page_is_answered(app):
    sentence, rows = app.answer(None, app.EXAMPLE, "1, 2")
    assert sentence.startswith("2 pictures, 3 captions.")
    assert rows[0] == ["i2t_r@1", 100.0, None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "The text is not JSON"),
        ({"text": "[" * 100_000}, "The text is not JSON"),
        ({"text": "[1, 2]"}, "Three arrays are needed, image_embeds, text_embeds, image_id; found list"),
        ({"text": '{"image_id": [1]}'}, "found image_id"),
        ({"text": '{"image_embeds": 1, "text_embeds": [[1]], "image_id": [1]}'}, "image_embeds must be an array"),
        ({"text": '{"image_embeds": [[NaN]], "text_embeds": [[1]], "image_id": [1]}'}, "not finite in row 0"),
        ({"text": '{"image_embeds": [[1]], "text_embeds": [[1]], "image_id": [1' + 30 * "0" + "]}"}, "image_id must"),
        ({"ks": "1; 5"}, "K must be whole numbers with commas between them, like 1, 5, 10; got '1; 5'"),
        ({"ks": "3"}, "between 1 and the smaller gallery"),
        ({"folds": 1.5}, "folds must be a whole number, got 1.5"),
        ({"folds": None}, "folds must be a whole number"),
        ({"bootstrap": -1}, "bootstrap must be a whole number"),
        ({"bootstrap": float("inf")}, "bootstrap must be a whole number"),
        ({"bootstrap": 10_001}, "At most 10000 bootstrap samples"),
        ({"bootstrap": 5, "level": None}, "level must be a number between 0 and 1"),
        ({"bootstrap": 5, "level": 1}, "level must be a number between 0 and 1, like 0.95, got 1"),
        ({"bootstrap": 5}, "takes at least 100 bootstrap samples, got 5"),
        ({"path": "rows.csv"}, r"rows.csv is neither a .safetensors nor an .npz file"),
        ({"path": "absent.npz"}, "not a whole .npz file"),
        ({"path": "absent.safetensors"}, "not a whole .safetensors file"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(app, change, message):
    sentence, rows = app.answer(**{"text": app.EXAMPLE, "ks": "1", **change})
    assert rows == []
    assert sentence.startswith("**Not computed.** ")
    assert re.search(message, sentence)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_half_a_file_is_not_read(app, tmp_path, suffix):
    content, _ = arrays()
    path = tmp_path / f"rows.{suffix}"
    if suffix == "npz":
        np.savez(path, **content)
    else:
        save_file({name: torch.from_numpy(array) for name, array in content.items()}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sentence, rows = app.answer(str(path))
    assert rows == []
    assert "not a whole" in sentence


def test_pickles_and_bombs_are_not_opened(app, tmp_path, monkeypatch):
    content, _ = arrays()
    touched = tmp_path / "touched"

    class Bad:
        def __reduce__(self):
            return Path.touch, (touched,)

    np.savez(tmp_path / "bad.npz", **{**content, "image_id": np.array([Bad()], dtype=object)})
    sentence, rows = app.answer(str(tmp_path / "bad.npz"))
    assert rows == []
    assert "allow_pickle" in sentence
    assert not touched.exists()
    monkeypatch.setattr(app, "_MOST_BYTES", 10_000)
    np.savez_compressed(tmp_path / "zeros.npz", **{**content, "text_embeds": np.zeros((10_000, 8))})
    assert "10000 are the limit" in app.answer(str(tmp_path / "zeros.npz"))[0]
    monkeypatch.setattr(app, "_MOST_ROWS", 2)
    assert "At most 2 captions" in app.answer(None, app.EXAMPLE, "1")[0]


def test_the_front_matter_describes_a_space_that_can_start():
    front = yaml.safe_load(FRONT_MATTER)
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    assert {"evaluate", "metric"} <= set(front["tags"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", front["sdk_version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f">={front['python_version']}" == project["requires-python"]
    files = stage_metric(FOLDER, "user/itm_recall")
    assert files["requirements.txt"].decode().split() == [f"{project['name']}=={version(project['name'])}"]
    assert 'evaluate.load("user/itm_recall")' in files["README.md"].decode()


def test_the_example_of_the_card_prints_what_it_shows(monkeypatch):
    monkeypatch.chdir(ROOT)
    code, shown = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", CARD, re.DOTALL).groups()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue() == shown


def test_the_example_of_the_docstring_and_the_citations_are_those_of_the_card(monkeypatch):
    monkeypatch.chdir(ROOT)
    info = ITMRecall(keep_in_memory=True).info
    examples = doctest.DocTestParser().get_doctest(info.inputs_description, {"evaluate": evaluate}, "m", None, None)
    assert doctest.DocTestRunner().run(examples) == (0, 4)
    assert info.citation.strip() in CARD
    for name in inspect.signature(ITMRecall._compute).parameters.keys() - {"self"}:
        assert f"`{name}`" in CARD
        assert f"    {name}: " in info.inputs_description
