import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.trust import trust_as_released, trust_monotone, trust_of_paper

cosines = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20).map(torch.tensor)


def test_values_worked_out_by_hand():
    """d = 0.3: 0.09 * 0.7; d = 0.5: 0.25 * 0.5; at b and below: 0."""
    cosine = torch.tensor([0.5, 0.7, 0.2, 0.1])
    torch.testing.assert_close(trust_of_paper(cosine, torch.tensor(0.2)), torch.tensor([0.063, 0.125, 0.0, 0.0]))
    excess = torch.tensor([0.0, 1.0, 2.0])  # x = 0, 1/2, 1: 0, 1/4 * 3/4, 0
    torch.testing.assert_close(trust_as_released(excess, excess.max()), torch.tensor([0.0, 0.1875, 0.0]))
    place = trust_monotone(torch.tensor([0.1, 0.2, 0.3, 0.25, 0.9]), torch.tensor(0.2), torch.tensor(0.3))
    torch.testing.assert_close(place, torch.tensor([0.0, 0.0, 1.0, 0.5, 1.0]))


@given(cosines, st.floats(-0.5, 0.9))
def test_the_papers_form_is_its_formula(cosine, wrong):
    wanted = [max(0.0, -((s - wrong) ** 2) * (s - wrong - 1)) if s > wrong else 0.0 for s in cosine.tolist()]
    torch.testing.assert_close(trust_of_paper(cosine, torch.tensor(wrong)), torch.tensor(wanted), atol=1e-6, rtol=1e-5)


def test_the_papers_form_falls_beyond_two_thirds_and_the_monotone_one_never():
    cosine = torch.linspace(-1, 1, 500)
    paper = trust_of_paper(cosine, torch.tensor(0.0))
    assert paper.max() == pytest.approx(4 / 27, abs=1e-5)
    assert cosine[paper.argmax()] == pytest.approx(2 / 3, abs=0.01)
    assert (trust_monotone(cosine, torch.tensor(0.0), torch.tensor(0.5)).diff() >= 0).all()


@given(cosines)
def test_as_released_the_most_confident_pair_counts_nothing_and_mates_matter(cosine):
    excess = cosine.clamp(min=0)
    weight = trust_as_released(excess, excess.max())
    assert ((weight >= 0) & (weight <= 0.25 + 1e-6)).all()
    assert weight[excess.argmax()] == 0
    alone = trust_as_released(torch.tensor([0.5, 1.0]), torch.tensor(1.0))[0]
    beside = trust_as_released(torch.tensor([0.5, 2.0]), torch.tensor(2.0))[0]
    assert alone != beside


def test_where_nothing_is_above_noise_all_is_zero():
    assert torch.equal(trust_as_released(torch.zeros(3), torch.tensor(0.0)), torch.zeros(3))
