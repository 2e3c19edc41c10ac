"""The benchmarks, on the smallest scale: they run, and write what they say."""

import importlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from hf_noisy_itm.memory.weights import PairWeights

from .measuring import ROOT, committed, here


def test_what_is_measured_alone_has_a_process_of_its_own(monkeypatch):
    here("bank", monkeypatch)
    assert importlib.import_module("_measure").in_own_process(os.getpid) != os.getpid()


def test_the_noise_benchmark_writes_its_figures(measured):
    figures, _ = measured("noise", "--captions 2000 --semantic_captions 500 --width 8 --queries 50 --k 3")
    assert figures["semantic"]["queries"] == 50
    assert 0.38 < figures["shuffle"]["realised"] <= 0.4
    assert all(figures[kind]["damaged_per_second"] > 0 for kind in ("partial", "truncated", "duplicated"))
    assert all(0 < figures[part]["peak_rss_gb"] < 16 for part in ("shuffle", "semantic", "partial"))
    assert figures["machine"]["cores"] == os.cpu_count()


def test_the_committed_figures_keep_what_was_promised():
    """Seconds for half a million captions, and less than 2 GB for the search among 145,000."""
    figures = committed("noise")
    assert figures["shuffle"]["captions"] == 566_435
    assert sum(value for name, value in figures["shuffle"].items() if name.startswith("seconds")) < 10
    assert (figures["semantic"]["captions"], figures["semantic"]["width"]) == (145_000, 512)
    assert figures["semantic"]["peak_rss_gb"] < 2


def test_the_retrieval_benchmark_writes_its_figures(measured):
    words = "--images 60 --captions 300 --width 8 --repeats 1"
    large = "--slice_images 20 --large_images 100 --large_captions 500"
    figures, told = measured("retrieval", f"{words} {large}")
    whole = committed("retrieval")
    assert {name: figures[name].keys() for name in ("seconds", "large")} == {
        name: whole[name].keys() for name in ("seconds", "large")
    }
    assert all(name in told for name in figures["seconds"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--images", "0"], "--images must be at least 1, got 0."),
        (["--repeats", "-1"], "--repeats must be at least 1, got -1."),
        (["--captions", "4000"], "every picture needs a caption: --captions is 4000, but --images 5000."),
        (["--large_captions", "2399"], "--large_captions must be at least twice --slice_images, 2400, got 2399."),
        (["--large_images", "9"], "--large_images must be at least twice --slice_images, 2400, got 9."),
        (["--output", "recipes"], "--output recipes is no file in a folder that is there."),
        (["--output", "nowhere/x.json"], "--output nowhere/x.json is no file in a folder that is there."),
        (["--width", "wide"], "argument --width: invalid int value: 'wide'"),
    ],
)
def test_the_retrieval_benchmark_names_what_it_cannot_measure(words, sentence, monkeypatch, capsys):
    main = here("retrieval", monkeypatch)
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {sentence}\n")


def test_the_committed_ranks_are_nearly_as_fast_as_the_bare_product():
    figures = committed("retrieval")
    assert figures["gallery"] == {"images": 5000, "captions": 25_000, "width": 512}
    times = figures["times the bare product"]
    assert times["ours"] <= 2
    assert times["argsort twice in each direction, float32, once"] >= 16 * times["ours"]
    assert figures["extra_memory_mb"] < 300
    large = figures["large"]
    assert (large["images"], large["captions"]) == (100_000, 500_000)
    unit_rows = (large["images"] + large["captions"]) * figures["gallery"]["width"] * 4 / 1e6
    assert large["extra memory for all in MB, extrapolated"] < 1.25 * unit_rows
    assert large["hours for all, extrapolated"] < 1


def test_the_bank_benchmark_writes_its_figures(measured):
    figures, told = measured("bank", "--pictures 80 --captions 3 --width 16")
    assert figures["data"] == {"pairs": 240, "pictures": 80, "captions": 3, "width": 16, "noise": 0.4}
    assert all(0 < bank["clean pairs"] < 240 for bank in figures["banks"].values())
    assert all(name in told for name in figures["banks"])


