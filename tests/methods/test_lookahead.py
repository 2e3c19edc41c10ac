"""The step that is looked at is the step that would be taken."""

import copy

import pytest
import torch
from torch import nn

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.memory.gradient_moments import GradientMoments
from hf_noisy_itm.methods._lookahead import look_ahead


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def groups(model):
    """As the Trainer makes them: matrices decay, vectors do not; and rates differ."""
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "lr": 0.1, "weight_decay": 0.3},
        {"params": [p for p in model.parameters() if p.ndim < 2], "lr": 0.02, "weight_decay": 0.0},
    ]


def loss_of(model, seed=0):
    return model(torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))).square().mean()


def take(model, optimizer, seed):
    optimizer.zero_grad()
    loss_of(model, seed).backward()
    optimizer.step()


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize(
    ("follow", "make"),
    [
        ("adamw", lambda groups: torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-6)),
        ("sgd", lambda groups: torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups])),
    ],
)
def test_it_is_the_step_that_the_optimizer_takes(follow, make, steps):
    model = network()
    optimizer = make(groups(model))
    for step in range(steps):
        take(model, optimizer, step)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    ahead = look_ahead(model, loss_of(model, 9), optimizer, Exchange(), follow)
    assert str(before) == str((model.state_dict(), optimizer.state_dict()))
    take(model, optimizer, 9)
    assert ahead.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ahead[name], parameter.detach(), atol=1e-7, rtol=1e-6)


def test_moments_of_its_own_are_read_instead_of_the_optimizer_s_state():
    """A second model takes every step that is looked at, from where the first one stands."""
    model, twin = network(), network()
    optimizer, other = (torch.optim.AdamW(groups(of), betas=(0.8, 0.95), eps=1e-6) for of in (model, twin))
    moments = GradientMoments(dict(model.named_parameters()))
    for step in range(3):
        twin.load_state_dict(model.state_dict())
        take(twin, other, 10 + step)
        ahead = look_ahead(model, loss_of(model, 10 + step), optimizer, Exchange(), moments=moments)
        for name, parameter in twin.named_parameters():
            torch.testing.assert_close(ahead[name], parameter.detach(), atol=1e-7, rtol=1e-6)
        assert moments.steps.count == step  # read, and not written
        take(model, optimizer, step)
        moments.update()


def test_a_parameter_that_joins_later_has_its_own_first_step():
    model = network()
    model[2].weight.requires_grad_(False)
    optimizer = torch.optim.AdamW(groups(model))
    for step in range(3):
        take(model, optimizer, step)
    model[2].weight.requires_grad_(True)
    ahead = look_ahead(model, loss_of(model, 9), optimizer, Exchange())
    take(model, optimizer, 9)
    torch.testing.assert_close(ahead["2.weight"], model[2].weight.detach())
    torch.testing.assert_close(ahead["0.weight"], model[0].weight.detach())


def test_what_the_loss_does_not_depend_on_stays_and_what_is_frozen_too():
    model = network()
    model.idle = nn.Linear(2, 2)
    model.forward = lambda rows: model[2](model[1](model[0](rows)))
    model[0].bias.requires_grad_(False)
    ahead = look_ahead(model, loss_of(model), torch.optim.AdamW(model.parameters()), Exchange())
    assert set(ahead) == {"0.weight", "2.weight", "2.bias"}


def test_gradients_travel_in_one_message():
    class Counting(Exchange):
        calls = 0

        def mean(self, tensors):
            Counting.calls += 1
            return [2 * tensor for tensor in tensors]

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    doubled = look_ahead(model, loss_of(model), optimizer, Counting(), "sgd")
    single = look_ahead(model, loss_of(model), optimizer, Exchange(), "sgd")
    assert Counting.calls == 1
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(doubled[name] - parameter, 2 * (single[name] - parameter))


def test_the_number_of_steps_is_not_read_from_the_device(monkeypatch):
    model = network()
    optimizer = torch.optim.AdamW(groups(model))
    take(model, optimizer, 0)

    def waits(tensor):
        raise AssertionError("read")

    for name in ("__int__", "__float__", "__bool__", "item"):
        monkeypatch.setattr(torch.Tensor, name, waits)
    look_ahead(model, loss_of(model), optimizer, Exchange())


def test_a_parameter_that_joined_later_has_seen_fewer_steps():
    """Adam corrects each parameter's means by the number of its own steps, in one group or in several."""
    model = network()
    late = dict(model.named_parameters())["0.bias"]
    optimizer = torch.optim.AdamW(groups(model))
    late.requires_grad_(False)
    take(model, optimizer, 0)
    late.requires_grad_(True)
    take(model, optimizer, 1)
    ahead = look_ahead(model, loss_of(model, 2), optimizer, Exchange())
    take(model, optimizer, 2)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ahead[name], parameter.detach(), msg=name)


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize(
    "make",
    [
        torch.optim.Adam,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.SGD,
        torch.optim.Adafactor,
        lambda parameters: torch.optim.AdamW(parameters, amsgrad=True),
        lambda parameters: torch.optim.AdamW(parameters, maximize=True),
    ],
    ids=["Adam", "NAdam", "RAdam", "SGD", "Adafactor", "amsgrad", "maximize"],
)
def test_another_optimizer_than_adamw_is_refused(make, steps):
    model = network()
    optimizer = make(model.parameters())
    for step in range(steps):
        take(model, optimizer, step)
    with pytest.raises(InputError, match=r"follows torch's AdamW.*virtual_optimizer sgd"):
        look_ahead(model, loss_of(model), optimizer, Exchange())
    assert look_ahead(model, loss_of(model), optimizer, Exchange(), "sgd")


def test_a_state_that_adamw_does_not_have_is_refused():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    take(model, optimizer, 0)
    optimizer.state[model[0].weight]["exp_avg_quantized"] = torch.zeros(1)
    with pytest.raises(InputError, match="follows torch's AdamW"):
        look_ahead(model, loss_of(model), optimizer, Exchange())


@pytest.mark.parametrize("follow", ["adamw", "sgd"])
def test_an_optimizer_of_other_tensors_is_refused(follow):
    """An engine that shards holds its own tensors: nothing would move, and all weights be one."""
    model = network()
    others = [nn.Parameter(parameter.detach().clone()) for parameter in model.parameters()]
    with pytest.raises(InputError, match=r"lacks 4 of 4, 0\.weight for one"):
        look_ahead(model, loss_of(model), torch.optim.AdamW(others), Exchange(), follow)
    with pytest.raises(InputError, match=r"lacks 2 of 4, 2\.weight for one"):
        look_ahead(model, loss_of(model), torch.optim.AdamW(model[0].parameters()), Exchange(), follow)
