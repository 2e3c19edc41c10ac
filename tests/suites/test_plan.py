"""What a suite's file says, and the runs that follow from it."""

import math
from pathlib import Path

import pytest
import yaml

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.suites import choices, read_suite, running, table_runs
from hf_noisy_itm.suites.plan import Noise, words_of

RECIPES = Path(__file__).parents[2] / "recipes"
SUITES = sorted((RECIPES / "suites").glob("*.yaml"))
SHUFFLED = Noise("shuffle", 0.4)
SMALL = {
    "about": "small worlds",
    "comparable": "with nothing",
    "recipe": "scenes_noise40.yaml",
    "methods": {
        "control": {"folder": "baseline"},
        "npc": {"folder": "npc", "fields": {"bank_share": 1}, "equal_compute": "control_2x"},
        "control_2x": {"folder": "baseline", "steps": 2, "learning_rate_of": "control"},
    },
    "noise": [{"kind": "shuffle", "rates": [0, 0.4]}, {"kind": "partial", "rates": [0.4]}],
    "seeds": [0, 1],
    "fields": {"eval_split": "validation", "test_split": "test"},
    "learning_rates": {
        "candidates": [1e-4, 3e-4],
        "noise": {"rates": [0.4]},
        "seeds": [100],
        "fields": {"max_eval_pictures": 50},
    },
}


def suite_of(tmp_path, **fields):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({**SMALL, **fields}, sort_keys=False))
    return read_suite(tmp_path / "small.yaml")


def parsed(suite, run):
    return running.parsed(words_of(suite, run, RECIPES))


def test_learning_rates_are_chosen_by_as_many_runs_for_each_method_that_chooses(tmp_path):
    runs = choices(suite_of(tmp_path))
    assert [(run.method, run.learning_rate, run.seed) for run in runs] == [
        ("control", 1e-4, 100), ("control", 3e-4, 100), ("npc", 1e-4, 100), ("npc", 3e-4, 100),
    ]  # fmt: skip
    assert choices(suite_of(tmp_path, learning_rates=None)) == []


def test_the_runs_of_the_table_come_seed_by_seed_with_the_chosen_rates(tmp_path):
    runs = table_runs(suite_of(tmp_path), {"control": {SHUFFLED: 1e-4}, "npc": {SHUFFLED: 3e-4}})
    assert len(runs) == len({run.file for run in runs}) == 2 * 3 * 3
    assert [run.seed for run in runs] == [0] * 9 + [1] * 9
    assert {run.method: run.learning_rate for run in runs} == {"control": 1e-4, "npc": 3e-4, "control_2x": 1e-4}
    assert {run.file.split("/")[0] for run in runs} == {"clean", "shuffle40", "partial40"}


def test_each_noise_has_the_choice_under_the_nearest_rate_and_of_two_the_higher(tmp_path):
    noise = [{"kind": "shuffle", "rates": [0, 0.2, 0.4, 0.6]}, {"kind": "partial", "rates": [0.4]}]
    rates = {**SMALL["learning_rates"], "noise": {"rates": [0.0, 0.4]}}
    suite = suite_of(tmp_path, noise=noise, learning_rates=rates)
    assert len({run.file for run in choices(suite)}) == 2 * 2 * 2
    chosen = {name: {Noise("shuffle", 0.0): 1e-4, SHUFFLED: 3e-4} for name in ("control", "npc")}
    taken = {(run.method, run.noise.name): run.learning_rate for run in table_runs(suite, chosen)}
    for name in ("control", "npc", "control_2x"):
        assert [taken[name, each] for each in ("clean", "shuffle20", "shuffle40", "shuffle60", "partial40")] == [
            1e-4, 3e-4, 3e-4, 3e-4, 3e-4,
        ]  # fmt: skip


