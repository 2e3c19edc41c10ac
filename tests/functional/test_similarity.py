import torch

from hf_noisy_itm.functional.similarity import inner_products, normalize, same_image_mask


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


def test_autocast_does_not_round_inner_products():
    rng = torch.Generator().manual_seed(0)
    keys = normalize(torch.randn(300, 64, generator=rng))
    with torch.autocast("cpu", torch.bfloat16):
        products = inner_products(keys, keys)
    assert products.dtype == torch.float32
    assert torch.equal(products, keys @ keys.T)
