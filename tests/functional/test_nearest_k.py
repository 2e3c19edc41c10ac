import pytest
import torch

from hf_noisy_itm.functional import nearest_k as nearest_k_module
from hf_noisy_itm.functional.nearest_k import nearest_k


def clustered(rows, seed=0, width=16):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(20, width, generator=rng)
    return centres[torch.randint(20, (rows,), generator=rng)] + 0.4 * torch.randn(rows, width, generator=rng)


def slow(queries, keys, k):
    found = []
    for query in queries:
        cosines = [float(torch.nn.functional.cosine_similarity(query, key, dim=0)) for key in keys]
        found.append(sorted(range(len(keys)), key=lambda row: -cosines[row])[:k])
    return torch.tensor(found)


def test_the_exact_search_is_the_slow_one():
    queries, keys = clustered(30), clustered(50, seed=1)
    cosines, rows = nearest_k(queries, keys, 5)
    assert torch.equal(rows, slow(queries, keys, 5))
    wanted = torch.nn.functional.cosine_similarity(queries[:, None], keys[rows], dim=2)
    torch.testing.assert_close(cosines, wanted)


def test_cells_find_nearly_all_of_them_and_the_right_cosines():
    keys = clustered(3000)
    exact, approximate = nearest_k(keys, keys, 10), nearest_k(keys, keys, 10, exact=0)
    found = (approximate[1][:, :, None] == exact[1][:, None]).any(dim=2).float().mean()
    assert found > 0.97
    assert torch.equal(approximate[1][:, 0], torch.arange(3000))  # nothing is nearer than the thing itself
    assert (approximate[0].diff(dim=1) <= 0).all()
    unit = torch.nn.functional.normalize(keys, dim=1)
    torch.testing.assert_close(approximate[0], (unit[:, None] * unit[approximate[1]]).sum(dim=2))


def test_the_same_search_finds_the_same():
    keys = clustered(2000)
    one, other = (nearest_k(keys[:300], keys, 4, exact=0, seed=2) for _ in range(2))
    assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("exact", [0, 100])
def test_fewer_keys_than_asked_for(exact):
    cosines, rows = nearest_k(clustered(4), clustered(3, seed=1), 5, exact=exact, probes=20)
    assert (rows[:, 3:] == -1).all()
    assert (cosines[:, 3:] == -torch.inf).all()
    assert torch.equal(rows[:, :3].sort(dim=1).values, torch.arange(3).expand(4, 3))


def test_a_row_of_zeros_and_half_precision_are_taken():
    keys = clustered(20)
    keys[3] = 0
    rows = nearest_k(keys.half(), keys.half(), 2)[1]
    assert (rows[torch.arange(20) != 3, 0] == torch.arange(20)[torch.arange(20) != 3]).all()


def test_equal_keys_in_one_cell_are_not_compared_with_all_queries_at_once(monkeypatch):
    """Captions are often equal: one cell may hold nearly all of them."""
    shapes, topk = [], torch.Tensor.topk
    monkeypatch.setattr(nearest_k_module, "_SIMILARITIES", 5000)
    monkeypatch.setattr(torch.Tensor, "topk", lambda values, k: (shapes.append(values.shape), topk(values, k))[1])
    keys = torch.cat([torch.ones(900, 16), clustered(100)])
    cosines, rows = nearest_k(keys, keys, 1, exact=0)
    assert max(rows for rows, columns in shapes if columns >= 900) == 5000 // 900
    torch.testing.assert_close(cosines, torch.ones(1000, 1))
    assert (rows[:900] < 900).all()


@pytest.mark.parametrize("seed", range(5))
def test_one_probe_finds_a_key_though_cells_may_be_empty(seed):
    keys = clustered(40, seed).repeat(3, 1)
    assert (nearest_k(clustered(200, 9), keys, 1, exact=0, probes=1, seed=seed)[1] >= 0).all()