def test_the_benchmark_of_npcs_step_writes_its_figures(measured):
    figures, told = measured("npc_step", "--small --batch_size 4 --repeats 1")
    assert figures["strangers"]["further pictures"] == 8
    assert 0 < figures["bank"]["further pictures"] < 8
    for kind in ("bank", "strangers"):
        assert figures[kind]["times the control"]["control"] == 1
        assert all(name in told for name in figures[kind]["seconds"])


def test_a_committed_step_of_npc_costs_what_was_promised():
    figures = committed("npc_step")
    assert figures["bank"]["times the control"]["each pair alone"] <= 2  # what the recipes have
    for kind in ("bank", "strangers"):
        times = figures[kind]["times the control"]
        assert times["full, every 4th visit"] < times["full: all parameters move"] <= 4.4


def test_the_benchmark_of_a_step_writes_its_figures(measured):
    figures, told = measured("fne_step", "--layers 1 --batch 4 --large 12 --queue 200 --repeats 1")
    seconds, large = figures["seconds"], figures["large"]
    for loss in ("triplet", "infonce"):
        name = f"fne, {loss}: loss, draw and queue"
        assert figures["share of loss, draw and queue"][loss] == pytest.approx(seconds[name] / seconds["fne"])
        assert large["loss, draw and queue, times as many of the control's steps"][loss] == pytest.approx(
            seconds[f"{name}, batch of 12"] / (3 * seconds["control"])
        )
    assert figures["times the control's step, negatives=fne"] == pytest.approx(
        seconds["control, negatives=fne"] / seconds["control"]
    )
    assert all(value > 0 for value in seconds.values())
    assert "In a batch of 12 they take, of 3 of the control's steps: triplet " in told


def test_a_committed_step_of_fne_costs_what_was_promised():
    figures = committed("fne_step")
    assert (figures["queue"], figures["parameters"] > 150e6) == (65_536, True)
    assert max(figures["share of loss, draw and queue"].values()) < 0.1
    assert figures["times the control's step"] <= 1.5


def test_the_benchmark_of_coders_step_writes_its_figures(measured):
    figures, told = measured("coder_step", "--layers 1 --batch 4 --queue 200 --concepts 20 --repeats 1")
    ratios = figures["times the control's step"]
    assert set(ratios) == {"coder", "coder, no pseudo labels", "coder, no concept branch"}
    assert all(value > 0 for value in figures["seconds"].values())
    assert all(f"{value:.2f} times the control's step" in told for value in ratios.values())


def test_a_committed_step_of_coder_costs_what_was_promised():
    figures = committed("coder_step")
    assert (figures["queue"], figures["concepts"], figures["parameters"] > 150e6) == (4096, 300, True)
    assert figures["times the control's step"]["coder"] <= 1.9


def test_the_gradient_of_a_share_is_set_beside_the_whole(measured):
    figures, told = measured("npc_share", "--pairs 100 --batch_size 16 --draws 4")
    for share in figures["shares"].values():
        assert 0 < share["entries"]["cosine"] < share["batch and entries"]["cosine"] <= 1
    assert figures["shares"].keys() == committed("npc_share")["shares"].keys()
    assert "cosine of one draw" in told


def test_what_grows_is_measured_against_what_it_grows_with(measured):
    words = "--width 16 --local 32 64 --processes 1 2 --queue 100 200 --pairs 1000 2000 --searched 300 600 --repeats 1"
    figures, told = measured("scaling", words)
    lines = figures["lines"]
    assert set(lines["loss, MB by local x global"]["points"]) == {"32 x 32", "64 x 64", "32 x 64"}
    assert lines["queue, MB by pairs"]["each"] == pytest.approx((2 * 16 * 4 + 2 * 8) / 1e6, rel=0.01)
    assert lines["cosines, MB by pairs"]["each"] == pytest.approx(4e-6)
    assert all(name in told for name in lines)
    assert lines.keys() == committed("scaling")["lines"].keys()


def test_what_flags_cost_is_measured_in_turns(measured):
    figures, told = measured("flags", "--layers 1 --batch 2 --repeats 1")
    assert figures["times the plain step"]["plain"] == 1
    assert all(f"{name}: " in told for name in figures["seconds"])
    assert figures["seconds"].keys() <= committed("flags")["seconds"].keys()
    memory = committed("flags")["MB"]
    assert memory["gradient_checkpointing"] < memory["plain"]


