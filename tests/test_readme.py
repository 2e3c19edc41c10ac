"""The README's figures come from committed results, and its links lead somewhere."""

import json
import re
from pathlib import Path
from statistics import mean, stdev

import pytest
from safetensors.numpy import load_file

from hf_noisy_itm.comparison import fill_tables
from hf_noisy_itm.data.scenes import Scenes, ambiguity_ceiling
from hf_noisy_itm.suites import read_suite, read_table
from hf_noisy_itm.suites.plan import Noise

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHODS = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
NPCS = "NPC's"
STEP = "times the control's step"
KEYS = ("i2t_r@1", "i2t_r@5", "i2t_r@10", "t2i_r@1", "t2i_r@5", "t2i_r@10", "rsum")


def results(seed):
    return json.loads((ROOT / "recipes" / "results" / f"demo_seed{seed}.json").read_text())


def test_the_table_is_that_of_seed_0():
    for name, row in results(0).items():
        figures = "".join(f"{row['metrics'][key]:9.1f}" for key in KEYS)
        assert f"{name:24}{figures}{row['seconds']['train']:9.0f}" in README


def test_the_means_are_those_of_three_seeds():
    names = ("control", "npc", "control, clean captions")
    control, npc, clean = ([results(seed)[name]["metrics"]["rsum"] for seed in range(3)] for name in names)
    gains = [ours - theirs for ours, theirs in zip(npc, control)]
    control, npc, clean, gain = (f"{mean(each):.1f} ± {stdev(each):.1f}" for each in (control, npc, clean, gains))
    text = " ".join(README.split())
    assert f"the rSum is {control} for the control, {npc} for NPC and {clean} for the control on clean" in text
    assert f"NPC gains {gain} over the control of the same seed" in text
    assert min(gains) > 0


def told(data, kind, figure="metrics", key="rsum", form=".1f"):
    """Mean and deviation of the three seeds of a kind of run."""
    paths = sorted((ROOT / "recipes" / "results" / "npc" / data).glob(f"{kind}_seed[0-2].json"))
    values = [json.loads(path.read_text())[figure][key] for path in paths]
    assert len(values) == 3
    return f"{mean(values):{form}} ± {stdev(values):{form}}"


def test_what_other_forms_of_npc_reach_is_that_of_their_runs():
    text = " ".join(README.split())
    assert f"(`--weights ones`), gives an rSum of {told('scenes40', 'npc_ones')}." in text
    batch = told("scenes40", "npc"), told("scenes40", "npc", "weights", "auc", ".3f")
    assert (
        f"what the whole batch does to each entry, gives {batch[0]}, and its weights hardly tell (AUC {batch[1]})"
        in text
    )
    forms = [told("scenes60", kind) for kind in ("control", "npc", "npc_pair_half")]
    assert f"control {forms[0]}, which is below zero-shot, form of the paper {forms[1]}, as the recipes" in text
    assert f"as the recipes have it {forms[2]}." in text
    assert float(forms[0].split()[0]) < results(0)["zero-shot"]["metrics"]["rsum"]
    bank = json.loads((ROOT / "recipes" / "results" / "benchmark_bank.json").read_text())
    assert f"A bank of {bank['data']['pairs']:,} pairs takes {bank['banks'][NPCS]['seconds']:.0f} seconds" in text


def table_of(suite):
    read = read_suite(ROOT / "recipes" / "suites" / f"{suite}.yaml")
    return read_table(read, ROOT / "recipes" / "results" / "suites" / suite)


@pytest.mark.parametrize("suite", ["scenes", "emoji"])
def test_the_default_is_above_the_control_under_any_noise_and_loses_nothing_without(suite):
    assert "from 20 % of wrong captions on, and on average loses nothing where none are wrong" in " ".join(
        README.split()
    )
    table = table_of(suite)
    gains = {noise.name: table.line(noise, "npc").to_control.mean for noise in table.suite.noise}
    assert min(gains.values()) > 0, gains


def test_the_gain_at_rates_of_its_own_is_that_of_the_suite():
    table, text = table_of("scenes"), " ".join(README.split())
    npc, longer = (table.line(Noise("shuffle", 0.4), method) for method in ("npc", "control_1.8x"))
    assert (
        f"its own, reaches {longer.whole.told()} on `scenes` at 40 %, {npc.to_equal_compute.told()} below NPC" in text
    )
    gain = npc.to_control.told()
    assert f"{gain} where each has a learning rate of its own" in " ".join(README.split())


def test_what_npc_reaches_on_real_pictures_is_that_of_the_suite():
    text = " ".join(README.split())
    table = table_of("emoji")
    assert table.runs == (96, 96)
    assert f"brings the control far above the {table.start:.1f} that it begins with" in text
    for noise in table.suite.noise:
        if place := {0.0: "on clean captions", 0.4: "at 40 %", 0.6: "at 60 %"}.get(noise.rate):
            npc, control = (table.line(noise, method).whole.told() for method in ("npc", "control"))
            assert f"{npc} and {control} {place}" in text


