"""What a method may ask of other processes. The default is one process; the trainer brings the other."""

import math
import os
from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
import torch.distributed as dist  # noqa: TID251
from torch import Tensor, nn

K = TypeVar("K", bound=Hashable)


class Exchange:
    """One process: everything is already here. Methods see only this interface, never a rank.

    `whole` names what of a training lies whole on each process; `engines` has exchanges of which that is not true.
    """

    num_processes = 1
    engine: str | None = None
    whole = frozenset({"parameters", "optimizer"})
    first_of_node = True  # the one that writes what all processes of a machine read

    def gather(self, tensor: Tensor) -> Tensor:
        """Rows of all processes in rank order, (B, …) -> (G, …), with gradient; every process brings B rows."""
        return tensor

    def gather_all(self, tensors: dict[K, Tensor]) -> dict[K, Tensor]:
        """`gather` without gradient, of several tensors of as many rows; those of one dtype travel together."""
        return {name: rows.detach() for name, rows in tensors.items()}

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """Means of tensors over all processes, without gradient; they are of one dtype and travel together."""
        return [tensor.detach() for tensor in tensors]

    def own_rows(self, num_rows: int, device: torch.device | None = None) -> Tensor:
        """Where this process's `num_rows` rows stand among the gathered ones, int64 (num_rows,)."""
        return torch.arange(num_rows, device=device)

    def share(self, num_rows: int) -> range:
        """The rows, of `num_rows` known to all, that this process works on; equally many on every process.

        The last process repeats its last row where the numbers do not divide; `merge` drops the repetitions.
        """
        return range(num_rows)

    def merge(self, rows: Tensor, num_rows: int) -> Tensor:
        """Puts together what all processes made of their `share`, (num_rows, …), without gradient."""
        return rows

    def adopt(self, model: nn.Module) -> None:
        """Takes in a model that an engine has prepared, before its first batch."""

    def part(self, parameter: Tensor) -> Tensor:
        """What of a parameter lies on this process, without gradient."""
        return parameter.detach()

    def read(self, parameter: Tensor) -> Tensor:
        """All of a parameter, which may lie in parts; within `forward` with its gradient."""
        return parameter

    def rewrite(self, parameter: nn.Parameter, rule: Callable[[Tensor], Tensor]) -> None:
        """Replaces a parameter by what a rule makes of it, after an optimizer step and wherever it lies."""
        parameter.copy_(rule(parameter))


class ProcessExchange(Exchange):
    """Several processes of the default `torch.distributed` group."""

    def __init__(self):
        self.rank, self.num_processes = dist.get_rank(), dist.get_world_size()
        self.first_of_node = int(os.environ.get("LOCAL_RANK", self.rank)) == 0

    def gather(self, tensor: Tensor) -> Tensor:  # noqa: D102
        return _Gather.apply(tensor) if tensor.requires_grad else _all_rows(tensor)

    def gather_all(self, tensors: dict[K, Tensor]) -> dict[K, Tensor]:  # noqa: D102
        gathered: dict[K, Tensor] = {}
        for dtype in {rows.dtype: None for rows in tensors.values()}:
            parts = {name: rows.detach() for name, rows in tensors.items() if rows.dtype == dtype}
            flat = [rows.reshape(len(rows), math.prod(rows.shape[1:])) for rows in parts.values()]
            columns = _all_rows(torch.cat(flat, dim=1)).split([rows.shape[1] for rows in flat], dim=1)
            for (name, rows), column in zip(parts.items(), columns):
                gathered[name] = column.reshape(len(column), *rows.shape[1:])
        return gathered

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:  # noqa: D102
        total = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(total)
        parts = (total / self.num_processes).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]

    def own_rows(self, num_rows: int, device: torch.device | None = None) -> Tensor:  # noqa: D102
        return torch.arange(num_rows, device=device) + self.rank * num_rows

    def share(self, num_rows: int) -> "_Clipped":  # noqa: D102
        each = -(-num_rows // self.num_processes)
        return _Clipped(self.rank * each, each, num_rows - 1)

    def merge(self, rows: Tensor, num_rows: int) -> Tensor:  # noqa: D102
        return self.gather(rows.detach())[:num_rows]


def exchange_among(num_processes: int) -> Exchange:
    """What belongs to so many processes, each of which has the whole model."""
    return ProcessExchange() if num_processes > 1 else Exchange()


def leave() -> None:
    """Ends a process's part among several, if it has one: interpreters that end with it open may abort."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """Rows of all processes; the gradient of a row is the sum of what all processes want of it.

    With each process minimising the mean over its own rows, and DDP averaging over processes, the result is the
    gradient of the mean over all rows. `accelerate.gather` has no gradient.
    """

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        ctx.num_rows = len(rows)
        return _all_rows(rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)  # autograd's tensor may serve others too
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.num_rows
        return total[start : start + ctx.num_rows]


def _all_rows(rows: Tensor) -> Tensor:
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


class _Clipped:
    """Consecutive rows, none beyond the last: iterable and sized like a range."""

    def __init__(self, start: int, count: int, last: int):
        self._start, self._count, self._last = start, count, last

    def __len__(self) -> int:
        return self._count

    def __iter__(self):
        return (min(row, self._last) for row in range(self._start, self._start + self._count))
