"""What the benchmarks share: whose figures these are, seconds in turns, peak memory, processes that are fresh."""

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import torch
from transformers import CLIPConfig


def machine(*packages: str) -> dict[str, str | int]:
    """Processor, cores, threads, and versions of Python and of packages."""
    lines = _lines("/proc/cpuinfo")
    return {
        "cpu": next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
        ),
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def vit_b_32(layers: int = 12) -> dict:
    """Fields of the config of a CLIP of ViT-B/32's shape, or of a shallower one."""
    text = {"num_hidden_layers": layers, "hidden_size": 512, "intermediate_size": 2048}
    fields = CLIPConfig(text_config=text, vision_config={"num_hidden_layers": layers}).to_dict()
    return {key: value for key, value in fields.items() if key != "model_type"}


def take_turns(ways: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round that does not count.

    In turns, so that what else the machine does meets all ways alike and ratios hold.
    """
    seconds = {name: [] for name in ways}
    for counts in (False, *[True] * repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if counts:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def extra_memory(way: Callable) -> tuple[object, float]:
    """What a call returns, and by how many MB this process's memory grew beyond what it had before, at the most."""
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    result = way()
    return result, _status("VmHWM") - before


def in_own_process(function: Callable, *args, start: str = "fork"):
    """What a function returns, called in a process that has done nothing else; a fork has imported the libraries."""
    with ProcessPoolExecutor(1, mp_context=get_context(start)) as process:
        return process.submit(function, *args).result()


def _status(name: str) -> float:
    line = next(line for line in _lines("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
