"""To the Hub: a run, a noisy data set, or the metric's Space. What is local stays whole whatever the Hub answers."""

import re
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

from ..errors import InputError, last_line
from ..files import write_json
from ..parser import Parser, in_one_process
from .cards import write_model_card
from .results import eval_results, find_control, read_metrics
from .run_folder import EVAL_RESULTS, ONLY_OURS, for_others, stage_model
from .tokens import mask_tokens

_SHARDS_OF_A_DATASET = ("data/*.parquet", "pictures/*.parquet")
_FILES_OF_A_SPACE = ("*.py", "README.md", "requirements.txt")
_REPO = re.compile(r"(?:[\w.-]+/)?[\w.-]+")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
_DATASET_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class PublishArguments:
    """Where a folder goes, and what goes along. A name alone is one in the namespace of whoever publishes."""

    repo_id: str = field(default="", metadata={"help": "user/name of the repository; made if it is not there."})
    private: bool = field(default=False, metadata={"help": "Make the repository private, or refuse a public one."})
    revision: str | None = field(default=None, metadata={"help": "Branch to publish on; made if it is not there."})
    with_training_state: bool = field(
        default=False, metadata={"help": "Of a run: memory bank, scores and weights of the training pairs too."}
    )
    control: str | None = field(
        default=None, metadata={"help": "Of a run: folder of its control, whose figures stand beside on the card."}
    )
    dataset_id: str | None = field(
        default=None,
        metadata={"help": "Of a run: user/name of the evaluation data on the Hub, if they lie there."},
    )
    license: str | None = field(default=None, metadata={"help": "Of a model, as the Hub names it: mit, for one."})

    def __post_init__(self):
        if not _REPO.fullmatch(self.repo_id):
            raise InputError(f"--repo_id must be user/name on the Hub, got {self.repo_id!r}.")
        if self.dataset_id is not None and not _DATASET_ID.fullmatch(self.dataset_id):
            raise InputError(f"--dataset_id must be user/name of a data set on the Hub, got {self.dataset_id!r}.")
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise InputError(
                f"--license must be an identifier of the Hub, such as mit or other, got {self.license!r}."
            )

    def command(self, folder: str | Path) -> str:
        """The command that publishes a folder like this."""
        words = ["python", "recipes/publish.py", str(folder)]
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                words += [f"--{each.name}", str(value).lower() if isinstance(value, bool) else value]
        return shlex.join(words)


def parse_publish(words: Sequence[str]) -> tuple[str, PublishArguments]:
    """Parses `FOLDER --repo_id user/name [--field value …]`.

    Raises:
        InputError: there is no folder or no such field, or a value of the wrong kind.
    """
    in_one_process("A folder is published")
    if not words or words[0].startswith("-"):
        raise InputError("Name the folder to publish first: recipes/publish.py FOLDER --repo_id user/name.")
    args = PublishArguments(**Parser((PublishArguments,), allow_abbrev=False).values_of(words[1:]))
    if "/" not in args.repo_id:
        raise InputError(f"--repo_id must be user/name on the Hub, got {args.repo_id!r}.")
    return words[0], args


