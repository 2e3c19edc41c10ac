"""One training in a process of its own, or in those of a launcher; what it left and what it took."""

import contextlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import InputError
from ..files import read_json, read_yaml

NO_SETTINGS = (
    "output_dir",
    "data_dir",
    "image_root",
    "disable_tqdm",
    "score_cache",
)  # where files lie changes nothing
_LEFT_OUT = ("command", "on_hub", "bank", "weights_sha256")  # of metrics.json: another's, long, of what is not kept


@dataclass(frozen=True)
class Way:
    """How runs are made.

    Args:
        processes: runs at a time.
        end: of `time.monotonic`; none begins after it.
        accelerate: config of `accelerate launch`, which each run is started by, in as many processes as that says;
            None: each in one process.

    Raises:
        InputError: several runs at a time would share what a launcher takes for itself; or the config is not such.
    """

    processes: int = 1
    end: float = float("inf")
    accelerate: Path | None = None

    def __post_init__(self):
        if self.processes < 1:
            raise InputError(f"--processes must be at least 1, got {self.processes}.")
        if math.isnan(self.end):
            raise InputError("--limit is a number of seconds, got nan.")
        if self.accelerate and self.processes > 1:
            raise InputError("accelerate launch takes all devices for a run: leave --processes out.")
        _ = self.told

    @property
    def told(self) -> dict:
        """What settings say of it: a run in several processes has another batch."""
        if self.accelerate is None:
            return {}
        try:
            return {"accelerate": dict(read_yaml(self.accelerate))}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.accelerate} is no config of accelerate: {error}.") from error

    def command(self, script: Path) -> list[str]:
        """That begins a run."""
        launch = ["-m", "accelerate.commands.launch", "--config_file", str(self.accelerate)]
        return [sys.executable, *(launch if self.accelerate else []), str(script)]


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Two at work in one folder would make every run twice, and write over each other's."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"Another benchmark is at work in {folder}: wait for it, or name another --results."
        ) from None
    try:
        yield
    finally:
        lock.release()


def one_run(begin: Sequence[str], words: Sequence[str], end: float) -> dict | None:
    """What a training by these words left, and what it took; None after the end.

    Raises:
        InputError: it failed.
    """
    if time.monotonic() > end:
        return None
    with tempfile.TemporaryDirectory() as folder:
        place, log, start = Path(folder) / "run", Path(folder) / "log", time.perf_counter()
        with log.open("w", encoding="utf-8") as lines:
            last = ["--disable_tqdm", "true", "--output_dir", str(place)]
            last += ["--score_cache", str(Path(folder) / "scores")]  # whoever asks for a scorer pays for it
            run = subprocess.Popen([*begin, *words, *last], stdout=lines, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(run.pid, 0)  # of all processes that a launcher begins, too
        run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            raise InputError(_why(log.read_text(encoding="utf-8", errors="replace"), run.returncode))
        metrics = read_json(place / "metrics.json")
    cost = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10),
    }
    kept = {name: value for name, value in metrics.items() if name not in _LEFT_OUT}
    kept["training"] = {name: value for name, value in kept["training"].items() if name not in NO_SETTINGS}
    recipe = Path(*Path(words[0]).parts[-3:]).as_posix()  # where the repository lies is nobody's business
    return {**kept, "cost": cost, "command": ["recipes/train.py", recipe, *words[1:]]}


def _why(log: str, status: int) -> str:
    """The sentence that a run left, or else its last words."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return next(iter(sentences or lines[-1:]), f"it ended with status {status} and without a word")
