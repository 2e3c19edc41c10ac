"""Tables of runs that a test wrote: means, differences of the same seed, ratios; and what makes no table."""

import json
import math
from dataclasses import replace

import pytest

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.suites import read_table
from hf_noisy_itm.suites.markdown import as_markdown
from hf_noisy_itm.suites.page import render

from .test_plan import SHUFFLED, suite_of


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["curve"].append({}),
        lambda content: content["cost"].update(peak_mb="x"),
        lambda content: content.update(versions=None),
        lambda content: content.update(weights=3),
        lambda content: content.update(weights={"auc": "x"}),
        lambda content: content.update(noise=[3]),
        lambda content: content["test"].update(fused_rsum="x"),
        lambda content: content["seconds"].update(score_cpu="x"),
        lambda content: content["seconds"].update(train_cpu=0),
        lambda content: content["cost"].update(peak_mb=0.0),
        lambda content: content["run"].update(seed="0"),
        lambda content: content["seconds"].update(train_cpu=math.nan),
        lambda content: content["cost"].update(peak_mb=math.inf),
        lambda content: content["cost"].update(seconds=0),
        lambda content: content["weights"].update(auc=7),
        lambda content: content["weights"].update(auc=math.nan),
        lambda content: content["test"].update(fused_rsum=math.nan),
        lambda content: content["test"].update(rsum=6000.0),
        lambda content: content["test"].update(rsum=-5.0),
        lambda content: content["test"].update(rsum=True),
        lambda content: content["curve"][0].update(rsum=math.nan),
    ],
)
def test_a_run_of_other_kinds_of_values_is_refused(change, made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed0.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="npc_seed0.json is no run of a suite"):
        read_table(suite, folder)


def test_differences_and_ratios_are_of_the_same_seed(made):
    table = read_table(made[0], made[1])
    assert [line.method for line in table.lines[SHUFFLED]] == ["control", "npc", "control_2x"]
    control, npc = (table.line(SHUFFLED, name) for name in ("control", "npc"))
    assert control.whole.values == {0: 459.0, 1: 462.0}
    assert npc.to_control.values == {0: 40.0, 1: 41.0}
    assert npc.to_control.told(sign="+") == "+40.5 ± 0.7"
    assert npc.to_equal_compute.values == {0: 30.0, 1: 31.0}
    assert (npc.wins, control.wins, control.to_control) == (2, 0, None)
    assert (npc.time.mean, npc.memory.mean, npc.auc.mean) == (1.5, 1.2, pytest.approx(0.9))
    assert npc.curve == [(10, 400.5), (20, 450.0)]
    assert {name: set(each.values()) for name, each in table.learning_rates.items()} == {
        name: {1e-4} for name in ("control", "npc", "control_2x")
    }
    assert table.tried[SHUFFLED]["npc"][3e-4].values == {100: pytest.approx(500 - 40 + 40 - 3 - 1)}


