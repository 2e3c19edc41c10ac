import zlib

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hf_noisy_itm.functional.draws import _mix, _wrapped, uniform


def splitmix(state):
    """The published generator's output function, in Python's integers."""
    z = state
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    z = (z ^ z >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return z ^ z >> 31


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15])
def test_the_finalizer_is_the_published_one(number):
    mixed = int(_mix(torch.tensor(_wrapped(number))))
    assert mixed % 2**64 == splitmix(number)


def test_a_number_belongs_to_its_row():
    rows = torch.randperm(1000)
    drawn = uniform(3, "negatives", 7, rows)
    assert torch.equal(drawn, torch.cat([uniform(3, "negatives", torch.tensor(7), part) for part in rows.split(37)]))
    assert torch.equal(drawn[rows.argsort()], uniform(3, "negatives", 7, torch.arange(1000)))
    assert uniform(3, "negatives", 7, rows.view(10, 100)).shape == (10, 100)


def test_the_numbers_are_those_of_the_definition():
    golden = 0x9E3779B97F4A7C15
    position = splitmix((5 * golden + zlib.crc32(b"negatives") + (9 << 32)) % 2**64)
    rows = [0, 1, 2**40]
    expected = [(splitmix((row * golden + position) % 2**64) >> 40) / 2**24 for row in rows]
    assert uniform(9, "negatives", torch.tensor(5), torch.tensor(rows)).tolist() == expected


@pytest.mark.parametrize(
    "others", [("entries", 4, 11), ("negatives", 5, 11), ("negatives", 4, 12)], ids=["name", "step", "seed"]
)
def test_other_arguments_give_other_numbers(others):
    rows = torch.arange(20_000)
    name, step, seed = others
    one, two = uniform(11, "negatives", 4, rows).numpy(), uniform(seed, name, step, rows).numpy()
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    assert (one == two).mean() < 0.001


def test_they_are_uniform_over_rows_and_over_steps():
    over_rows = uniform(1, "negatives", 0, torch.arange(50_000)).numpy()
    over_steps = torch.cat([uniform(1, "negatives", step, torch.tensor([17])) for step in range(5000)]).numpy()
    for drawn in (over_rows, over_steps):
        assert 0 <= drawn.min() < 0.001
        assert 0.999 < drawn.max() < 1
        assert kstest(drawn, "uniform").pvalue > 0.001
