"""Two processes of a test, which end whatever happens: one that hangs says where, and the suite goes on."""

import faulthandler
from collections.abc import Callable

import torch.multiprocessing as mp


def in_two(work: Callable, *args, seconds: float = 240) -> None:
    """Calls `work(rank, *args)` in two processes, and waits for both.

    Raises:
        torch.multiprocessing.ProcessExitedException: one took longer than `seconds`; its stack is on stderr.
        torch.multiprocessing.ProcessRaisedException: one raised.
    """
    mp.spawn(_within, args=(seconds, work, args), nprocs=2, daemon=True)


def _within(rank: int, seconds: float, work: Callable, args: tuple) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True)  # also of what hangs while the process ends
    work(rank, *args)
