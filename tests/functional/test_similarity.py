import pytest
import torch

from hf_noisy_itm.functional.similarity import inner_products, nearest_rows, normalize, same_image_mask


def test_normalize_makes_unit_rows_in_float32_and_leaves_zero_rows():
    # (3, 4) has length 5.
    unit = normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.bfloat16))
    assert unit.dtype == torch.float32
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_same_image_mask_by_hand():
    # Pictures 7 8 7; the row's own column is never marked.
    image_id = torch.tensor([7, 8, 7])
    assert same_image_mask(image_id, image_id, torch.arange(3)).int().tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_same_image_mask_equals_a_loop_when_the_local_pairs_stand_in_the_middle():
    everywhere = torch.randint(0, 4, (12,), generator=torch.Generator().manual_seed(0))
    own_column = torch.arange(5, 9)
    mask = same_image_mask(everywhere[5:9], everywhere, own_column)
    for row in range(4):
        for column in range(12):
            assert mask[row, column] == (everywhere[5 + row] == everywhere[column] and column != 5 + row)


def naive_nearest(queries, keys, exclude):
    found = []
    for query, excluded in zip(queries.double(), exclude):
        cosines = [torch.dot(query, key) / query.norm() / key.norm() for key in keys.double()]
        allowed = [row for row in range(len(keys)) if row != excluded] or [int(excluded)]
        found.append(max(allowed, key=lambda row: cosines[row].item()))
    return found


@pytest.mark.parametrize("num_keys", [1, 2, 9])
def test_nearest_rows_equals_a_loop(num_keys):
    rng = torch.Generator().manual_seed(num_keys)
    queries, keys = torch.randn(14, 5, generator=rng), torch.randn(num_keys, 5, generator=rng)
    exclude = torch.arange(14) % (num_keys + 1) - 1  # -1 is none
    assert nearest_rows(queries, keys).tolist() == naive_nearest(queries, keys, torch.full((14,), -1))
    assert nearest_rows(queries, keys, exclude).tolist() == naive_nearest(queries, keys, exclude)


@pytest.mark.parametrize("block", [1, 3, 13, 14, 100])
def test_nearest_rows_does_not_depend_on_the_block(block):
    rng = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(14, 5, generator=rng), torch.randn(9, 5, generator=rng)
    exclude = torch.arange(14) % 10 - 1
    assert torch.equal(nearest_rows(queries, keys, exclude, block), nearest_rows(queries, keys, exclude))


def test_nearest_rows_compares_directions_not_lengths():
    queries = torch.tensor([[1.0, 0.1]])
    assert nearest_rows(queries, torch.tensor([[0.01, 0.0], [50.0, 50.0]])).tolist() == [0]


def test_nearest_rows_gives_the_first_of_equals():
    keys = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest_rows(torch.tensor([[2.0, 0.0]]), keys).tolist() == [1]
    assert nearest_rows(torch.tensor([[2.0, 0.0]]), keys, exclude=torch.tensor([1])).tolist() == [2]


def test_an_excluded_key_loses_even_against_the_opposite_direction():
    keys = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert nearest_rows(torch.tensor([[1.0, 0.0]]), keys, exclude=torch.tensor([0])).tolist() == [1]


def test_nearest_rows_refuses_to_search_among_nothing():
    with pytest.raises(ValueError, match="no keys .* 3 queries"):
        nearest_rows(torch.ones(3, 2), torch.ones(0, 2))


def test_autocast_does_not_round_what_is_near():
    rng = torch.Generator().manual_seed(0)
    keys = normalize(torch.randn(300, 64, generator=rng))
    keys = torch.cat([keys, normalize(keys + 0.005 * torch.randn(300, 64, generator=rng))])  # cosine 0.999 each
    with torch.autocast("cpu", torch.bfloat16):
        found = nearest_rows(keys, keys)
        products = inner_products(keys, keys)
    assert torch.equal(found, torch.arange(600))
    assert products.dtype == torch.float32
    assert torch.equal(products, keys @ keys.T)