def test_runs_that_the_suite_does_not_ask_for_do_not_count(made):
    suite, folder, _ = made
    whole = read_table(suite, folder)
    first = read_table(replace(suite, seeds=(0,)), folder)
    assert first.line(SHUFFLED, "npc").whole.values == {0: 499.0}
    assert first.runs == (whole.runs[0] // 2, whole.runs[1] // 2)
    assert first.hours < whole.hours
    assert read_table(replace(suite, learning_rates=None), folder).tried == {}
    file = folder / "learning_rate" / "shuffle40_npc_0.0001_seed100.json"
    content = json.loads(file.read_text())
    content["run"]["seed"] = 0  # which the table has
    file.with_name("shuffle40_npc_0.0001_seed0.json").write_text(json.dumps(content))
    assert read_table(suite, folder) == whole


def test_a_run_under_the_name_of_another_is_refused(made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed0.json"
    file.write_text((folder / "shuffle40" / "control_seed0.json").read_text())
    with pytest.raises(
        InputError, match=r"npc_seed0.json is no run of a suite .*of the run shuffle40/control_seed0.json"
    ):
        read_table(suite, folder)


def test_what_a_scorer_took_counts_as_time(made):
    suite, folder, _ = made
    for file in folder.glob("shuffle40/npc_seed*.json"):
        content = json.loads(file.read_text())
        content["seconds"]["score_cpu"] = 1.0
        file.write_text(json.dumps(content))
    assert read_table(suite, folder).line(SHUFFLED, "npc").time.mean == 2.0


def test_what_ends_below_the_start_is_told(made):
    suite, folder, _ = made
    assert read_table(suite, folder).start is None
    (folder / "start.json").write_text(json.dumps({"settings": {"model": "x"}, "metrics": {"rsum": 460.7}}))
    table = read_table(suite, folder)
    assert table.start == 460.7
    page = render([table], "figures")
    assert "The model that all start from has 460.7 there without any training." in page
    assert "- small, shuffle, 40 %: control ends below the model that all start from (460.7): better not" in page
    (folder / "start.json").write_text("{}")
    with pytest.raises(InputError, match="start.json holds no figures of a start"):
        read_table(suite, folder)


def test_a_seed_that_the_control_lacks_does_not_count(made):
    suite, folder, _ = made
    (folder / "shuffle40" / "control_seed1.json").unlink()
    npc = read_table(suite, folder).line(SHUFFLED, "npc")
    assert npc.to_control.values == {0: 40.0}
    assert npc.to_control.told() == "40.0"


def test_a_curve_has_the_steps_that_all_runs_have(made):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed1.json"
    content = json.loads(file.read_text())
    content["curve"] = [{"step": 20, "rsum": 460.0}, {"step": 30, "rsum": 480.0}]
    file.write_text(json.dumps(content))
    assert read_table(suite, folder).line(SHUFFLED, "npc").curve == [(20, 455.0)]


def test_the_table_as_markdown_leaves_empty_columns_out(made):
    lines = as_markdown(read_table(made[0], made[1])).splitlines()
    heads = ["noise", "method", "seeds", "rSum", "to the control", "wins", "at equal compute", "time", "memory", "AUC"]
    npc = ["shuffle, 40 %", "npc", "2", "501.0 ± 2.8", "+40.5 ± 0.7", "2 of 2", "+30.5 ± 0.7"]
    npc += ["1.50 ± 0.00 x", "1.20 ± 0.00 x", "0.900"]
    assert lines[0] == f"| {' | '.join(heads)} |"
    assert f"| {' | '.join(npc)} |" in lines
    assert len(lines) == 2 + 9


@pytest.mark.parametrize(("part", "name"), [("pairs", "fingerprint"), ("noise", "sha256")])
def test_runs_of_other_pairs_or_other_noise_are_not_compared(made, part, name):
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed1.json"
    content = json.loads(file.read_text())
    content[part][name] = "another"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"npc_seed1.json was made of other pairs, or with other noise, than .*/cont"):
        read_table(suite, folder)


def test_a_search_that_is_not_whole_or_runs_with_another_rate_are_told(made):
    suite, folder, _ = made
    table = read_table(suite, folder)
    assert table.is_searched
    assert "Not searched to the end" not in render([table], "figures")
    file = folder / "shuffle40" / "npc_seed1.json"
    before = file.read_text()
    content = json.loads(before)
    content["run"]["learning_rate"] = 3e-4
    file.write_text(json.dumps(content))
    assert not read_table(suite, folder).is_searched
    file.write_text(before)
    file.unlink()  # one that is not there yet has no other rate
    assert read_table(suite, folder).is_searched
    (folder / "learning_rate" / "shuffle40_npc_0.0001_seed100.json").unlink()
    table = read_table(suite, folder)
    assert not table.is_searched
    assert "**Not searched to the end**" in render([table], "figures")
    assert (
        read_table(replace(suite, learning_rates=None), folder).is_searched is False
    )  # these have rates, it has none


def test_without_runs_there_is_no_table(tmp_path):
    with pytest.raises(InputError, match="There are no runs of small in .*recipes/benchmark.py"):
        read_table(suite_of(tmp_path), tmp_path)
