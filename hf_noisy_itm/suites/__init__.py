"""Suites of trainings: evidence about methods, made by recipes/benchmark.py.

Each run leaves one JSON, which is never edited; tables, figures and the page of results are made of these alone.
"""

from .plan import CHOICES, Suite, choices, table_runs
from .process import Way
from .reading import read_suite
from .running import make_runs
from .search import search_learning_rates
from .start import measure_start
from .tables import Table, read_table

__all__ = [
    "CHOICES",
    "Suite",
    "Table",
    "Way",
    "choices",
    "make_runs",
    "measure_start",
    "read_suite",
    "read_table",
    "search_learning_rates",
    "table_runs",
]