def test_load_is_measured_at_three_sizes_of_each_stage(measured):
    figures, told = measured("load", "--sizes 500 1000 2000 --set_sizes 50 100 200 --bank_sizes 300 600 1200")
    for name, stage in figures["stages"].items():
        assert len(stage["sizes"]) == 3
        assert name in told
    assert figures["stages"].keys() == committed("load")["stages"].keys()


def test_a_point_off_the_line_is_told_as_a_share_of_it(monkeypatch):
    here("load", monkeypatch)
    off = importlib.import_module("load").off_the_line
    assert off([1, 2, 4], [10, 20, 40]) == 0
    assert off([1, 2, 4], [1, 4, 16]) == pytest.approx(1 / 3)  # a square: 1 + 15 / 3 = 6 is expected


def test_committed_load_grows_in_a_line_but_for_the_search_of_the_bank():
    stages = committed("load")["stages"]
    for name in ("shuffle", "words", "scores", "sampling"):
        assert list(stages[name]["sizes"]) == ["500000", "1000000", "2000000"]
        assert max(stages[name]["off the line"].values()) <= 0.15
        assert max(point["peak memory in MB"] for point in stages[name]["sizes"].values()) < 1000
    assert list(stages["noisy set"]["sizes"]) == ["500000", "1000000", "2000000"]
    assert stages["noisy set"]["off the line"]["processor seconds"] <= 0.15
    half, one, two = (each["extra memory in MB"] for each in stages["noisy set"]["sizes"].values())
    assert two <= 1.15 * (one + 2 * (one - half))  # less than a line would be welcome, and is what was measured
    assert stages["streamed epoch"]["off the line"]["processor seconds"] <= 0.15
    assert all(point["extra memory in MB"] < 50 for point in stages["streamed epoch"]["sizes"].values())
    assert stages["bank"]["off the line"]["extra memory in MB"] <= 0.15


def test_weights_of_two_runs_are_compared_by_rank(tmp_path, monkeypatch, capsys):
    for name, weights in {"full": [0.1, 0.2, 0.3, 0.4, 0.0], "other": [0.5, 0.9, 0.6, 0.7, 0.0]}.items():
        ledger = PairWeights(5)
        ledger.add(torch.arange(4), torch.tensor(weights[:4]))  # the last pair was never seen
        (tmp_path / name).mkdir()
        save_file(ledger.state_dict(), tmp_path / name / "pair_weights.safetensors")
        run = {"metrics": {"rsum": 500.0}, "weights": {"auc": 0.5}, "pairs": {"train": 5}, "noise": {"seed": 0}}
        (tmp_path / name / "metrics.json").write_text(json.dumps(run))
    output = tmp_path / "weights.json"
    here("npc_weights", monkeypatch)([str(tmp_path / "full"), str(tmp_path / "other"), "--output", str(output)])
    other = json.loads(output.read_text())["runs"]["other"]
    assert other["pairs"] == 4
    assert other["rank correlation"] == pytest.approx(0.4)  # ranks 1 2 3 4, 1 4 2 3: 1 - 6 (4 + 1 + 1) / 60
    assert "rank correlation 0.4" in capsys.readouterr().out


def test_the_committed_bank_of_145_000_pairs_takes_less_than_a_minute():
    figures = committed("bank")
    assert (figures["data"]["pairs"], figures["data"]["width"], figures["machine"]["cores"]) == (145_000, 512, 2)
    for name in ("NPC's", "exclude_self"):
        assert figures["banks"][name]["seconds"] < 60
        assert figures["banks"][name]["extra memory in MB"] < 1000


def test_the_committed_chunks_take_one_batch_s_memory_and_little_more_time():
    figures = committed("grad_cache")
    memory = figures["MB beyond model, gradients and inputs, by batch"]
    assert memory.keys() == {"256", "1024", "4096"}
    assert max(memory.values()) <= 1.15 * min(memory.values())
    assert figures["seconds"]["in chunks"] <= 1.45 * figures["seconds"]["whole"]
    assert figures["times the whole batch's step"] <= 1.45
