"""The figures of the page of results draw what the runs say, and the committed ones are of the committed runs."""

import runpy
from dataclasses import replace

from matplotlib import pyplot
from PIL import Image, ImageChops, ImageStat

from hf_noisy_itm.suites import make_runs, read_table, running, table_runs
from hf_noisy_itm.suites.figures import FIGURES, _by_cost, _by_rate, _on_the_way, draw, fingerprint
from hf_noisy_itm.suites.page import evidence

from .conftest import left
from .test_plan import RECIPES, suite_of


def test_figures_are_drawn(made, tmp_path):  # noqa: F811
    table = read_table(*made[:2])
    for number, shape in ((1, (1, 1)), (2, (2, 1)), (3, (2, 2))):
        draw([table] * number, tmp_path)
        for name in FIGURES:
            with Image.open(tmp_path / name) as picture:
                assert picture.size == tuple(round(110 * side * count) for side, count in zip((5.2, 3.6), shape))
                assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def drawn(plot, table):
    """The data of a figure by label, as (x, y) pairs."""
    figure, axis = pyplot.subplots()
    plot(table, axis, {method: {"label": method} for method in table.suite.methods})
    bars = {bars.get_label(): bars.lines[0] for bars in axis.containers}
    lines = bars or {line.get_label(): line for line in axis.lines}
    pyplot.close(figure)
    return {name: list(map(tuple, line.get_xydata())) for name, line in lines.items()}


def test_each_figure_draws_what_its_axes_say(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "one_run", left)
    noise = [{"kind": "shuffle", "rates": [0.0, 0.4]}, {"kind": "partial", "rates": [0.2]}]
    suite, folder = suite_of(tmp_path, noise=noise, learning_rates=None), tmp_path / "results"
    make_runs(suite, [replace(run, learning_rate=1e-4) for run in table_runs(suite, {})], RECIPES, folder)
    table = read_table(suite, folder)
    assert drawn(_by_rate, table)["npc"] == [(0.0, 541.0), (40.0, 501.0)]  # partial noise has no place on this axis
    assert drawn(_on_the_way, table)["npc"] == [(10.0, 400.5), (20.0, 450.0)]
    assert drawn(_by_cost, table)["npc"] == [(1.5, 40.5)]


def test_the_committed_figures_are_those_of_the_committed_runs(tmp_path):
    page = runpy.run_path(str(RECIPES / "results_page.py"))["page"]
    tables = evidence(page(RECIPES / "results" / "suites", "results")[0])
    draw(tables, tmp_path)
    for name in FIGURES:
        with Image.open(RECIPES.parent / "docs" / "results" / name) as picture, Image.open(tmp_path / name) as anew:
            assert picture.text["Description"] == fingerprint(tables)
            assert picture.size == anew.size
            assert ImageStat.Stat(ImageChops.difference(picture.convert("L"), anew.convert("L"))).mean[0] < 1


def test_the_curves_are_of_the_noise_nearest_to_40_percent(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "one_run", left)
    noise = [{"kind": "shuffle", "rates": [0.0, 0.1, 0.45, 0.6]}]
    suite, folder = suite_of(tmp_path, noise=noise, learning_rates=None), tmp_path / "results"
    make_runs(suite, [replace(run, learning_rate=1e-4) for run in table_runs(suite, {})], RECIPES, folder)
    figure, axis = pyplot.subplots()
    _on_the_way(read_table(suite, folder), axis, {method: {} for method in suite.methods})
    assert axis.get_xlabel() == "steps, shuffle, 45 %"
    pyplot.close(figure)
