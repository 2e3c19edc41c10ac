import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.categories import cross_entropy, multimodal_contrast, proxy_logits, robust_clustering
from hf_noisy_itm.functional.similarity import normalize


def rows(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def test_robust_clustering_by_hand():
    """Logits log 1, log 2, log 5: p = 1/8, 2/8, 5/8; log(1 - p) of each class."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log().expand(3, 3)
    wanted = torch.tensor([7 / 8, 6 / 8, 3 / 8]).log()
    torch.testing.assert_close(robust_clustering(logits, torch.arange(3)), wanted)


def test_its_gradient_is_that_of_cross_entropy_times_the_odds():
    category = torch.tensor([0, 3, 1, 2, 2])
    gradients = []
    for loss in (robust_clustering, cross_entropy):
        logits = (3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(1))).double().requires_grad_()
        loss(logits, category).sum().backward()
        gradients.append(logits.grad)
    own = logits.softmax(dim=1).gather(1, category[:, None])
    torch.testing.assert_close(gradients[0], gradients[1] * own / (1 - own), rtol=1e-5, atol=1e-7)


def test_it_is_finite_where_one_minus_p_is_not():
    """At a temperature of 0.01 cosines of 1 and -1 lie 200 apart, and 1 - p rounds to 0: its logarithm is -200."""
    logits = proxy_logits(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0.01)
    logits.requires_grad_()
    loss = robust_clustering(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(-200)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]]))
    assert torch.isfinite(robust_clustering(logits, torch.tensor([1]))).all()


def test_an_unlikely_label_pulls_hardly_at_all():
    """What the method is for: of two labels cross-entropy follows the less likely one more, robust clustering less."""
    pull = {}
    for loss in (robust_clustering, cross_entropy):
        logits = torch.tensor([[0.0, 1.0], [0.0, 6.0]], requires_grad=True)
        loss(logits, torch.tensor([0, 0])).sum().backward()
        pull[loss] = logits.grad[:, 0].abs().tolist()
    assert pull[robust_clustering][1] < 0.01 * pull[robust_clustering][0]
    assert pull[cross_entropy][1] > pull[cross_entropy][0]


def naive_contrast(embeds, own_column, temperature, form, same, same_image, every=None):
    """-log P of Eq. 6, sum by sum."""
    every = embeds if every is None else every
    modalities, size = embeds.shape[:2]
    losses = torch.zeros(modalities, size, dtype=torch.float64)
    for i in range(modalities):
        for j in range(size):
            right = total = 0.0
            for l in range(modalities):  # noqa: E741
                for t in range(every.shape[1]):
                    own = t == own_column[j]
                    if form == "code" and own and l == i:
                        continue
                    other = same is not None and bool(same[j, t])
                    if other and same_image == "mask":
                        continue
                    term = math.exp(float(embeds[i, j].double() @ every[l, t].double()) / temperature)
                    total += term
                    right += term if own or (other and same_image == "positive") else 0.0
            losses[i, j] = -math.log(right / total)
    return losses


@pytest.mark.parametrize("same_image", [None, "mask", "negative", "positive"])
@pytest.mark.parametrize("form", ["code", "paper"])
@given(st.integers(2, 3), st.integers(1, 5), st.sampled_from([1.0, 0.1]), st.integers(0, 99))
def test_contrast_equals_two_loops(form, same_image, modalities, size, temperature, seed):
    embeds = rows(modalities, size, 6, seed=seed)
    own, same = torch.arange(size), None
    if same_image is not None:
        picture = torch.arange(size) // 2
        same = (picture[:, None] == picture) & ~torch.eye(size, dtype=torch.bool)
    got = multimodal_contrast(embeds, embeds, own, temperature, form, same, same_image or "mask")
    wanted = naive_contrast(embeds, own, temperature, form, same, same_image)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["code", "paper"])
def test_rows_of_one_process_among_those_of_all(form):
    every = rows(3, 8, 5)
    whole = multimodal_contrast(every, every, torch.arange(8), 0.5, form)
    part = multimodal_contrast(every[:, 3:5], every, torch.tensor([3, 4]), 0.5, form)
    torch.testing.assert_close(part, whole[:, 3:5])


def test_by_rows_and_by_columns_it_is_the_same():
    """The released code adds a loss by rows and one by columns of a matrix that is symmetric."""
    embeds = rows(2, 6, 4)
    logits = (embeds.flatten(0, 1) @ embeds.flatten(0, 1).T).masked_fill(torch.eye(12, dtype=torch.bool), -torch.inf)
    partner = torch.arange(12).roll(6)
    got = multimodal_contrast(embeds, embeds, torch.arange(6), 1.0).flatten()
    for dim in (0, 1):
        wanted = -logits.log_softmax(dim=dim)
        wanted = wanted[torch.arange(12), partner] if dim == 1 else wanted[partner, torch.arange(12)]
        torch.testing.assert_close(got, wanted)


def test_the_printed_form_saturates():
    """Samples alike in both modalities and unlike all others: the printed form counts exp(1) twice, the other once."""
    embeds = torch.eye(4).expand(2, 4, 4)
    code, paper = (multimodal_contrast(embeds, embeds, torch.arange(4), 1.0, form)[0, 0] for form in ("code", "paper"))
    assert code.item() == pytest.approx(math.log((math.e + 6) / math.e))
    assert paper.item() == pytest.approx(math.log((2 * math.e + 6) / (2 * math.e)))


def test_under_autocast_it_is_what_it_is_in_float32():
    embeds, proxies = rows(2, 16, 8), rows(5, 8, seed=1)
    plain = multimodal_contrast(embeds, embeds, torch.arange(16), 0.05), proxy_logits(embeds[0], proxies, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = multimodal_contrast(embeds, embeds, torch.arange(16), 0.05), proxy_logits(embeds[0], proxies, 0.05)
    assert all(torch.equal(one, other) for one, other in zip(plain, half))
