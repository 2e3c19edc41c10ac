"""Where the pedigree of a source is found, here and on the Hub; `tests/test_publishing.py` has it over HTTP."""

import json
import shutil
from types import SimpleNamespace

import pytest
from huggingface_hub import _CACHED_NO_EXIST
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data import pedigree as module
from hf_noisy_itm.data.pedigree import pedigree_of_source, read_noise_file

DRAW = {"kind": "shuffle", "nominal": 0.4, "realised": 0.39, "seed": 0, "family": None, "sha256": "ab12"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A data set them/noisy of these files; what was warned of."""
    warnings, files = [], tmp_path / "hub"

    def download(repo, name, repo_type):
        assert (repo, repo_type) == ("them/noisy", "dataset")
        if not (files / name).is_file():
            raise EntryNotFoundError(name)
        return str(files / name)

    monkeypatch.setattr(module, "hf_hub_download", download)
    monkeypatch.setattr(module.logger, "warning", warnings.append)

    def place(name, pedigree, configs=("pairs", "pictures")):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(json.dumps({"pedigree": pedigree, "configs": dict.fromkeys(configs, {})}))

    return SimpleNamespace(place=place, warnings=warnings, files=files)


def found(config=None, labels=False):
    return pedigree_of_source(DataArguments(dataset="them/noisy", dataset_config=config), labels)


def test_a_configuration_may_have_any_name(hub):
    for name in ("pairs", "labels", "draw2"):
        hub.place(f"{name}/noise.json", {**DRAW, "family": name})
    assert [found(name)["family"] for name in ("pairs", "labels", "draw2")] == ["pairs", "labels", "draw2"]
    assert found() is None
    assert found("draw2-pictures") is None


def test_the_first_config_of_a_data_set_is_that_of_its_noise_whatever_its_name(hub, tmp_path):
    labels = {**DRAW, "labels": 7}
    hub.place("noise.json", labels, ["labels", "pictures"])
    assert [found(name, labels=True) for name in (None, "labels", "pictures", "pairs")] == [labels, labels, None, None]
    shutil.copytree(hub.files, tmp_path / "here")
    for name, told in ((None, labels), ("labels", labels), ("pictures", None)):
        given = DataArguments(dataset=str(tmp_path / "here"), dataset_config=name)
        assert pedigree_of_source(given, labels=True) == told
    assert hub.warnings == []


def test_where_the_hub_cannot_be_asked_a_warning_says_so_and_the_data_are_used(hub, monkeypatch):
    def nobody(*_, **__):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(module, "hf_hub_download", nobody)
    monkeypatch.setattr(module, "try_to_load_from_cache", lambda *_, **__: _CACHED_NO_EXIST)
    assert found() is None
    assert hub.warnings == []  # it was asked before, and there is none
    monkeypatch.setattr(module, "try_to_load_from_cache", lambda *_, **__: None)
    assert found() is None
    (told,) = hub.warnings
    assert "cannot be asked whether them/noisy has a noise.json" in told
    assert "hf download them/noisy noise.json --repo-type dataset" in told


@pytest.mark.parametrize(
    "change",
    [
        {"kind": ["a"]},
        {"nominal": "x"},
        {"realised": True},
        {"seed": "\n# no noise\n---"},
        {"sha256": 7},
        {"by_modality": {"image": "x"}},
        {"by_modality": [1]},
        {"before": {"kind": 3}},
        {"before": "x"},
    ],
)
def test_values_that_no_draw_leaves_are_refused_here_and_not_told_of_from_the_hub(hub, change):
    hub.place("noise.json", {**DRAW, **change})
    with pytest.raises(InputError, match="noise.json holds no pedigree .TypeError"):
        read_noise_file(hub.files)
    assert found() is None
    assert len(hub.warnings) == 1
    hub.place("noise.json", {**DRAW, "by_modality": {"image": 0.4}, "before": DRAW})
    assert found()["before"] == DRAW
