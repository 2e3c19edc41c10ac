"""The page of results holds what the runs say."""

import json
from dataclasses import replace

import pytest

from hf_noisy_itm.suites import read_table
from hf_noisy_itm.suites.page import (
    at_the_edge,
    below,
    best,
    blind,
    duration,
    hardly_trained,
    judged,
    ranked,
    render,
)
from hf_noisy_itm.suites.plan import Noise

from .test_plan import SHUFFLED


@pytest.fixture
def table(made):  # noqa: F811
    return read_table(made[0], made[1])


def test_the_page_says_what_wins_at_what_cost_and_what_was_tried(table):
    text = render([table], "figures")
    assert "shuffle, 40 %: npc, 501.0 ± 2.8 (+40.5 ± 0.7 to the control), at 1.50 times its time." in text
    assert "small worlds" in text
    assert "*Comparability.* with nothing" in text
    assert "| npc |" in text
    assert "No method here is below the control in most seeds." in text


def test_what_is_below_the_control_is_said(made):  # noqa: F811
    suite, folder, _ = made
    for file in folder.glob("shuffle40/npc_seed*.json"):
        file.write_text(file.read_text().replace('"rsum": 4', '"rsum": 3').replace('"rsum": 5', '"rsum": 3'))
    table = read_table(suite, folder)
    assert [(noise, line.method) for _, noise, line in below([table])] == [(SHUFFLED, "npc")]
    assert "small, shuffle, 40 %: npc is above the control in 0 of 2 seeds" in render([table], "figures")
    assert {noise: line.method for noise, line, _ in best(table)}[SHUFFLED] == "control_2x"


def test_what_is_above_the_control_in_half_of_the_seeds_is_not_below_it(made):  # noqa: F811
    suite, folder, _ = made
    file = folder / "shuffle40" / "npc_seed0.json"
    content = json.loads(file.read_text())
    content["test"]["rsum"] = 300.0
    file.write_text(json.dumps(content))
    assert below([read_table(suite, folder)]) == []


def test_a_learning_rate_at_the_edge_of_what_was_tried_is_said(made):  # noqa: F811
    suite, folder, _ = made
    assert at_the_edge(read_table(suite, folder)) == []
    (folder / "learning_rate" / "shuffle40_npc_3.3e-05_seed100.json").unlink()
    assert at_the_edge(read_table(suite, folder)) == [(SHUFFLED, ["npc"])]
    assert "may be better still: npc (shuffle, 40 %)." in render([read_table(suite, folder)], "figures")


def test_a_suite_that_is_not_whole_says_so(made):  # noqa: F811
    suite, folder, _ = made
    assert "Not whole yet" not in render([read_table(suite, folder)], "figures")
    (folder / "clean" / "npc_seed1.json").unlink()
    assert "**Not whole yet**: 17 of 18 runs are there." in render([read_table(suite, folder)], "figures")


def test_a_gain_that_is_one_of_more_steps_is_said(made):  # noqa: F811
    suite, folder, _ = made
    assert "at equal compute the longer control" not in render([read_table(suite, folder)], "figures")
    for file in folder.glob("shuffle40/control_2x_seed*.json"):
        content = json.loads(file.read_text())
        content["test"]["rsum"] += 31
        file.write_text(json.dumps(content))
    text = render([read_table(suite, folder)], "figures")
    assert (
        "- small, shuffle, 40 %: at equal compute the longer control is as good or better: npc (-0.5 ± 0.7)." in text
    )


def test_whether_the_default_keeps_its_word_is_computed(made):  # noqa: F811
    suite, folder, _ = made
    assert all(keeps for *_, keeps in judged(read_table(suite, folder), "npc"))
    for lost, keeps in ((4.0, True), (6.0, False)):  # of the control's 500
        for file in folder.glob("clean/npc_seed*.json"):
            told = json.loads(file.read_text())
            control = json.loads((file.parent / file.name.replace("npc", "control")).read_text())
            told["test"]["rsum"] = control["test"]["rsum"] - lost
            file.write_text(json.dumps(told))
        table = read_table(suite, folder)
        assert {noise.name: kept for noise, _, kept in judged(table, "npc")}["clean"] == keeps
        more = "" if keeps else "; **not kept**"
        assert f"no noise -{lost} ± 0.0 (0 of 2 seeds{more})" in render([table], "figures")


