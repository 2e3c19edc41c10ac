"""Benchmarks in the process of the tests, and the figures that are committed; conftest.py has a fixture `measured`."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "recipes" / "benchmarks"
RESULTS = ROOT / "recipes" / "results"


def here(name: str, monkeypatch) -> Callable[[list[str]], None]:
    """The benchmark's `main`; what it does in processes of its own, which import for seconds, is done here too."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module(name)
    if hasattr(module, "in_own_process"):
        monkeypatch.setattr(module, "in_own_process", lambda function, *args, start=None: function(*args))
    return module.main


def committed(name: str) -> dict:
    """What is in recipes/results of a benchmark."""
    return json.loads((RESULTS / f"benchmark_{name}.json").read_text())
