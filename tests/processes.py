"""Processes of a test, which end whatever happens: one that hangs says where, or fails, and the suite goes on."""

import faulthandler
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch.multiprocessing as mp

ROOT = Path(__file__).parent.parent


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


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str]) -> subprocess.CompletedProcess:
    """What a command printed, in the folder of the repository; with it go all processes that it began.

    `subprocess.run` ends the first one only, and waits for ever where the others hold its pipes.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)
