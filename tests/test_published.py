"""What docs/published.md says of cost is what its script counts and reads."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "published.md").read_text(encoding="utf-8")
SCRIPT = ROOT / "recipes" / "benchmarks" / "published_cost.py"
COST = json.loads((ROOT / "recipes" / "results" / "benchmark_published_cost.json").read_text())


def test_the_table_of_cost_is_that_of_the_json():
    for name, line in COST["lines"].items():
        operations = f"{line['operations of the control'] / 1e16:.1f} x 10¹⁶"
        minutes = " | ".join(f"{value:.0f} min" for value in line["minutes"].values())
        assert f"| {name} | {operations} | {minutes} |" in PAGE
        assert f"| {line['pairs']:,} |" in PAGE
    steps = COST["times the control's step"]
    npc = [
        " CC120K ".join([f"{steps['Flickr30K'][form]:.1f},", f"{steps['CC120K'][form]:.1f}, and a pass"])
        for form in ("NPC, each pair alone", "NPC, full form")
    ]
    fne = f"{steps['MSCOCO']['FNE']:.1f}"
    assert f"| times the control's step | | 1 | 1, and a pass | {npc[0]} | {fne} | {npc[1]} |" in PAGE
    picture, caption = (COST["forward"][name] / 1e9 for name in ("picture", "caption"))
    assert f"{picture + caption:.1f} x 10⁹ operations forward (picture {picture:.1f}, " in PAGE
    assert f"a caption of 32 tokens {caption:.1f}," in PAGE
    assert f"sustains {COST['operations a second'] / 1e12:.0f} x 10¹² of them" in PAGE


def test_the_json_is_what_the_script_makes(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "_measure", raising=False)
    runpy.run_path(str(SCRIPT))["main"](["--output", str(tmp_path / "again.json")])
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["forward"] == COST["forward"]
    for name, line in COST["lines"].items():
        assert again["lines"][name]["minutes"] == pytest.approx(line["minutes"])
    assert capsys.readouterr().out.startswith("CC120K: 2.0e+16 operations")
