"""Means between two lines of the log."""

import pytest
import torch

from hf_noisy_itm.memory.means import RunningMeans


def test_values_of_any_shape_count_once_each_and_nan_not_at_all():
    means = RunningMeans()
    means.add("loss", torch.tensor([1.0, 2.0, float("nan")]))
    means.add("loss", torch.tensor(6.0))
    means.add("never", torch.full((2,), float("nan")))
    assert means.take() == {"loss": pytest.approx(3.0)}


def test_what_was_taken_counts_no_more():
    means = RunningMeans()
    means.add("loss", torch.tensor(1.0))
    means.take()
    assert means.take() == {}
    means.add("loss", torch.tensor(5.0))
    assert means.take() == {"loss": 5.0}
