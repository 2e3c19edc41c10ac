"""To the Hub: a run, a noisy data set, or the metric's Space. What is local stays whole whatever the Hub answers."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import HfApi

from ..errors import InputError
from ..files import write_json
from ..parser import Parser, first_word, in_one_process
from .cards import write_model_card
from .configurations import Files, beside, named
from .data_folder import is_of_a_training, stage_dataset
from .pushing import make_repository, push, reason_of, staging
from .results import eval_results, figures_of, find_control, known_on_hub
from .run_folder import EVAL_RESULTS, ONLY_OURS, stage_model
from .run_metrics import read_metrics
from .space import PAGE, is_metric, stage_metric
from .tokens import for_others
from .weights import refuse_other_weights, weights_sha256

_SHARDS_OF_A_DATASET = ("data/*.parquet", "pictures/*.parquet")
_FOLDERS_OF_A_DATASET = ("data", "pictures")
_CONFIG = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
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
    config_name: str | None = field(
        default=None,
        metadata={"help": "Of a noisy data set: its name among several in one repository, which keeps the others."},
    )
    license: str | None = field(default=None, metadata={"help": "Of a model, as the Hub names it: mit, for one."})

    def __post_init__(self):
        if not _REPO.fullmatch(self.repo_id):
            raise InputError(f"--repo_id must be user/name on the Hub, got {self.repo_id!r}.")
        if self.dataset_id is not None and not _DATASET_ID.fullmatch(self.dataset_id):
            raise InputError(f"--dataset_id must be user/name of a data set on the Hub, got {self.dataset_id!r}.")
        if self.config_name is not None and (
            not _CONFIG.fullmatch(self.config_name) or self.config_name in _FOLDERS_OF_A_DATASET
        ):
            raise InputError(
                f"--config_name must be a name of letters, digits, dots and hyphens, not data or pictures, got "
                f"{self.config_name!r}."
            )
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise InputError(
                f"--license must be an identifier of the Hub, such as mit or other, got {self.license!r}."
            )

    @property
    def where(self) -> dict[str, str | bool | None]:
        """The repository, as the Hub's client is told of it."""
        return {"repo_id": self.repo_id, "private": self.private, "revision": self.revision}

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
    folder, rest = first_word(
        words, "Name the folder to publish first: recipes/publish.py FOLDER --repo_id user/name."
    )
    args = PublishArguments(**Parser((PublishArguments,), allow_abbrev=False).values_of(rest))
    if "/" not in args.repo_id:
        raise InputError(f"--repo_id must be user/name on the Hub, got {args.repo_id!r}.")
    return folder, args


def publish(folder: str | Path, args: PublishArguments, api: HfApi | None = None) -> str:
    """Publishes what a folder holds: the run of a training, a noisy data set, or the metric.

    Returns:
        Where it is now.

    Raises:
        InputError: the folder is none of these, or the Hub refuses; the folder is as it was, and the sentence says
            how to try again.
        Interrupted: by Ctrl-C or SIGTERM; likewise.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    if (folder / "metrics.json").is_file():  # a run on a noisy data set keeps its noise.json too
        _refuse_config_name(args, "a run")
        return publish_run(folder, args, api)
    if is_of_a_training(folder):
        raise InputError(
            f"{folder} is of a training without figures (there is no metrics.json), which recipes/train.py writes at "
            f"its end: give its command again, with --resume_from_checkpoint auto to go on."
        )
    if (folder / "noise.json").is_file():
        _refuse_of_a_run(args, "a data set")
        return upload_dataset(folder, args, api)
    if is_metric(folder):
        _refuse_of_a_run(args, "a metric")
        _refuse_config_name(args, "a metric")
        with staging(folder, args.command(folder)):
            return _push(folder, stage_metric(folder, args.repo_id), args, api, "space", (), "Upload the metric")
    raise InputError(f"{folder} holds no run (metrics.json), noisy data set (noise.json) or metric ({PAGE}).")


def publish_run(folder: str | Path, args: PublishArguments, api: HfApi | None = None) -> str:
    """Publishes a run in one commit: all of it is there, or nothing.

    Raises:
        InputError: see `publish`; or the control that is named is none.
        Interrupted: see `publish`.
    """
    folder = Path(folder)
    metrics = read_metrics(folder)
    control = find_control(folder, metrics, args.control)
    with staging(folder, args.command(folder)) as staged:
        model_class, is_clip = stage_model(folder, staged, args.with_training_state)
        refuse_other_weights(folder, metrics.get("weights_sha256"))
        clip_alone = metrics.get("embeds_by_clip_alone", is_clip)
        told = for_others(metrics) | {"weights_sha256": weights_sha256(staged)}  # whose tensors have CLIP's names
        dataset_id = args.dataset_id or known_on_hub(metrics, "dataset")
        write_json(staged / "metrics.json", told)
        if dataset_id is not None and figures_of(told):
            (staged / EVAL_RESULTS).parent.mkdir()
            (staged / EVAL_RESULTS).write_text(eval_results(told, dataset_id), encoding="utf-8")
        more = {"repo": args.repo_id, "license": args.license, "dataset_id": dataset_id, "revision": args.revision}
        more |= {"control": None if control is None else for_others(control)}
        write_model_card(staged, told, model_class, version("hf-noisy-itm"), clip_alone, **more)
        files = {path.relative_to(staged).as_posix(): path for path in staged.rglob("*") if path.is_file()}
        return _push(folder, files, args, api, "model", ONLY_OURS, f"Upload {told['method']} model")


def upload_dataset(folder: str | Path, args: PublishArguments, api: HfApi | None = None) -> str:
    """Publishes a folder of recipes/make_noise.py in one commit; a new repository is private.

    Shards that the repository has from before and the folder has not are deleted: `datasets` would read them along.

    Raises:
        InputError: see `publish`; or the folder is not what its `noise.json` lists.
        Interrupted: see `publish`.
    """
    folder = Path(folder)
    with staging(folder, args.command(folder)):
        content, files = stage_dataset(folder)
        name = args.config_name
        shards = tuple(f"{name}/{each}" if name else each for each in _SHARDS_OF_A_DATASET)
        further = beside(content, args.repo_id, name, args.revision)
        message = f"Upload the data set {name}" if name else "Upload the data set"
        there = named(content, files, args.repo_id, name, args.revision)
        return _push(folder, there, args, api, "dataset", shards, message, further)


def reach(args: PublishArguments, api: HfApi | None = None) -> str:
    """Makes the repository before a long training, so that a wrong name or token is known of at once.

    Returns:
        Its whole name.

    Raises:
        InputError: the Hub refuses.
    """
    try:
        return make_repository(api or HfApi(), "model", **args.where)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"Nothing was trained, for the model could not be published as {args.repo_id!r}: {reason_of(error)}; "
            f"mend that, or leave --push_to_hub out and publish later with recipes/publish.py."
        ) from None


def _push(
    folder: Path,
    files: Files,
    args: PublishArguments,
    api: HfApi | None,
    kind: str,
    *more,
) -> str:
    return push(folder, files, api or HfApi(), kind, args.where, args.command(folder), *more)


def _refuse_of_a_run(args: PublishArguments, what: str) -> None:
    for name in ("with_training_state", "control", "dataset_id", "license"):
        if getattr(args, name) != PublishArguments.__dataclass_fields__[name].default:
            raise InputError(f"--{name} is of a run, and the folder holds {what}: leave it out.")


def _refuse_config_name(args: PublishArguments, what: str) -> None:
    if args.config_name is not None:
        raise InputError(f"--config_name is of a noisy data set, and the folder holds {what}: leave it out.")
