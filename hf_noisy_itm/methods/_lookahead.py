"""Where an optimizer would take a model, without going there: for methods that ask what a batch would do."""

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..exchange import Exchange
from ..functional.optim import adamw_step, sgd_step
from ..memory.gradient_moments import GradientMoments

_ADAMW_STATE = {"step", "exp_avg", "exp_avg_sq"}


def look_ahead(
    model: nn.Module,
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    exchange: Exchange,
    follow: Literal["adamw", "sgd"] = "adamw",
    fixed: Collection[Tensor] = (),
    moments: GradientMoments | None = None,
) -> dict[str, Tensor]:
    """Parameters after one step on a loss; neither the model nor the optimizer is changed, and the graph stays.

    Args:
        model: whose trainable parameters the optimizer holds.
        loss: scalar with graph; of this process, the gradient is the mean over all processes.
        optimizer: read, for learning rates and, by "adamw", for its running means.
        exchange: the processes.
        follow: "adamw" takes the step of `torch.optim.AdamW` from the optimizer's state, "sgd" a plain gradient step.
        fixed: parameters that do not move; the backward pass ends where only they remain.
        moments: to be read by "adamw" instead of the optimizer's state; the gradient is noted there, and whoever owns
            them updates them after the optimizer's step.

    Returns:
        New tensors by name, of those parameters that move and that the loss depends on.

    Raises:
        InputError: "adamw" and another optimizer, or an optimizer that does not hold every trainable parameter.
    """
    if follow == "adamw":
        _refuse_other_than_adamw(optimizer)
    group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if strange := [name for name, parameter in trainable.items() if id(parameter) not in group_of]:
        raise InputError(
            f"The virtual step needs an optimizer that holds every trainable parameter, and this one lacks "
            f"{len(strange)} of {len(trainable)}, {strange[0]} for one: freeze what is not trained, and train without "
            f"an engine that shards parameters (FSDP, ZeRO)."
        )
    still = {id(parameter) for parameter in fixed}
    trainable = {name: parameter for name, parameter in trainable.items() if id(parameter) not in still}
    if not trainable:
        raise InputError("The virtual step moves nothing: all trainable parameters lie outside its scope; widen it.")
    gradients = _gradients(loss, list(trainable.values()))
    found = {name: gradient for name, gradient in zip(trainable, gradients) if gradient is not None}
    ahead = {}
    for name, gradient in zip(found, exchange.mean(list(found.values()))):
        parameter, group = trainable[name], group_of[id(trainable[name])]
        if follow == "sgd":
            ahead[name] = sgd_step(parameter, gradient, group["lr"])
            continue
        if moments is None:
            state = optimizer.state.get(parameter, {})
            means, seen = (state.get("exp_avg"), state.get("exp_avg_sq")), state.get("step", 0)
        else:
            means, seen = moments.of(name), moments.steps.count
            moments.note(name, gradient, group["betas"])
        ahead[name] = adamw_step(
            parameter, gradient, *means, seen, group["lr"], group["betas"], group["eps"], group["weight_decay"]
        )
    return ahead


def _gradients(loss: Tensor, parameters: list[Tensor]) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        if "use_reentrant=True" not in str(error):
            raise
        raise InputError(
            "The virtual step needs a gradient that reentrant checkpointing does not give: train with "
            "--gradient_checkpointing_kwargs '{\"use_reentrant\": false}', or give --virtual_step pair."
        ) from error


def _refuse_other_than_adamw(optimizer: torch.optim.Optimizer) -> None:
    keys = {key for state in optimizer.state.values() for key in state}
    variants = any(group.get("amsgrad") or group.get("maximize") for group in optimizer.param_groups)
    if not isinstance(optimizer, torch.optim.AdamW) or variants or keys - _ADAMW_STATE:
        raise InputError(
            f"The virtual step follows torch's AdamW, and this optimizer is another ({type(optimizer).__name__}): "
            f"train with --optim adamw_torch, or give --virtual_optimizer sgd."
        )
