import numpy as np
import pytest
import torch

from hf_noisy_itm.memory.matches import MatchMoments


def batch(seed, size=20):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(size, generator=rng), 0.8 * torch.rand(2, size, generator=rng)


def test_running_moments_are_numpys_over_all_batches():
    moments = MatchMoments(0.1, 10)
    rights, wrongs = [], []
    for seed in range(7):
        own, hardest = batch(seed)
        right = (own > hardest[0]) & (own > hardest[1])
        rights += own[right].tolist()
        wrongs += hardest[:, right].flatten().tolist()
        moments.add(own, hardest)
    for got, values in zip(moments.read(), (rights, wrongs)):
        assert got.count == len(values)
        assert got.mean.item() == pytest.approx(np.mean(values), rel=1e-12)
        assert got.variance.item() == pytest.approx(np.var(values, ddof=1), rel=1e-12)
        assert got.mean.dtype == torch.float64


def test_asking_what_they_would_be_changes_nothing():
    moments = MatchMoments(0.1, 10, kept=0.9)
    moments.add(*batch(0))
    before = {name: value.clone() for name, value in moments.state_dict().items()}
    wanted = moments.including(*batch(1))
    assert all(torch.equal(value, before[name]) for name, value in moments.state_dict().items())
    moments.add(*batch(1))
    for one, other in zip(wanted, moments.read()):
        assert torch.equal(torch.stack(one), torch.stack(other))


def test_the_past_fades():
    """The same batch again and again: the mean stays, the count goes to that of a batch over 1 - kept."""
    moments = MatchMoments(0.1, 10, kept=0.5)
    own, hardest = batch(0)
    for _ in range(30):
        moments.add(own, hardest)
    once = MatchMoments(0.1, 10)
    once.add(own, hardest)
    for got, single in zip(moments.read(), once.read()):
        torch.testing.assert_close(got.count, 2 * single.count)
        torch.testing.assert_close(got.mean, single.mean)


def test_what_fades_was_seen_all_the_same():
    """Two right pairs a batch, half of them kept: never more than four are left, and ten are asked for."""
    moments = MatchMoments(0.1, 10, kept=0.5)
    own, hardest = torch.tensor([0.8, 0.7, 0.1]), torch.tensor([[0.3, 0.2, 0.6], [0.2, 0.4, 0.5]])
    asked = []
    for _ in range(8):
        asked.append(bool(moments.log_odds(torch.tensor([[0.75]])).isfinite()))
        moments.add(own, hardest)
    assert moments.read()[0].count < 4
    assert moments.read()[0].seen == 16
    assert asked == [False] * 6 + [True] * 2
    moments.reset()
    assert not moments.log_odds(torch.tensor([[0.75]])).isfinite()


def test_the_weight_is_one_until_enough_is_known_then_less_for_the_similar():
    moments = MatchMoments(0.1, 40)
    cosines = torch.tensor([[0.0, 0.5, 0.99]])
    for seed in range(20):
        if moments.read()[0].count > 40:
            break
        assert (moments.log_weight(cosines) == 0).all()
        assert (moments.log_odds(cosines) == -torch.inf).all()
        moments.add(*batch(seed))
    weight = moments.log_weight(cosines).exp()[0]
    assert weight[0] > weight[1] > weight[2] > 0
    torch.testing.assert_close(weight, 1 - moments.log_odds(cosines).sigmoid()[0])


def test_reset_and_resume():
    moments, other = MatchMoments(0.1, 10), MatchMoments(0.1, 10)
    moments.add(*batch(0))
    other.load_state_dict(moments.state_dict())
    for each in (moments, other):
        each.add(*batch(1))
    assert all(torch.equal(a, b) for a, b in zip(moments.buffers(), other.buffers()))
    moments.reset()
    assert not any(buffer.any() for buffer in moments.buffers())
