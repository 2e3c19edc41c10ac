"""The quick suite as its file has it: what must hold in every state of the project."""

import json
import os
import sys

import pytest

from ..processes import run


@pytest.mark.slow
def test_the_quick_suite_holds(tmp_path):
    command = [sys.executable, "recipes/benchmark.py", "recipes/suites/quick.yaml", "--processes", "2"]
    promised = 600
    done = run([*command, "--results", str(tmp_path)], promised, {**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    runs = {
        file.relative_to(tmp_path / "quick"): json.loads(file.read_text()) for file in tmp_path.glob("quick/*/*.json")
    }
    rsum = {str(file): run["metrics"]["rsum"] for file, run in runs.items()}
    assert len(rsum) == 6
    for method in ("npc", "osa"):
        assert rsum[f"shuffle40/{method}_seed0.json"] > rsum["shuffle40/control_seed0.json"] + 5
        assert rsum[f"clean/{method}_seed0.json"] > 0.99 * rsum["clean/control_seed0.json"]
        assert f"| {method} |" in done.stdout
    assert all(run["weights"]["auc"] > 0.9 for file, run in runs.items() if "shuffle40/npc" in str(file))
