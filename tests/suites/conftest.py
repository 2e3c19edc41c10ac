"""What a run would leave, and the results of a small suite of such runs."""

import pytest

from hf_noisy_itm.run_record import versions
from hf_noisy_itm.suites import make_runs, running, search_learning_rates, table_runs

from .test_plan import RECIPES, suite_of


def left(begin, words, end):
    """What a run would leave whose rSum tells method, noise, seed and learning rate."""
    told = {words[place][2:]: words[place + 1] for place in range(1, len(words), 2)}
    seed, rate = int(told["seed"]), float(told["learning_rate"])
    draw = seed % 100  # of choices, too: an rSum is at most 600
    is_npc, is_long = "bank_share" in told, told.get("max_steps") == "220"
    rsum = 500 - 100 * float(told["noise_rate"]) + (40 + draw if is_npc else 10 * is_long) + 3 * draw
    rsum -= 1 + 1e4 * abs(rate - 1e-4)
    if end < 0:
        return None
    is_choice = told.get("test_split") == "none"
    return {
        "metrics": {"rsum": rsum - 1, "i2t_r@1": 50.0},
        "test": {"rsum": rsum, "i2t_r@1": 51.0} if not is_choice else {},
        "pairs": {"train": 100, "fingerprint": "ab"},
        "noise": {"realised": told["noise_rate"], "sha256": f"{told['noise_rate']} {seed}"},
        "weights": {"auc": 0.9} if is_npc else None,
        "curve": [{"step": 10, "rsum": 400.0 + draw}, {"step": 20, "rsum": 450.0}, {"step": 20, "rsum": 470.0}],
        "seconds": {"train": 9.0, "train_cpu": 3.0 if is_npc else 2.0},
        "versions": versions(),
        "cost": {"seconds": 10.0, "cpu_seconds": 5.0, "peak_mb": 120.0 if is_npc else 100.0},
        "command": ["recipes/train.py", *words],
    }


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "one_run", left)
    suite, folder, told = suite_of(tmp_path), tmp_path / "results", []
    chosen = search_learning_rates(
        suite, folder, lambda runs: make_runs(suite, runs, RECIPES, folder, told=told.append)
    )
    assert make_runs(suite, table_runs(suite, chosen), RECIPES, folder, told=told.append)
    assert len(told) == 6 + 18
    return suite, folder, chosen
