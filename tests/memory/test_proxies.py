import torch

from hf_noisy_itm.memory.proxies import Proxies


def test_they_start_orthogonal_where_there_is_room():
    torch.manual_seed(0)
    rows = Proxies(4, 9).weight.detach()
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-5, rtol=0)


def test_and_as_unit_rows_where_there_is_none():
    rows = Proxies(9, 4).weight.detach()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(9))


def test_a_step_is_projected_and_given_rows_are_scaled():
    proxies = Proxies(3, 4)
    with torch.no_grad():
        proxies.weight.mul_(torch.tensor([2.0, 0.5, 7.0])[:, None])
    direction = proxies.weight.detach() / proxies.weight.detach().norm(dim=1, keepdim=True)
    proxies.project()
    torch.testing.assert_close(proxies.weight.detach(), direction)
    proxies.take(3 * torch.eye(4)[:3])
    assert torch.equal(proxies.weight.detach(), torch.eye(4)[:3])
    assert proxies.weight.requires_grad
