import pytest
import torch

from hf_noisy_itm.functional.optim import adamw_step, sgd_step

SETTINGS = {"learning_rate": 3e-3, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.2}


def test_sgd_step_by_hand():
    # 1 - 0.1 * 0.5 = 0.95
    assert sgd_step(torch.tensor(1.0), torch.tensor(0.5), 0.1).item() == pytest.approx(0.95)


def test_the_first_adamw_step_by_hand():
    # Both corrected means are those of g alone, so the step is lr * g / |g| = 0.1, after a decay of theta by
    # lr * 0.1 = 0.01: 1 * (1 - 0.01) - 0.1 = 0.89, however large the gradient.
    for gradient in (0.5, 20.0):
        step = adamw_step(torch.tensor(1.0), torch.tensor(gradient), None, None, 0, 0.1, (0.9, 0.999), 1e-12, 0.1)
        assert step.item() == pytest.approx(0.89)


@pytest.mark.parametrize("shape", [(), (1,), (7, 3)])
def test_adamw_step_goes_where_torch_goes_over_several_steps(shape):
    rng = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(shape, generator=rng))
    optimizer = torch.optim.AdamW(
        [parameter], lr=SETTINGS["learning_rate"], **{k: SETTINGS[k] for k in ("betas", "eps", "weight_decay")}
    )
    for step in range(6):
        parameter.grad = torch.randn(shape, generator=rng) * 10.0 ** (step % 3 - 1)
        state = optimizer.state[parameter]
        ours = adamw_step(parameter, parameter.grad, state.get("exp_avg"), state.get("exp_avg_sq"), step, **SETTINGS)
        before = parameter.detach().clone()
        optimizer.step()
        torch.testing.assert_close(ours, parameter.detach(), rtol=3e-7, atol=3e-8)
        assert (before - ours).abs().min() > 1e-5  # a step of every element, so that the line above means something


def test_sgd_step_goes_where_torch_goes():
    parameter = torch.nn.Parameter(torch.randn(4, generator=torch.Generator().manual_seed(0)))
    parameter.grad = torch.ones(4)
    ours = sgd_step(parameter, parameter.grad, 0.3)
    torch.optim.SGD([parameter], lr=0.3).step()
    torch.testing.assert_close(ours, parameter.detach())


def test_a_step_changes_nothing_that_it_was_given_and_keeps_no_graph():
    given = [torch.ones(3, requires_grad=True), torch.full((3,), 0.5), torch.full((3,), 0.1), torch.full((3,), 0.2)]
    copies = [tensor.detach().clone() for tensor in given]
    results = [adamw_step(*given, 4, **SETTINGS), sgd_step(given[0], given[1], 0.1)]
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies))
    assert not any(result.requires_grad for result in results)
