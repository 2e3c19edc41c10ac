"""One commit to the Hub. What is local stays whole whatever the Hub answers, and whoever interrupts is told so."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from safetensors import SafetensorError
from transformers.utils import logging

from ..errors import InputError, Interrupted, last_line
from .data_folder import NOISE
from .tokens import mask_tokens

logger = logging.get_logger(__name__)

_NEW_IS_PRIVATE = {"dataset": True}  # its pictures may not be anyone's to publish
_SHOWN = 5  # names of files in a warning
_OVERTAKEN = 412  # somebody else's commit came between
_ATTEMPTS = 5


def push(
    folder: Path,
    files: dict[str, Path | bytes],
    api: HfApi,
    kind: str,
    where: dict[str, Any],
    again: str,
    only_ours: tuple[str, ...] = (),
    message: str = "Upload",
    beside: Callable[[list[str], Callable[[str], str]], dict[str, Path | bytes]] | None = None,
) -> str:
    """Makes the repository if it is not there, and one commit: all of it is there, or nothing.

    Args:
        folder: what is published, for messages.
        files: by their names in the repository.
        api: of the Hub.
        kind: "model", "dataset" or "space".
        where: `repo_id`, `private` and `revision`.
        again: the command that does the same.
        only_ours: patterns of files that go if they are there from an earlier push and not in this one.
        message: of the commit.
        beside: makes further files, of the names of those that are there and of a function that reads one.

    Returns:
        Where it is now.

    Raises:
        InputError: the Hub refuses.
    """

    def commit(repo: str) -> None:
        """On top of what was looked at: what others commit meanwhile would be overwritten, or left out of the card."""
        place = {"repo_id": repo, "repo_type": kind}
        parent = api.repo_info(**place, revision=where["revision"]).sha
        there = api.list_repo_files(**place, revision=parent)

        def read(name: str) -> str:
            found = api.hf_hub_download(filename=name, **place, revision=parent)
            return Path(found).read_text(encoding="utf-8")

        new = files | (beside(there, read) if beside is not None else {})
        operations = [CommitOperationAdd(name, path) for name, path in sorted(new.items())]
        old = [name for name in there if name not in new and name != ".gitattributes"]
        gone = [name for name in old if any(fits(name, pattern) for pattern in only_ours)]
        operations += [CommitOperationDelete(name) for name in gone]
        more = {"commit_message": message, "revision": where["revision"], "parent_commit": parent}
        api.create_commit(operations=operations, **place, **more)
        ours = {name.removesuffix(NOISE) for name in there if name.endswith(f"/{NOISE}")}  # other configurations
        if left := [name for name in sorted(set(old) - set(gone)) if not name.startswith(tuple(ours))]:
            names = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
            logger.warning(f"{repo} also holds files that were not of this push, and stay: {names}.")

    def work() -> str:
        repo = make_repository(api, kind, **where)
        for attempt in range(_ATTEMPTS):
            try:
                commit(repo)
                break
            except HfHubHTTPError as error:
                if error.response.status_code != _OVERTAKEN or attempt == _ATTEMPTS - 1:
                    raise
        return repo

    try:
        repo = _aside(work)
    except InputError:
        raise
    except Exception as error:  # the clients of HTTP and of Xet raise kinds that have nothing in common
        raise InputError(
            f"{folder} is whole but could not be uploaded to {where['repo_id']!r}: {reason_of(error)}; to try again: "
            f"{again}"
        ) from None
    return repo if kind == "model" else f"{kind}s/{repo}"


def make_repository(api: HfApi, kind: str, repo_id: str, private: bool, revision: str | None) -> str:
    """Makes repository and branch, where they are not there; returns the repository's whole name.

    Raises:
        InputError: it is to be private, and is there and public.
    """
    more = {"space_sdk": "gradio"} if kind == "space" else {}
    private_if_new = private or _NEW_IS_PRIVATE.get(kind)
    repo = api.create_repo(repo_id, repo_type=kind, private=private_if_new, exist_ok=True, **more).repo_id
    if private and not api.repo_info(repo, repo_type=kind).private:
        raise InputError(f"{repo} is there already and public, and --private was asked: name another one.")
    if revision is not None:
        api.create_branch(repo, branch=revision, repo_type=kind, exist_ok=True)
    return repo


def fits(name: str, pattern: str) -> bool:
    """Whether a file's name is of a pattern, folder by folder."""
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)


def reason_of(error: BaseException) -> str:
    """Why the Hub did not take something, in a few words without any token."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__  # the client says which file, and why comes below
    if isinstance(error, LocalTokenNotFoundError):
        text = "there is no token (run `hf auth login`, or set HF_TOKEN)"
    elif isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        more = "log in with `hf auth login`, or set HF_TOKEN" if status == 401 else error.server_message
        text = f"the Hub answered {status}" + (f" ({' '.join(more.split())})" if more else "")
    else:
        kind = type(error).__name__
        text = last_line(error) if isinstance(error, OSError | ValueError) else f"{kind}: {last_line(error)}"
    return mask_tokens(text)


@contextlib.contextmanager
def staging(folder: Path, again: str) -> Iterator[Path]:
    """Gives an empty folder to lay out what is published, and says what an interruption or a full disk leave.

    Raises:
        InputError: a file of the folder cannot be read, or there is no room to lay it out.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    try:
        with _terminating(), tempfile.TemporaryDirectory(prefix="hf_noisy_itm_") as temporary:
            yield Path(temporary)
    except KeyboardInterrupt as error:
        status = error.status if isinstance(error, Interrupted) else 128 + signal.SIGINT
        raise Interrupted(
            f"{folder} is whole, but its publishing was interrupted: all of it is on the Hub, or nothing; to try "
            f"again: {again}",
            status,
        ) from None
    except (OSError, SafetensorError) as error:
        place, reason = getattr(error, "filename", None), getattr(error, "strerror", None) or last_line(error)
        if place is not None and Path(place).is_relative_to(folder):
            raise InputError(
                f"{place} cannot be read ({reason}): nothing was published; to try again: {again}"
            ) from None
        raise InputError(
            f"{folder} is whole, but there is no room in {tempfile.gettempdir()} to lay out what is published "
            f"({reason}): free some, or name another folder by TMPDIR; to try again: {again}"
        ) from None


def _aside(work: Callable[[], str]) -> str:
    """Does work in a thread that nobody waits for after an interruption: a request may last as long as its upload."""
    done: dict[str, Any] = {}

    def run() -> None:
        try:
            done["value"] = work()
        except BaseException as error:
            done["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)  # a signal that came just before the wait, or to another thread, is acted on between two
    if "error" in done:
        raise done["error"]
    return done["value"]


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does; threads other than the first are told of no signal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _) -> None:
        raise Interrupted("terminated", 128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
