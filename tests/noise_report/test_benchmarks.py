"""What the report was measured to do: the benchmarks run, and the committed figures keep what was promised."""

import json
import runpy
from statistics import mean

import pytest
import torch

from ..measuring import BENCHMARKS, RESULTS, ROOT, committed, here

FOUND = sorted((RESULTS / "noise_report").glob("*.json"))
of_all_found = pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
UNIFORM = ("shuffle", "shuffle_images")


@pytest.mark.usefixtures("without_plots")
def test_the_benchmark_writes_its_figures(measured):
    words = "--pictures 60 --captions 5 --width 16 --page_pairs 2000"
    figures, told = measured("noise_report", words)
    assert figures["pairs"] == 300
    assert figures["report"].keys() == committed("noise_report")["report"].keys()
    assert 0 < figures["page"]["MB"] < 10
    assert "processor seconds" in told


def test_a_committed_report_of_145_000_pairs_takes_less_than_two_minutes_and_4_gb():
    figures = committed("noise_report")
    assert (figures["pairs"], figures["width"], figures["machine"]["cores"]) == (145_000, 512, 2)
    report = figures["report"]
    assert report["seconds"] < 120
    assert report["extra memory in MB"] + report["embeddings in MB"] < 4000
    assert report["estimated"] == pytest.approx(report["wrong"], abs=0.05)
    assert figures["search"]["recall"] > 0.8
    assert figures["page"]["pairs"] == 1_000_000
    assert max(figures["page"]["MB"], report["page in MB"]) < 10


def test_what_is_found_is_measured_on_any_data(measured):
    data = "--dataset scenes --max_train_pictures 60 --max_eval_pictures 12"
    words = f"scenes-clip {data} --kinds shuffle truncated --rates 0.4 --seeds 0"
    figures, told = measured("noise_found", words)
    assert figures["pairs"]["captions"] == 300
    assert [found["kind"] for found in figures["noise"]] == ["shuffle", "truncated"]
    shuffled = figures["noise"][0]
    assert shuffled["wrong"] == pytest.approx(0.4, abs=0.02)
    assert shuffled["auc"]["combined"] > 0.95
    assert shuffled["weights"].keys() == {"cosine", "loss", "agreement", "prediction"}
    assert "| shuffle 40% |" in told


def test_noise_beside_that_of_the_benchmark_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = runpy.run_path(str(BENCHMARKS / "noise_found.py"))
    with pytest.raises(SystemExit), script["clean_exit"]():
        script["main"](["scenes-clip", "--noise_rate", "0.4", "--output", str(tmp_path / "x.json")])
    assert "Noise is drawn here" in capsys.readouterr().err


@of_all_found
def test_uniform_noise_is_found_and_counted(path):
    figures = json.loads(path.read_text())
    runs = [found for found in figures["noise"] if found["kind"] in UNIFORM]
    assert {(found["rate"], found["seed"]) for found in runs} == {(r, s) for r in (0.2, 0.4, 0.6) for s in range(3)}
    outside = []
    for found in runs:
        low, high = found["interval"]
        if found["kind"] == "shuffle" or path.stem == "scenes":
            assert found["estimated"] == pytest.approx(found["wrong"], abs=0.05)
        else:  # a few hundred pictures are wrong, each with all its captions
            outside.append(max(low - found["wrong"], found["wrong"] - high, 0))
        if path.stem == "scenes":
            assert found["auc"]["combined"] >= 0.95
    assert sum(map(bool, outside)) <= 1  # of nine: they are 95 % intervals
    assert max(outside, default=0) < 0.02


BELOW = {("scenes", "truncated"), ("emoji", "partial")}  # as docs/noise_report.md says


