"""Ctrl-C and SIGTERM while something is uploaded: one sentence, the usual status, at once."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest

from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.hub import PublishArguments, publish
from hf_noisy_itm.noisy_set import NoisySetArguments, make_noisy_set

from .hub_server import TOKEN, USER, HubServer

ROOT = Path(__file__).parent.parent


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def noisy(tmp_path):
    pairs = tmp_path / "pairs.parquet"
    rows = [draw_row("street", (0, 1, 0), row) for row in range(4)]
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(str(pairs))
    args = NoisySetArguments(str(tmp_path / "noisy"), kind="shuffle", rate=0.5)
    make_noisy_set(args, DataArguments(dataset=str(pairs)))
    return tmp_path / "noisy"


class StallingApi:
    """A Hub that does not answer a commit; the signal comes meanwhile."""

    def __init__(self, number):
        self.number = number

    def create_repo(self, repo, **_):
        return SimpleNamespace(repo_id=repo)

    def create_branch(self, repo, **_):
        """As if it were made."""

    def repo_info(self, **_):
        return SimpleNamespace(sha="ab12")

    def list_repo_files(self, **_):
        return []

    def create_commit(self, **_):
        os.kill(os.getpid(), self.number)
        time.sleep(60)


@pytest.fixture
def listens_to_ctrl_c():
    """A shell starts what runs in its background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_one_sentence_at_once_and_leaves_the_folder_whole(
    noisy, monkeypatch, capsys, number, status
):
    before, handler, start = content(noisy), signal.getsignal(signal.SIGTERM), time.monotonic()
    left = []
    monkeypatch.setattr("os._exit", left.append)
    with clean_exit():
        publish(noisy, PublishArguments("me/noisy", private=False, revision="later"), StallingApi(number))
    assert left == [status]
    assert time.monotonic() - start < 30
    assert content(noisy) == before
    assert signal.getsignal(signal.SIGTERM) is handler
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith(f"error: {noisy} is whole, but its publishing was interrupted")
    again = sentence.partition("to try again: ")[2]
    assert shlex.split(again)[1:] == ["recipes/publish.py", str(noisy), "--repo_id", "me/noisy", "--revision", "later"]


def test_a_process_that_is_terminated_while_it_uploads_says_so(noisy, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    environment |= {"HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    words = [sys.executable, "recipes/publish.py", str(noisy), "--repo_id", f"{USER}/noisy"]
    with HubServer() as hub:
        hub.fault("PUT /lfs/*", None, stalls=True)
        environment["HF_ENDPOINT"] = hub.endpoint
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, env=environment, cwd=ROOT, **pipes) as process:
            late = time.monotonic() + 120
            while not any(each.startswith("PUT /lfs/") for each in hub.requests) and time.monotonic() < late:
                time.sleep(0.05)
            process.terminate()
            try:
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()  # the end of the block waits for it
        assert process.returncode == 143, err
        assert err.splitlines()[-1].startswith(f"error: {noisy} is whole, but its publishing was interrupted")
        assert "Traceback" not in out + err
        assert hub.files(f"{USER}/noisy", "datasets").keys() == {".gitattributes"}
    assert list(tmp_path.glob("hf_noisy_itm_*")) == []
