"""One optimizer step as an equation, for methods that look where a step would lead without taking it."""

import torch
from torch import Tensor


@torch.no_grad()
def sgd_step(parameter: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    """`theta - lr * g`, a new tensor of the parameter's shape."""
    return parameter - learning_rate * gradient


@torch.no_grad()
def adamw_moments(
    gradient: Tensor, exp_avg: Tensor | None, exp_avg_sq: Tensor | None, betas: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Adam's running means of gradients and of their squares with one gradient more, two new tensors.

    Args:
        gradient: any shape.
        exp_avg: running mean of gradients before, of the same shape, or None before the first.
        exp_avg_sq: running mean of squared gradients, or None.
        betas: decay of the two means, in [0, 1).
    """
    mean = (1 - betas[0]) * gradient if exp_avg is None else torch.lerp(exp_avg, gradient, 1 - betas[0])
    square = (gradient**2).mul_(1 - betas[1])
    return mean, square if exp_avg_sq is None else square.add_(exp_avg_sq, alpha=betas[1])


@torch.no_grad()
def adamw_step(
    parameter: Tensor,
    gradient: Tensor,
    exp_avg: Tensor | None,
    exp_avg_sq: Tensor | None,
    step: int | Tensor,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Tensor:
    """Where AdamW (Loshchilov & Hutter 2019) would move a parameter; nothing given is changed.

    Args:
        parameter: theta, any shape.
        gradient: of the same shape.
        exp_avg: running mean of gradients before this step, or None before the first.
        exp_avg_sq: running mean of squared gradients, or None.
        step: how many steps those have seen, >= 0; a scalar tensor is not read, so nothing waits for its device.
        learning_rate: > 0.
        betas: decay of the two means, in [0, 1).
        eps: > 0.
        weight_decay: decoupled, >= 0.

    Returns:
        The parameter after the step, a new tensor.
    """
    mean, square = adamw_moments(gradient, exp_avg, exp_avg_sq, betas)
    # In place: of a large model a new tensor for each operation costs more than the operations.
    mean.div_(_bias_correction(betas[0], step)).mul_(learning_rate)
    square.div_(_bias_correction(betas[1], step)).sqrt_().add_(eps)
    return (parameter * (1 - learning_rate * weight_decay)).sub_(mean.div_(square))


def _bias_correction(beta: float, step: int | Tensor) -> float | Tensor:
    if isinstance(step, Tensor):  # in float32, 1 - 0.999 would have four digits
        return (1 - beta ** (step.double() + 1)).float()
    return 1 - beta ** (step + 1)