def test_a_run_is_told_what_recipe_suite_and_method_say_in_this_order(tmp_path):
    suite = suite_of(tmp_path)
    by_file = {run.file: run for run in [*choices(suite), *table_runs(suite, {"control": {SHUFFLED: 2e-4}})]}
    run = parsed(suite, by_file["partial40/npc_seed1.json"])
    assert (run.method["bank_share"], run.data.noise_kind, run.data.noise_rate) == (1, "partial", 0.4)
    assert (run.training.seed, run.data.noise_seed, run.training.learning_rate) == (1, 1, 3e-4)
    assert (run.data.eval_split, run.data.test_split) == ("validation", "test")
    longer, control = (
        parsed(suite, by_file[f"clean/{name}_seed0.json"]).training for name in ("control_2x", "control")
    )
    assert (longer.max_steps, longer.warmup_steps) == (2 * control.max_steps, 2 * control.warmup_steps)
    assert longer.learning_rate == control.learning_rate == 2e-4
    choice = parsed(suite, by_file["learning_rate/shuffle40_npc_0.0001_seed100.json"])
    assert (choice.data.test_split, choice.data.max_eval_pictures) == (None, 50)
    assert choice.training.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ("max_steps: 10\nwarmup_steps: 3", {"max_steps": "15", "warmup_steps": "4"}),
        ("num_train_epochs: 3\nwarmup_steps: 0.1", {"num_train_epochs": "4.5"}),
        ("max_steps: -1\nnum_train_epochs: 3", {"num_train_epochs": "4.5"}),
    ],
)
def test_a_longer_training_has_more_steps_or_epochs(told, times, tmp_path):
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "scenes_noise40.yaml").write_text(told)
    methods = {"control": {"folder": "baseline", "steps": 1.5}}
    suite = suite_of(tmp_path, methods=methods, learning_rates=None)
    words = words_of(suite, table_runs(suite, {})[0], tmp_path)
    names = ("max_steps", "num_train_epochs", "warmup_steps")
    assert {name: words[words.index(f"--{name}") + 1] for name in names if f"--{name}" in words} == times
    (tmp_path / "baseline" / "scenes_noise40.yaml").write_text("seed: 1")
    with pytest.raises(InputError, match="says neither max_steps nor num_train_epochs, to have 1.5 times as many"):
        words_of(suite, table_runs(suite, {})[0], tmp_path)
    (tmp_path / "baseline" / "scenes_noise40.yaml").write_text("max_steps: 10\nwarmup_steps: '3'")
    with pytest.raises(InputError, match="must say warmup_steps as a number, to have 1.5 times as many; got '3'"):
        words_of(suite, table_runs(suite, {})[0], tmp_path)


def test_under_one_noise_a_method_may_have_fields_of_its_own_for_each_seed(tmp_path):
    own = {"npc": {"score_cache": "scores/{seed}"}}
    suite = suite_of(tmp_path, noise=[{"rates": [0.4], "fields": own}, {"kind": "partial", "rates": [0.4]}])
    runs = {run.file: run for run in table_runs(suite, {})}
    told = {name: words_of(suite, run, RECIPES) for name, run in runs.items()}
    assert "scores/0" in told["shuffle40/npc_seed0.json"]
    assert "scores/1" in told["shuffle40/npc_seed1.json"]
    assert sum("--score_cache" in words for words in told.values()) == 2


def test_a_kind_of_noise_has_the_choice_under_itself_where_it_was_searched(tmp_path):
    noise = [{"kind": "shuffle", "rates": [0, 0.4]}, {"kind": "partial", "rates": [0.4, 0.6]}]
    rates = {**SMALL["learning_rates"], "noise": [{"rates": [0.0, 0.6]}, {"kind": "partial", "rates": [0.4]}]}
    suite = suite_of(tmp_path, noise=noise, learning_rates=rates)
    nearest = {each.name: suite.learning_rates.nearest(each).name for each in suite.noise}
    assert nearest == {"clean": "clean", "shuffle40": "shuffle60", "partial40": "partial40", "partial60": "partial40"}


