import multiprocessing
import shutil
import sys
from pathlib import Path

import datasets
import evaluate
import numpy as np
import pytest
import torch

from hf_noisy_itm.functional.retrieval import bootstrap_recall, recall, recall_of_folds, retrieval_ranks
from hf_noisy_itm.metrics import ITMRecall
from hf_noisy_itm.metrics.itm_recall import itm_recall as module
from hf_noisy_itm.metrics.itm_recall.tests import test_cases as cases

ROOT = Path(__file__).parents[2]
SMALL = {"image_embeds": np.eye(3), "text_embeds": np.eye(3), "image_id": [4, 5, 6]}


def rows(num_images=12, num_texts=40, width=8, seed=0):
    """Inputs of the metric, and the same as `functional.retrieval` takes it."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((num_images, width), np.float32)
    owner = rng.permutation(np.r_[np.arange(num_images), rng.integers(0, num_images, num_texts - num_images)])
    texts = images[owner] + rng.standard_normal((num_texts, width), np.float32)
    ids = np.sort(rng.choice(10_000, num_images, replace=False) - 5_000)  # with gaps, and some below 0
    inputs = {"image_embeds": images[owner], "text_embeds": texts, "image_id": ids[owner]}
    return inputs, (torch.from_numpy(images), torch.from_numpy(texts), torch.from_numpy(owner))


def part(inputs, where):
    return {name: column[where] for name, column in inputs.items()}


@pytest.fixture
def metric():
    return ITMRecall(keep_in_memory=True)


@pytest.mark.parametrize("case", cases)
def test_figures_worked_out_by_hand(metric, case):
    inputs = {name: value for name, value in case.items() if name != "result"}
    assert metric.compute(**inputs) == pytest.approx(case["result"])


@pytest.mark.parametrize("place", ["clone", "package", "file alone"])
def test_it_loads_from_a_clone_from_the_package_and_as_a_file_alone(place, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT if place == "clone" else tmp_path)
    path = {
        "clone": "hf_noisy_itm/metrics/itm_recall",
        "package": str(Path(module.__file__).parent),
        "file alone": shutil.copy(module.__file__, tmp_path),
    }[place]
    loaded = evaluate.load(path, cache_dir=str(tmp_path))
    inputs, gallery = rows()
    assert loaded.name == "itm_recall"
    assert type(loaded) is not ITMRecall  # but a copy of it in evaluate's cache
    assert loaded.compute(**inputs) == recall(*gallery)
    assert not list(tmp_path.rglob("*.arrow"))  # no rows are left behind


@pytest.mark.parametrize("options", [{}, {"folds": 3, "ks": (1, 2)}, {"bootstrap": 100}])
def test_the_order_of_rows_does_not_matter(metric, options):
    inputs, _ = rows()
    shuffled = part(inputs, np.random.default_rng(1).permutation(40))
    assert metric.compute(**inputs, **options) == metric.compute(**shuffled, **options)


def test_folds_are_in_the_order_of_the_ids(metric):
    # Pictures 1 and 3 are alike, so are 2 and 4. In the folds {1, 2} and {3, 4} all is found, in {1, 3} nothing.
    rows = np.eye(2)[[0, 0, 1, 1]]
    inputs = {"image_embeds": rows, "text_embeds": rows, "ks": (1,), "folds": 2}
    assert metric.compute(image_id=[1, 3, 2, 4], **inputs)["rsum"] == 200
    assert metric.compute(image_id=[1, 2, 3, 4], **inputs)["rsum"] == 0


def test_options_and_figures_are_those_of_the_functions(metric):
    inputs, gallery = rows()
    assert metric.compute(**inputs, ks=[2, 3]) == recall(*gallery, ks=(2, 3))
    assert metric.compute(**inputs, ks=(1,), folds=3) == recall_of_folds(*gallery, folds=3, ks=(1,))
    rng = np.random.default_rng(7)
    expected = recall(*gallery)
    for name, ends in bootstrap_recall(retrieval_ranks(*gallery), gallery[2], rng, level=0.5, samples=50).items():
        expected |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    assert metric.compute(**inputs, bootstrap=50, level=0.5, seed=7) == expected
    assert expected["rsum_low"] < expected["rsum_high"]


def test_add_add_batch_and_compute_agree(metric):
    inputs, gallery = rows()
    for row in range(5):
        metric.add(**part(inputs, row))
    for stops in ((5, 6), (6, 6), (6, 30)):
        metric.add_batch(**part(inputs, slice(*stops)))
    assert metric.compute(**part(inputs, slice(30, 40))) == recall(*gallery)


@pytest.mark.parametrize(
    ("convert", "exact"),
    [
        (lambda rows: rows, torch.float32),
        (lambda rows: rows.astype(np.float64), torch.float32),
        (lambda rows: rows.tolist(), torch.float32),
        (list, torch.float32),
        (lambda rows: np.asfortranarray(rows), torch.float32),
        (lambda rows: torch.from_numpy(rows).requires_grad_(), torch.float32),
        (lambda rows: torch.from_numpy(rows).bfloat16(), torch.bfloat16),
        (lambda rows: torch.from_numpy(rows).double(), torch.float32),
        (lambda rows: list(torch.from_numpy(rows).requires_grad_()), torch.float32),
        (lambda rows: tuple(torch.from_numpy(rows).bfloat16()), torch.bfloat16),
        (lambda rows: [list(row) for row in torch.from_numpy(rows).bfloat16().requires_grad_()], torch.bfloat16),
        (lambda rows: rows.astype(np.float16), torch.float16),
    ],
)
def test_no_bit_of_float32_is_lost(metric, monkeypatch, convert, exact):
    seen = []
    monkeypatch.setattr(module, "retrieval_ranks", lambda *gallery: seen.append(gallery) or retrieval_ranks(*gallery))
    inputs, gallery = rows()
    inputs |= {name: convert(inputs[name]) for name in ("image_embeds", "text_embeds")}
    metric.compute(**inputs)
    for ours, theirs in zip(seen[0], gallery):
        assert torch.equal(ours, theirs.to(exact).float() if theirs.is_floating_point() else theirs)


def test_ids_may_be_a_list_of_tensors(metric):
    inputs, gallery = rows()
    assert metric.compute(**{**inputs, "image_id": list(torch.from_numpy(inputs["image_id"]))}) == recall(*gallery)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8])
def test_integers_reach_to_the_ends_of_their_type(metric, dtype):
    embeds = np.full((3, 3), np.iinfo(dtype).min) + np.diag([100, 100, 100])
    inputs = {"image_embeds": embeds.astype(dtype), "text_embeds": embeds.astype(dtype), "image_id": [4, 5, 6]}
    assert metric.compute(**inputs, ks=(1,))["rsum"] == 200


@pytest.mark.parametrize("scale", [1e-50, 1e50])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy, lambda rows: list(torch.from_numpy(rows))])
def test_what_float32_cannot_hold_is_refused_before_it_is_lost(metric, convert, scale):
    with pytest.raises(ValueError, match="Row 0 of text_embeds is kept in float32, which cannot hold .*: scale the"):
        metric.compute(**{**SMALL, "text_embeds": convert(np.eye(3) * scale)})


class Rows(evaluate.Metric):
    """Another metric of the same inputs."""

    def _info(self):
        return evaluate.MetricInfo(description="", citation="", features=ITMRecall(keep_in_memory=True).features)

    def _compute(self, image_embeds, text_embeds, image_id):
        return {"rsum": -1, "rows": len(image_id)}


def test_it_combines_with_another_metric_and_with_itself():
    inputs, gallery = rows()
    expected = recall(*gallery)
    both = evaluate.combine([ITMRecall(keep_in_memory=True), Rows(keep_in_memory=True)])
    for where in (slice(0, 10), slice(10, 40)):
        both.add_batch(**part(inputs, where))
    figures = both.compute()
    assert (figures.pop("itm_recall_rsum"), figures.pop("rows_rsum")) == (expected.pop("rsum"), -1)
    assert figures == {**expected, "rows": 40}
    named = evaluate.combine({name: ITMRecall(keep_in_memory=True) for name in ("one", "two")})
    figures = named.compute(**inputs)
    assert figures["one_i2t_r@1"] == figures["two_i2t_r@1"] == expected["i2t_r@1"]


def other_process(inputs, options):
    metric = evaluate.load(str(Path(module.__file__).parent), process_id=1, **options)
    for where in np.array_split(np.arange(len(inputs["image_id"])), 3):
        metric.add_batch(**part(inputs, where))
    sys.exit(metric.compute() is not None)  # the other process has the figures


@pytest.mark.parametrize("here", [17, 0])
def test_two_processes_give_what_one_gives(tmp_path, here):
    inputs, gallery = rows()
    options = {"num_process": 2, "experiment_id": "two", "cache_dir": str(tmp_path), "timeout": 60}
    # A fork need not import torch again; it only writes rows.
    other = multiprocessing.get_context("fork").Process(
        target=other_process, args=(part(inputs, slice(here, None)), options)
    )
    other.start()
    try:
        metric = evaluate.load(str(Path(module.__file__).parent), process_id=0, **options)
        metric.add_batch(**part(inputs, slice(0, here)))
        assert metric.compute(folds=2, ks=(1, 3)) == recall_of_folds(*gallery, folds=2, ks=(1, 3))
        other.join(60)
        assert other.exitcode == 0
    finally:
        other.kill()
        other.join()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text_embeds": None}, r"takes image_embeds, text_embeds, image_id, .*; got image_embeds, image_id\."),
        ({"text_embeds": np.eye(3)[:, :2]}, r"one width, got image_embeds \[3\], text_embeds \[2\]"),
        ({"text_embeds": [[1.0], [2.0, 3.0], [4.0]]}, "rows of text_embeds have different widths"),
        ({"text_embeds": np.eye(3)[:2]}, "got image_embeds 3, text_embeds 2, image_id 3 rows"),
        ({"text_embeds": np.ones(3)}, r"text_embeds must be a matrix of numbers, .* got float64 \(3,\)"),
        ({"text_embeds": np.ones((3, 0))}, r"text_embeds must be a matrix"),
        ({"text_embeds": [["a"], ["b"], ["c"]]}, "text_embeds must be a matrix of numbers"),
        ({"text_embeds": np.diag([1, np.nan, 1])}, "text_embeds is not finite in row 1, of image_id 5"),
        ({"image_embeds": np.diag([1, 1, np.inf])}, "image_embeds is not finite in row 2, of image_id 6"),
        ({"image_id": [4, 5, 4]}, "Rows 0 and 2 give the picture of image_id 4 two different embeddings; embed each"),
        ({"image_id": [4.0, 5.0, 6.0]}, r"image_id must be one integer per caption, got float64 \(3,\)"),
        ({"image_id": [[4], [5], [6]]}, r"image_id must be one integer per caption, got int64 \(3, 1\)"),
        ({"image_embeds": [], "text_embeds": [], "image_id": []}, "no rows to compute recall from"),
        ({"ks": (1, 4)}, r"between 1 and the smaller gallery \(3\), got \[1, 4\]"),
        ({"folds": 2}, "3 pictures cannot be divided into 2 folds"),
        ({"folds": 0}, "folds must be at least 1, got 0"),
        ({"folds": 1.5}, "folds must be a whole number, got 1.5"),
        ({"folds": 3, "bootstrap": 10}, "leave one of them out"),
        ({"bootstrap": 10}, "level 0.95 takes at least 100 bootstrap samples, got 10"),
        ({"bootstrap": 1.5}, "bootstrap must be a whole number of 0 or more, got 1.5"),
        ({"bootstrap": True}, "bootstrap must be a whole number of 0 or more, got True"),
        ({"bootstrap": "x"}, "bootstrap must be a whole number of 0 or more, got 'x'"),
        ({"bootstrap": -5}, "bootstrap must be a whole number of 0 or more, got -5"),
        ({"seed": -1}, "seed must be a whole number of 0 or more, got -1"),
        ({"seed": "a"}, "seed must be a whole number of 0 or more, got 'a'"),
        ({"bootstrap": 100, "level": 2}, "level must be a number between 0 and 1, like 0.95, got 2"),
        ({"level": 7}, "level must be a number between 0 and 1, like 0.95, got 7"),
        ({"level": "x"}, "level must be a number between 0 and 1, like 0.95, got 'x'"),
    ],
)
def test_wrong_input_is_named_and_the_metric_still_works(metric, change, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(**{**SMALL, "ks": (1,), **change})
    assert metric.compute(**SMALL, ks=(1,))["rsum"] == 200


def test_wrong_rows_of_several_batches_are_named(metric):
    metric.add_batch(**SMALL)
    metric.add_batch(image_embeds=np.eye(2), text_embeds=np.eye(2), image_id=[7, 8])
    with pytest.raises(ValueError, match=r"one width, got image_embeds \[2, 3\], text_embeds \[2, 3\]"):
        metric.compute(ks=(1,))
    metric.add_batch(**SMALL)
    metric.add_batch(**{**SMALL, "image_embeds": 2 * np.eye(3)})
    with pytest.raises(ValueError, match="Rows 0 and 3 give the picture of image_id 4"):
        metric.compute(ks=(1,))


def test_a_batch_that_is_refused_leaves_no_trace(metric):
    metric.add_batch(**SMALL)
    with pytest.raises(ValueError, match="one row per caption"):
        metric.add_batch(**{**SMALL, "image_id": [1]})
    with pytest.raises(ValueError, match="got none"):
        metric.add_batch(predictions=np.eye(3), references=np.eye(3))
    assert metric.compute(ks=(1,))["rsum"] == 200


def test_the_features_are_what_evaluate_tells_users():
    features = ITMRecall(keep_in_memory=True).features
    assert features["image_embeds"] == features["text_embeds"] == datasets.List(datasets.Value("float32"))
    assert features["image_id"] == datasets.Value("int64")
