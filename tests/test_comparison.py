import json
import runpy

import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.comparison import compare, fill_tables


@pytest.fixture
def runs(tmp_path):
    """Two kinds, seeds 0 and 1, on one data set; and one run on another."""

    def write(name, seed, rsum, auc=None, dataset="scenes", rate=0.4):
        metrics = {"i2t_r@1": rsum / 10, "t2i_r@1": rsum / 20, "rsum": rsum}
        run = {"metrics": metrics, "training": {"seed": seed}, "data": {"dataset": dataset}}
        run |= {"noise": {"nominal": rate, "kind": "shuffle"}, "weights": None if auc is None else {"auc": auc}}
        path = tmp_path / f"{name}_seed{seed}.json"
        path.write_text(json.dumps(run))
        return path

    return [
        write("baseline", 0, 500.0),
        write("baseline", 1, 504.0),
        write("npc", 0, 510.0, 0.5),
        write("npc", 1, 503.0, 0.7),
        write("other", 0, 100.0, dataset="folder/emoji.parquet", rate=0.6),
    ]


def test_the_table_by_hand(runs):
    assert compare(runs).splitlines() == [
        "| data | noise | run | seeds | i2t R@1 | t2i R@1 | rSum | wins | AUC of weights |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| emoji | 60 % | other | 0 | 10.0 | 5.0 | 100.0 |  |  |",
        "| scenes | 40 % | baseline | 0, 1 | 50.2 ± 0.3 | 25.1 ± 0.1 | 502.0 ± 2.8 |  |  |",
        "| scenes | 40 % | npc | 0, 1 | 50.6 ± 0.5 | 25.3 ± 0.2 | 506.5 ± 4.9 | 1 of 2 | 0.600 ± 0.141 |",
    ]


def test_parts_of_a_data_set_are_different_data(runs):
    run = json.loads(runs[0].read_text())
    run["data"] |= {"dataset_config": "crowded", "where": "style=twemoji"}
    runs[0].write_text(json.dumps(run))
    assert "| scenes, crowded, style=twemoji | 40 % | baseline | 0 |" in compare(runs)


def told(pairs, matches, **more):
    return {"pairs": pairs, "mean_score": 0.5, "matches": matches} | more


def add(path, negatives):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"negatives": negatives}))


def test_which_negatives_were_matches(runs):
    for path, more in ((runs[2], 0.0), (runs[3], 0.02)):
        ways = {
            "i2t": {"chosen": told(9, 0.01), "hardest": told(9, 0.1 + more), "hardest_auc": 0.75 + more},
            "t2i": {"chosen": told(8, 0.03), "hardest": told(8, 0.2 + more), "hardest_auc": 0.65 + more},
        }
        add(path, ways)
    add(runs[0], None)
    add(runs[1], {"i2t": {"hardest": {"pairs": 3, "mean_score": 0.5}}})  # where nobody knows
    lines = compare(runs).splitlines()
    assert lines[0].endswith("| chosen negatives that match | hardest that match | AUC of posterior |")
    assert lines[4].endswith("| 0.600 ± 0.141 | 2.0 ± 0.0 % | 16.0 ± 1.4 % | 0.710 ± 0.014 |")
    assert lines[3].endswith("± 2.8 |  |  |  |  |  |")
    assert len(lines) == 5


def test_figures_are_of_the_test_split_where_there_is_one(runs):
    content = json.loads(runs[2].read_text())
    test = {"i2t_r@1": 60.0, "t2i_r@1": 30.0, "rsum": 503.0}
    runs[2].write_text(json.dumps(content | {"test": test}))
    runs[3].write_text(json.dumps(json.loads(runs[3].read_text()) | {"test": {}}))
    assert (
        compare([*runs[:2], runs[2], runs[3]])
        .splitlines()[3]
        .startswith("| scenes | 40 % | npc | 0, 1 | 55.1 ± 6.9 | 27.6 ± 3.4 | 503.0 ± 0.0 | 1 of 2 |")
    )


def test_a_run_folder_gives_its_name(runs, tmp_path):
    folder = tmp_path / "mine_seed1"
    folder.mkdir()
    (folder / "metrics.json").write_text(runs[3].read_text())
    assert "| mine | 1 |" in compare([folder / "metrics.json"])


def test_what_is_no_run_is_refused(runs, tmp_path):
    (tmp_path / "other.json").write_text('{"metrics": {}}')
    with pytest.raises(InputError, match=r"other.json is not the metrics.json of a training \(KeyError: 'map'\)"):
        compare([tmp_path / "other.json"])
    with pytest.raises(InputError, match="second run of npc with seed 0 on scenes, 40 %"):
        compare([runs[2], runs[2]])


def test_a_second_similarity_is_a_column_where_some_have_it(runs, tmp_path):
    run = json.loads(runs[0].read_text())
    run["metrics"]["fused_rsum"] = 412.34
    (tmp_path / "coder_seed0.json").write_text(json.dumps(run))
    header, _, *lines = compare([*runs[:1], tmp_path / "coder_seed0.json"]).splitlines()
    assert "rSum | rSum of both branches |" in header
    assert sum("| 412.3 |" in line for line in lines) == 1


def test_the_recipe(runs, monkeypatch, capsys):
    main = runpy.run_path("recipes/compare.py")["main"]
    main([str(path) for path in runs])
    assert "1 of 2" in capsys.readouterr().out
    with pytest.raises(InputError, match="Name the metrics.json files of runs"):
        main([])


def test_a_page_gets_its_tables(runs, tmp_path):
    page = "before\n<!-- runs: npc_*.json baseline_*.json -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    wanted = (
        f"before\n<!-- runs: npc_*.json baseline_*.json -->\n{compare(runs[:4])}\n<!-- end -->\nafter <!-- end -->\n"
    )
    assert fill_tables(page, tmp_path) == wanted
    assert fill_tables(wanted, tmp_path) == wanted
    with pytest.raises(InputError, match=r"There is no file osa_\*.json below"):
        fill_tables(page.replace("npc_", "osa_"), tmp_path)