@pytest.mark.parametrize("page", [README, METHODS], ids=["README", "docs/methods"])
def test_what_a_step_costs_is_that_of_the_benchmarks(page):
    text = " ".join(page.split())
    npc = json.loads((ROOT / "recipes" / "results" / "benchmark_npc_step.json").read_text())
    full, half, entries = (
        [f"{npc[kind]['times the control'][form]:.1f}" for kind in ("bank", "strangers")]
        for form in (
            "full: all parameters move",
            "each pair alone, half of the entries trained on",
            "batch and entries, no weights",
        )
    )
    fne = json.loads((ROOT / "recipes" / "results" / "benchmark_fne_step.json").read_text())[STEP]
    coder = json.loads((ROOT / "recipes" / "results" / "benchmark_coder_step.json").read_text())
    assert f"A step takes {coder[STEP]['coder']:.1f} times as long as the control's" in text
    if page is README:
        assert f"A step takes {half[0]} to {half[1]} times as long as the control's" in text
        assert f"the form of the paper {full[0]} to {full[1]} times" in text
        assert f"**FNE**: a step of CLIP ViT-B/32 takes {fne:.1f} times as long as the control's" in text
    else:
        assert f"takes {full[0]} times as long as the control's, and the recommended one {half[0]} times" in text
        assert (
            f"{full[1]} and {half[1]} times if no entry is in the batch, where training on all entries takes" in text
        )
        assert f"takes {entries[1]} alone" in text
        assert f"A step takes {fne:.1f} times as long as the control's with a queue" in text


def test_the_tables_of_the_methods_are_made_of_their_runs():
    assert fill_tables(METHODS, ROOT) == METHODS


def test_the_shift_is_mild_and_the_noise_hurts():
    """What the world is tuned for: more than half of R@1 kept without training, and five points to win."""
    folder = ROOT / "hf_noisy_itm" / "assets" / "scenes-clip"
    bundled = json.loads((folder / "metrics.json").read_text())["metrics"]
    text = " ".join(README.split())
    assert f"reaches {bundled['i2t_r@1']:.1f} and {bundled['t2i_r@1']:.1f} % in its own domain" in text
    parameters = sum(tensor.size for tensor in load_file(folder / "model.safetensors").values())
    assert f"a CLIP of {parameters / 1e6:.1f} million parameters" in text
    rows = {name: row["metrics"] for name, row in results(0).items()}
    for key in ("i2t_r@1", "t2i_r@1"):
        assert rows["zero-shot"][key] > bundled[key] / 2
        assert rows["control, clean captions"][key] - rows["control"][key] >= 5


def test_the_ceiling_and_the_separation_are_those_of_the_world_and_the_runs(tmp_path):
    builder = Scenes(config_name="street", cache_dir=str(tmp_path), train_size=1, validation_size=1)
    builder.download_and_prepare()
    ceiling = ambiguity_ceiling(builder.as_dataset(split="test"))
    text = " ".join(README.split())
    assert f"would reach {ceiling['i2t_r@1']:.1f} (image to text) and {ceiling['t2i_r@1']:.1f} %" in text
    runs = [results(seed)["npc"] for seed in range(3)]
    weights = [run["weights"]["auc"] for run in runs]
    assert f"AUC {min(weights):.3f} to {max(weights):.3f}" in text
    losses = [1 - run["bank_scores"]["loss"]["auc"] for run in runs]
    assert {f"almost perfectly (AUC {loss:.3f})" in text for loss in losses} == {True}


def test_the_speed_of_a_report_and_of_a_whole_training_are_those_of_their_runs():
    text = " ".join(README.split())
    report = json.loads((ROOT / "recipes" / "results" / "benchmark_noise_report.json").read_text())
    assert f"{report['pairs']:,} pairs it takes {report['report']['seconds']:.0f} seconds on two cores" in text
    for suite in ("scenes", "emoji"):
        table = table_of(suite)
        fne = mean(table.line(noise, "fne").time.mean for noise in table.suite.noise)
        assert f"a whole training of the small CLIPs {fne:.1f} times" in text


def test_the_speed_of_ranks_is_that_of_the_benchmark():
    figures = json.loads((ROOT / "recipes" / "results" / "benchmark_retrieval.json").read_text())
    times, text = figures["times the bare product"], " ".join(README.split())
    assert f"take {times['ours']:.1f} times as long as the bare product" in text
    assert f"and {times['ours, all cosines within 1e-5']:.1f} times where" in text
    assert f"takes {times['argsort twice in each direction, float32, once']:.0f} times as long" in text
    assert f"They need {figures['extra_memory_mb']:.0f} MB beyond the embeddings" in text
    large = figures["large"]
    assert f"For {large['images']:,} pictures and {large['captions']:,} captions they would take" in text
    gigabytes = large["extra memory for all in MB, extrapolated"] / 1000
    assert f"take {60 * large['hours for all, extrapolated']:.0f} minutes and {gigabytes:.1f} GB, mostly unit" in text
    assert f"extrapolated from {large['slice images']:,} pictures with all captions" in text


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target