def test_the_ranking_is_by_the_farthest_from_the_best(made):  # noqa: F811
    suite, folder, _ = made
    for file in folder.glob("clean/control_2x_seed*.json"):
        content = json.loads(file.read_text())
        content["test"]["rsum"] = 560.0
        file.write_text(json.dumps(content))
    table = read_table(suite, folder)
    npc, longer = ranked([table])
    assert (npc[0], longer[0]) == ("npc", "control_2x")
    assert npc[1] == pytest.approx(100 * (560 - table.line(Noise("shuffle", 0.0), "npc").whole.mean) / 560)
    assert npc[3] == longer[3] == []
    for file in folder.glob("clean/npc_seed*.json"):
        content = json.loads(file.read_text())
        content["test"]["rsum"] = 400.0
        file.write_text(json.dumps(content))
    table = read_table(suite, folder)
    assert [(method, unfit) for method, _, _, unfit in ranked([table])] == [
        ("control_2x", []),
        ("npc", [(table, Noise("shuffle", 0.0))]),
    ]
    assert "| npc | 28.6 % | 1.50 x | small (no noise) |" in render([table], "figures")
    assert ranked([]) == []


def test_what_is_as_good_as_the_control_does_not_keep_the_word(made):  # noqa: F811
    suite, folder, _ = made
    rates = replace(suite, noise=(Noise("shuffle", 0.1),))
    for file in folder.glob("shuffle40/*_seed*.json"):
        content = json.loads(file.read_text())
        content["run"]["noise"]["rate"], content["test"]["rsum"] = 0.1, 400.0
        (folder / "shuffle10").mkdir(exist_ok=True)
        (folder / "shuffle10" / file.name).write_text(json.dumps(content))
    [(_, _, keeps)] = judged(read_table(rates, folder), "npc")
    assert not keeps


def test_only_methods_of_all_suites_of_the_default_are_ranked(made):  # noqa: F811
    suite, folder, _ = made
    table = read_table(suite, folder)
    lines = {noise: [line for line in lines if line.method != "control_2x"] for noise, lines in table.lines.items()}
    fewer = replace(table, lines=lines)
    assert [each[0] for each in ranked([table, table])] == ["npc", "control_2x"]
    assert [each[0] for each in ranked([table, fewer])] == ["npc"]


def test_a_gain_over_the_control_is_told_beside_that_over_the_start(made):  # noqa: F811
    page = render([replace(read_table(*made[:2]), start=470.0)], "figures")
    assert "(+40.5 ± 0.7 to the control, +31.0 to the start), at 1.50 times" in page


def test_weights_that_see_next_to_nothing_of_the_noise_are_told(made):  # noqa: F811
    suite, folder, _ = made
    assert blind([read_table(suite, folder)]) == []
    for file in folder.glob("partial40/npc_seed*.json"):
        file.write_text(file.read_text().replace('"auc": 0.9', '"auc": 0.6'))
    text = render([read_table(suite, folder)], "figures")
    assert "- small, partial, 40 %: weights tell wrong pairs from right ones little better than chance" in text
    assert "with an AUC of 0.60 (npc)." in text


def test_where_only_the_smallest_learning_rate_is_left_it_is_told(made):  # noqa: F811
    suite, folder, _ = made
    table = replace(read_table(suite, folder), start=450.0)
    assert hardly_trained([table]) == []
    table.tried[SHUFFLED]["control"].clear()
    table.tried[SHUFFLED]["control"][3.7e-6] = table.line(SHUFFLED, "control").whole
    table.learning_rates["control"].update(dict.fromkeys(table.learning_rates["control"], 3.7e-6))
    [(_, noise, line, rate)] = hardly_trained([table])
    assert (noise, line.method, rate) == (SHUFFLED, "control", 3.7e-6)
    assert (
        "- small, shuffle, 40 %: the best learning rate of control is the smallest that was tried, 3.7e-06, at which "
        "training hardly changes the model (+10.5 to the start): gains over it are gains over no training at all."
    ) in render([table], "figures")


def test_what_choices_took_is_told(made):  # noqa: F811
    page = render([read_table(*made[:2])], "figures")
    assert "2 minutes of a processor, and\n2 minutes on two shared cores" in page  # 24 of 5 and of 10 seconds
    assert "Each figure is of one seed (100)" in page
    assert "Runs that this took: control 3, npc 3." in page
    assert [duration(hours) for hours in (1.04, 0.99)] == ["1.0 hours", "59 minutes"]


def test_a_suite_of_one_seed_is_no_evidence(made):  # noqa: F811
    suite, folder, _ = made
    one = replace(read_table(suite, folder), suite=replace(suite, seeds=(0,)))
    page = render([one], "figures")
    assert "**small**" not in page
    assert "## small" in page
    assert "figures/" not in page