def publish(folder: str | Path, args: PublishArguments, api: HfApi | None = None) -> str:
    """Publishes what a folder holds: the run of a training, a noisy data set, or a Space.

    Returns:
        Where it is now.

    Raises:
        InputError: the folder is none of these, or the Hub refuses; the folder is as it was, and the sentence says
            how to try again.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    if (folder / "metrics.json").is_file():  # a run on a noisy data set keeps its noise.json too
        return publish_run(folder, args, api)
    if (folder / "noise.json").is_file():
        _refuse_of_a_run(args, "a data set")
        return upload_dataset(folder, args.repo_id, api, args.revision, args.private)
    if (folder / "app.py").is_file() and (folder / "README.md").is_file():
        _refuse_of_a_run(args, "a Space")
        found = {path.relative_to(folder).as_posix(): path for each in _FILES_OF_A_SPACE for path in folder.glob(each)}
        return _push(folder, found, args, api or HfApi(), "space", (), "Upload the Space")
    raise InputError(f"{folder} holds no run (metrics.json), noisy data set (noise.json) or Space (app.py).")


def publish_run(folder: str | Path, args: PublishArguments, api: HfApi | None = None) -> str:
    """Publishes a run in one commit: all of it is there, or nothing.

    Raises:
        InputError: see `publish`; or the control that is named is none.
    """
    folder = Path(folder)
    metrics = read_metrics(folder)
    control = find_control(folder, metrics, args.control)
    with tempfile.TemporaryDirectory(prefix="hf_noisy_itm_") as temporary:
        staged = Path(temporary)
        model_class, is_clip = stage_model(folder, staged, args.with_training_state)
        clip_alone = metrics.get("embeds_by_clip_alone", is_clip)
        told = for_others(metrics)
        dataset_id = args.dataset_id or (metrics.get("on_hub") or {}).get("dataset")
        write_json(staged / "metrics.json", told)
        if dataset_id is not None:
            (staged / EVAL_RESULTS).parent.mkdir()
            (staged / EVAL_RESULTS).write_text(eval_results(told, dataset_id), encoding="utf-8")
        more = {"repo": args.repo_id, "license": args.license, "dataset_id": dataset_id}
        more |= {"control": None if control is None else for_others(control)}
        write_model_card(staged, told, model_class, version("hf-noisy-itm"), clip_alone, **more)
        files = {path.relative_to(staged).as_posix(): path for path in staged.rglob("*") if path.is_file()}
        return _push(folder, files, args, api or HfApi(), "model", ONLY_OURS, f"Upload {told['method']} model")


def reach(args: PublishArguments, api: HfApi | None = None) -> str:
    """Makes the repository before a long training, so that a wrong name or token is known of at once.

    Returns:
        Its whole name.

    Raises:
        InputError: the Hub refuses.
    """
    try:
        return _make_repository(args, api or HfApi(), "model")
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"Nothing was trained, for the model could not be published as {args.repo_id!r}: {reason_of(error)}; "
            f"mend that, or leave --push_to_hub out and publish later with recipes/publish.py."
        ) from None


def upload_dataset(
    folder: str | Path, repo: str, api: HfApi | None = None, revision: str | None = None, private: bool = False
) -> str:
    """Uploads a folder as a data set; a new repository is private, for its pictures may not be anyone's to publish.

    Shards that the repository has from before and the folder has not are deleted: `datasets` would read them along.

    Raises:
        InputError: the Hub refuses; or `private` is asked, and the repository is there and public.
    """
    api = api or HfApi()
    again = f"python recipes/publish.py {shlex.quote(str(folder))} --repo_id {shlex.quote(repo)}"
    again += (" --private true" if private else "") + (f" --revision {shlex.quote(revision)}" if revision else "")
    try:
        repo = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True).repo_id
        if private:
            _refuse_public(api, repo, "dataset")
        more = {}
        if revision is not None:
            api.create_branch(repo, branch=revision, repo_type="dataset", exist_ok=True)
            more = {"revision": revision}
        deleted = list(_SHARDS_OF_A_DATASET)
        api.upload_folder(repo_id=repo, folder_path=str(folder), repo_type="dataset", delete_patterns=deleted, **more)
    except InputError:
        raise
    except Exception as error:  # see `_push`
        raise _refusal(folder, repo, error, again) from None
    return f"datasets/{repo}"


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


def _push(
    folder: Path,
    files: dict[str, Path],
    args: PublishArguments,
    api: HfApi,
    kind: str,
    only_ours: tuple[str, ...],
    message: str,
) -> str:
    try:
        _make_repository(args, api, kind)
        where = {"repo_id": args.repo_id, "repo_type": kind, "revision": args.revision}
        operations = [CommitOperationAdd(name, path) for name, path in sorted(files.items())]
        for name in api.list_repo_files(**where):
            if name not in files and any(_fits(name, pattern) for pattern in only_ours):
                operations.append(CommitOperationDelete(name))
        api.create_commit(operations=operations, commit_message=message, **where)
    except InputError:
        raise
    except Exception as error:  # the clients of HTTP and of Xet raise kinds that have nothing in common
        raise _refusal(folder, args.repo_id, error, args.command(folder)) from None
    return args.repo_id if kind == "model" else f"{kind}s/{args.repo_id}"


def _make_repository(args: PublishArguments, api: HfApi, kind: str) -> str:
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    url = api.create_repo(args.repo_id, repo_type=kind, private=args.private or None, exist_ok=True, **sdk)
    if args.private:
        _refuse_public(api, url.repo_id, kind)
    if args.revision is not None:
        api.create_branch(url.repo_id, branch=args.revision, repo_type=kind, exist_ok=True)
    return url.repo_id


def _refuse_public(api: HfApi, repo: str, kind: str) -> None:
    if not api.repo_info(repo, repo_type=kind).private:
        raise InputError(f"{repo} is there already and public, and --private was asked: name another one.")


def _refusal(folder: str | Path, repo: str, error: Exception, again: str) -> InputError:
    return InputError(
        f"{folder} is whole but could not be uploaded to {repo!r}: {reason_of(error)}; to try again: {again}"
    )


def _fits(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)


def _refuse_of_a_run(args: PublishArguments, what: str) -> None:
    for name in ("with_training_state", "control", "dataset_id", "license"):
        if getattr(args, name) != PublishArguments.__dataclass_fields__[name].default:
            raise InputError(f"--{name} is of a run, and the folder holds {what}: leave it out.")
