import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.graph import propagate, propagation


def test_three_nodes_by_hand():
    # 0 and 1 are tied by 3, 2 is alone. Degrees with the loop: 4, 4, 1.
    links = torch.tensor([[9.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 9.0]])  # the diagonal does not count
    matrix = propagation(links)
    torch.testing.assert_close(matrix, torch.tensor([[0.25, 0.75, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]))
    nodes = torch.tensor([[4.0, 0.0], [0.0, 4.0], [5.0, 6.0]])
    torch.testing.assert_close(propagate(matrix, nodes), torch.tensor([[1.0, 3.0], [3.0, 1.0], [5.0, 6.0]]))
    assert links[0, 0] == 9


@given(st.integers(2, 9), st.integers(0, 200))
def test_it_equals_a_loop_and_never_grows(count, seed):
    generator = torch.Generator().manual_seed(seed)
    links = torch.rand(count, count, generator=generator)
    links = (links + links.T) * (torch.rand(count, count, generator=generator) < 0.5)
    links = torch.minimum(links, links.T)
    matrix = propagation(links)
    for i in range(count):
        for j in range(count):
            degrees = [1 + links[node].sum().item() - links[node, node].item() for node in (i, j)]
            tie = 1.0 if i == j else links[i, j].item()
            assert abs(matrix[i, j].item() - tie / (degrees[0] * degrees[1]) ** 0.5) < 1e-5
    assert torch.linalg.eigvalsh(matrix).abs().max() <= 1 + 1e-5  # so many layers do not blow up
    torch.testing.assert_close(matrix, matrix.T)


def test_it_is_float32_under_autocast():
    matrix, nodes = propagation(torch.zeros(2, 2)), torch.tensor([[1.001, 2.0], [3.0, 4.0]])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(propagate(matrix, nodes), nodes)