def test_a_method_may_have_fields_of_its_own_where_learning_rates_are_chosen(tmp_path):
    noise = {"rates": [0.4], "fields": {"npc": {"bank": "choice.safetensors"}}}
    suite = suite_of(tmp_path, learning_rates={**SMALL["learning_rates"], "noise": noise})
    runs = [*choices(suite), *table_runs(suite, {})]
    of_npc = [run for run in runs if "choice.safetensors" in words_of(suite, run, RECIPES)]
    assert {(run.method, run.is_choice) for run in of_npc} == {("npc", True)}
    noise["fields"] = {"nbc": {}}
    with pytest.raises(InputError, match=r"there is no 'nbc' .did you mean 'npc'"):
        suite_of(tmp_path, learning_rates={**SMALL["learning_rates"], "noise": noise})


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_suites_hold_together(path):
    suite = read_suite(path)
    runs = [*choices(suite), *table_runs(suite, {})]
    for run in runs[:: max(1, len(runs) // 12)]:
        recipe = parsed(suite, run)
        assert recipe.data.noise_rate == run.noise.rate
        assert not run.is_choice or recipe.data.test_split is None


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"recipe": None}, "says no recipe"),
        ({"method": {}}, "there is no 'method' .did you mean 'methods'"),
        ({"methods": {"npc": {"folder": "npc"}}}, "has no method 'control'"),
        ({"methods": {"control": {}}}, "control: give the folder of recipes/"),
        ({"methods": {"control": {"folder": "baseline", "step": 2}}}, "there is no 'step'"),
        (
            {"methods": {"control": {"folder": "baseline", "equal_compute": "contrl"}}},
            "there is no method 'contrl' .did you mean 'control'",
        ),
        ({"noise": [{"kind": "shuffle", "rates": [1.2]}]}, "rates are a list of numbers from 0 to 1"),
        ({"noise": [{"rates": [0.4], "fields": {"npd": {}}}]}, "there is no 'npd' .did you mean 'npc'"),
        ({"learning_rates": {**SMALL["learning_rates"], "seeds": [1]}}, "seed 1 is of the table"),
        ({"learning_rates": {"candidates": [1e-4], "seeds": [100]}}, "learning_rates says no noise"),
        ({"learning_rates": {**SMALL["learning_rates"], "candidates": ["1e-4"]}}, "got '1e-4' .*: write 1.0e-4"),
        (
            {"learning_rates": {**SMALL["learning_rates"], "candidates": [0.0]}},
            "are numbers from 1e-12 to 100, got 0.0",
        ),
        ({"noise": [{"rates": [0, 0.4]}, {"kind": "partial", "rates": [0]}]}, "the noise clean is asked for twice"),
        ({"noise": [{"rates": [0.4, 0.400000001]}]}, "the noise shuffle40 is asked for twice"),
        ({"noise": [{"rates": []}]}, r"rates are a list of numbers from 0 to 1, got \[\]"),
        ({"noise": [{"kind": "../x", "rates": [0.4]}]}, "there is no kind '../x'"),
        ({"seeds": [0, 0]}, "a seed is asked for twice"),
        ({"seeds": 3}, "seeds are a list of whole numbers, got 3"),
        ({"recipe": 3}, "recipe is a text, got 3"),
        ({"fields": [3]}, "fields are lines of `name: value`"),
        ({"fields": {"noise_rate": 0.1}}, "noise_rate is not for `fields`: each run has its own"),
        ({"methods": {"control": {"folder": "baseline", "steps": "2"}}}, "steps is a number, got '2'"),
        ({"methods": {"control": {"folder": "baseline", "steps": 0}}}, "steps are a number above 0, got 0"),
        ({"methods": {"control": {"folder": "baseline", "steps": math.inf}}}, "steps are a number above 0, got inf"),
        (
            {"methods": {"control": {"folder": "baseline", "fields": {"learning_rate": 1e-3}}}},
            "control: learning_rate would be another than the one chosen",
        ),
        ({"fields": {"learning_rate": 1e-3}}, "fields: learning_rate would be another than the one chosen"),
        (
            {"learning_rates": {**SMALL["learning_rates"], "fields": {"learning_rate": 1e-3}}},
            "learning_rates: learning_rate would be another than the one chosen",
        ),
        (
            {"noise": [{"rates": [0.4], "fields": {"npc": {"learning_rate": 1e-3}}}]},
            "npc: learning_rate would be another than the one chosen",
        ),
        ({"noise": [{"rates": [True]}]}, r"rates are a list of numbers from 0 to 1, got \[True\]"),
        (
            {"learning_rates": {**SMALL["learning_rates"], "candidates": [True]}},
            "are numbers from 1e-12 to 100, got True",
        ),
        ({"methods": [3]}, r"methods are lines of `name: fields`, got \[3\]"),
        (
            {"methods": {"control": {"folder": "baseline", "equal_compute": "control"}}},
            "control: equal_compute is another method, one that takes as long",
        ),
        ({"methods": {"control": {"folder": 3}}}, "folder is a text, got 3"),
        ({"methods": {"../control": {"folder": "baseline"}}}, "a method's name is of letters, digits"),
        (
            {"learning_rates": {**SMALL["learning_rates"], "candidates": [1e-4, 1e-4]}},
            "at least 1.2 times apart, got 0.0001 and 0.0001",
        ),
        (
            {"learning_rates": {**SMALL["learning_rates"], "candidates": [1e-4, 1e300]}},
            r"from 1e-12 to 100, got 1e\+300",
        ),
        ({"noise": [{"kind": "shufle", "rates": [0.4]}]}, "there is no kind 'shufle' .did you mean 'shuffle'"),
        ({"noise": [{"kind": ["shuffle"], "rates": [0.4]}]}, "there is no kind"),
        ({"learning_rates": {**SMALL["learning_rates"], "candidates": 1e-4}}, "candidates are a list of numbers"),
    ],
)
def test_what_makes_no_suite_is_said(fields, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        suite_of(tmp_path, **fields)


def test_a_file_that_is_no_suite_and_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="is no suite"):
        read_suite(tmp_path / "nothing.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="must hold lines of"):
        read_suite(tmp_path / "list.yaml")
    suite = suite_of(tmp_path, recipe="nowhere.yaml")
    with pytest.raises(InputError, match=r"asks for .*nowhere.yaml, which is not there"):
        words_of(suite, table_runs(suite, {})[0], RECIPES)
