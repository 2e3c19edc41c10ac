import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional import nearest
from hf_noisy_itm.functional.nearest import nearest_others, nearest_rows
from hf_noisy_itm.functional.similarity import normalize


def cosine(one, other):
    return float(torch.dot(one, other) / one.norm() / other.norm())


def naive(embeds, queries, keys, others=False):
    """Place of the best key of each query, one pair of rows at a time; `others`: not the query's own place."""
    found = []
    for number, query in enumerate(queries):
        allowed = [place for place in range(len(keys)) if not others or place != number] or [number]
        found.append(max(allowed, key=lambda place: cosine(embeds[query].double(), embeds[keys[place]].double())))
    return found


def rows_of(count, total, seed):
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 7), st.integers(0, 10_000))
def test_both_equal_a_loop_whatever_the_tile(num_keys, num_queries, tile, seed):
    embeds = torch.randn(14, 5, generator=torch.Generator().manual_seed(seed))
    keys, queries = rows_of(num_keys, 14, seed), rows_of(num_queries, 14, seed + 1)
    assert nearest_rows(embeds, queries, keys, tile).tolist() == naive(embeds, queries, keys)
    assert nearest_others(embeds, keys, tile).tolist() == naive(embeds, keys, keys, others=True)


def test_directions_are_compared_and_not_lengths():
    embeds = torch.tensor([[1.0, 0.1], [0.01, 0.0], [50.0, 50.0]])
    assert nearest_rows(embeds, torch.tensor([0]), torch.tensor([2, 1])).tolist() == [1]
    assert nearest_others(embeds, torch.arange(3)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("tile", [1, 2, 3, 100])
def test_the_first_of_equals_is_found(tile):
    embeds = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest_rows(embeds, torch.tensor([3]), torch.arange(4), tile).tolist() == [1]
    assert nearest_others(embeds, torch.tensor([1, 2, 3]), tile).tolist() == [1, 0, 0]


def test_another_row_wins_even_in_the_opposite_direction():
    assert nearest_others(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.arange(2)).tolist() == [1, 0]


def test_an_only_key_finds_itself():
    assert nearest_others(torch.ones(3, 2), torch.tensor([2])).tolist() == [0]


def test_to_search_among_nothing_is_refused():
    with pytest.raises(ValueError, match="no rows to search among for 3 queries"):
        nearest_rows(torch.ones(3, 2), torch.arange(3), torch.arange(0))
    with pytest.raises(ValueError, match="no rows to search among"):
        nearest_others(torch.ones(3, 2), torch.arange(0))


def test_autocast_does_not_round_what_is_near():
    rng = torch.Generator().manual_seed(0)
    embeds = normalize(torch.randn(300, 64, generator=rng))
    embeds = torch.cat([embeds, normalize(embeds + 0.005 * torch.randn(300, 64, generator=rng))])  # cosine 0.999 each
    every = torch.arange(600)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_rows(embeds, every, every), every)
        assert torch.equal(nearest_others(embeds, every), every.roll(300))


def test_a_tile_is_all_that_is_in_memory(monkeypatch):
    """No tensor is larger than the keys or a tile."""
    sizes = []
    products = nearest._products
    monkeypatch.setattr(nearest, "_products", lambda *all: (sizes.append(all[2].numel()), products(*all))[1])
    embeds = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    nearest_rows(embeds, torch.arange(500), torch.arange(300), tile=64)
    nearest_others(embeds, torch.arange(300), tile=64)
    assert set(sizes) == {64 * 64}


def clustered(rows, seed=0, spread=0.3):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    return centres[torch.randint(40, (rows,), generator=rng)] + spread * torch.randn(rows, 16, generator=rng)


def test_through_cells_nearly_every_row_finds_the_nearest():
    embeds, keys, queries = clustered(3000, spread=1.5), rows_of(1800, 3000, 0), torch.arange(3000)
    found, wanted = (nearest_rows(embeds, queries, keys, exact=exact) for exact in (1799, 1800))
    assert 0.9 < (found == wanted).float().mean() < 1  # and so not the same way to the same places
    found, wanted = (nearest_others(embeds, keys, exact=exact) for exact in (1799, 1800))
    assert 0.9 < (found == wanted).float().mean() < 1
    assert (found != torch.arange(1800)).all()


def test_through_cells_rows_are_looked_up_part_by_part(monkeypatch):
    embeds, keys = clustered(700), torch.arange(100, 400)
    whole = nearest_rows(embeds, torch.arange(700), keys, exact=0), nearest_others(embeds, keys, exact=0)
    monkeypatch.setattr(nearest, "CHUNK", 64)
    assert torch.equal(nearest_rows(embeds, torch.arange(700), keys, exact=0), whole[0])
    assert torch.equal(nearest_others(embeds, keys, exact=0), whole[1])


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_through_cells_rows_that_are_all_equal_find_another(rows):
    embeds, keys = torch.ones(rows, 3), torch.arange(rows)
    found = nearest_others(embeds, keys, exact=0)
    assert ((found >= 0) & (found < rows)).all()
    assert ((found != keys) | (rows == 1)).all()
    assert (nearest_rows(embeds, keys, keys, exact=0) >= 0).all()