@of_all_found
def test_the_sum_is_about_as_good_as_the_best_signal_whatever_the_noise(path):
    """Within 0.01 on the mean of three draws, but for two kinds on which it is not yet."""
    worse = {}
    for found in json.loads(path.read_text())["noise"]:
        best = max(value for name, value in found["auc"].items() if name != "combined")
        worse.setdefault((found["kind"], found["rate"]), []).append(best - found["auc"]["combined"])
    assert max(map(mean, worse.values())) < 0.015  # nor may these two get worse
    assert {(path.stem, kind) for (kind, _), values in worse.items() if mean(values) > 0.01} <= BELOW


@pytest.mark.parametrize("name", ["scenes", "emoji"])
def test_most_suggestions_are_right_or_there_are_none(name):
    for found in json.loads((RESULTS / "noise_report" / "suggestions" / f"{name}.json").read_text())["noise"]:
        assert found["suggestions"]["right"] is None or found["suggestions"]["right"] > 0.85
        assert (found["suggestions"]["offered"] > 0) == (name == "scenes")


def test_the_docs_say_how_many_suggestions_are_right():
    docs = (ROOT / "docs" / "noise_report.md").read_text()
    for name, called in (("scenes", "`scenes`"), ("emoji", "emoji")):
        draws = json.loads((RESULTS / "noise_report" / "suggestions" / f"{name}.json").read_text())["noise"]
        for rate in (0.2, 0.4, 0.6):
            those = [found for found in draws if found["rate"] == rate]
            cells = [called, f"{100 * rate:.0f}%", f"{sum(found['flagged'] for found in those):,}"]
            offered, right = shares_of(those, "suggestions")
            cells += [f"{offered:,}" if offered else "none", f"{right:.1f} %" if offered else "–"]
            cells.append(f"{shares_of(those, 'nearest')[1]:.1f} %")
            assert f"| {' | '.join(cells)} |" in docs


def shares_of(draws, what):
    """How many were offered in all draws, and how many per cent of them were right."""
    offered = sum(found[what]["offered"] for found in draws)
    right = sum(found[what]["offered"] * (found[what]["right"] or 0) for found in draws)
    return offered, 100 * right / offered if offered else 0.0


@of_all_found
def test_clean_captions_raise_no_alarm(path):
    clean = json.loads(path.read_text())["clean"]
    assert clean["wrong"] == 0
    assert clean["estimated"] < 0.05


@of_all_found
def test_the_tables_of_the_page_are_those_of_the_results(path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    table = runpy.run_path(str(BENCHMARKS / "noise_found.py"))["table"]
    assert table(json.loads(path.read_text())) in (ROOT / "docs" / "noise_report.md").read_text()


def test_the_page_tells_how_far_single_draws_are_off():
    worst = {}
    for path in FOUND:
        runs = [found for found in json.loads(path.read_text())["noise"] if found["kind"] == "shuffle_images"]
        worst[path.stem] = max(abs(found["estimated"] - found["wrong"]) for found in runs)
    points = f"{100 * worst['scenes']:.0f} points".replace("1 points", "1 point")
    told = f"off by up to {points} (`scenes`) and {100 * worst['emoji']:.0f} (emoji)"
    assert told in " ".join((ROOT / "docs" / "noise_report.md").read_text().split())


def test_the_share_is_right_or_doubted_on_made_up_embeddings(monkeypatch, tmp_path, capsys):
    draws = committed("share_found")["draws"]
    assert len(draws) == 112
    for draw in draws:
        error = abs(draw["estimated"] - draw["wrong"])
        assert error < 0.06 or draw["doubts"]
        assert error < 0.05 or draw["auc_of_right"] < 0.97 or draw["captions"] < 1000
    main = here("share_found", monkeypatch)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # other tests go on with theirs
    main(draws=2, seed=90210, output=tmp_path / "out.json")
    figures, told = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out
    for new, old in zip(figures["draws"], draws):
        assert new["wrong"] == pytest.approx(old["wrong"])
        assert new["estimated"] == pytest.approx(old["estimated"], abs=0.02)
    assert "| interval covers |" in told
