"""Which checkpoint a training goes on from: one that is whole, so that the run is the one that was stopped."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from transformers.utils import logging

from .checkpoint import LIST_FILE, of_this_training
from .errors import InputError
from .files import read_json
from .untrusted import declared

logger = logging.get_logger(__name__)

STATE_FILE = "trainer_state.json"  # the trainer writes it when all other files of a checkpoint are there
_MOST_TOLD = 9  # files of a list that are missing: a list may say anything
_PARTS = (  # of each line one: names that the trainer, peft, FSDP and DeepSpeed give
    (
        "model.safetensors",
        "model.safetensors.index.json",
        "adapter_model.safetensors",
        "pytorch_model_fsdp*",
        "global_step*",
    ),
    ("optimizer.pt", "optimizer.bin", "optimizer_*", "global_step*"),
    ("scheduler.pt", "global_step*"),
    ("rng_state.pth", "rng_state_*.pth"),
    (LIST_FILE,),
    (STATE_FILE,),
)


def missing_parts(folder: str | Path) -> list[str]:
    """What a checkpoint lacks, by the names of a training in one process; nothing if it is whole.

    Of files that are there their structure is looked at, which tells where one was cut short; not all bytes.

    Raises:
        PermissionError: a file may not be read, which says nothing of whether it is whole.
    """
    folder = Path(folder)
    missing = [names[0] for names in _PARTS if not any(any(folder.glob(name)) for name in names)]
    if STATE_FILE in missing:  # it was never finished
        return missing
    broken = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if _is_cut_short(file)]
    missing += [f"a whole {name}" for name in broken]
    if LIST_FILE not in [*missing, *broken]:
        listed = _listed(read_json(folder / LIST_FILE))
        missing += islice((name for name in listed if not (folder / name).is_file()), _MOST_TOLD)
    if (folder / "model.safetensors").is_file() and not (folder / "config.json").is_file():
        missing.append("config.json")  # without it nobody knows which method this was
    return missing


def _listed(told: Any) -> Iterator[str]:
    """The files that a checkpoint's list, and its number of processes, speak of."""
    told = told if isinstance(told, dict) else {}
    files, number = told.get("files"), told.get("num_processes")
    yield from (name for name in files if isinstance(name, str)) if isinstance(files, list) else ()
    yield from (f"rng_state_{rank}.pth" for rank in range(number)) if isinstance(number, int) and number > 1 else ()


def _is_cut_short(file: Path) -> bool:
    if file.is_file():
        file.open("rb").close()  # that it may not be read is another matter
    try:
        if file.suffix == ".safetensors":
            declared(file)
        elif file.suffix == ".json":
            read_json(file)
        elif file.suffix in (".pt", ".pth"):  # archives, whose list of contents is at the end
            return not zipfile.is_zipfile(file)
    except (InputError, OSError, ValueError):
        return True
    return False


def to_resume(asked: str | Path | bool | None, output_dir: str | Path, tells: bool = True) -> str | None:
    """The checkpoint to go on from.

    Args:
        asked: its folder; or True, or "true", for the last one in `output_dir` that is whole; or "auto" for that, if
            there is one, so that one command begins a run and goes on with it; or None, False, "false".
        output_dir: of the training.
        tells: name those that are passed over, since they are not whole, in a warning.

    Returns:
        Its folder; None where none is asked for, or "auto" finds none.

    Raises:
        InputError: it is not whole, or there is none.
    """
    word = str(asked or "false")
    if word.lower() == "false":
        return None
    if word.lower() not in ("true", "auto"):
        if missing := missing_parts(word):
            raise InputError(f"There is no checkpoint {word} to resume from: it {_lacks(missing, word)}.")
        return word
    checkpoints = _checkpoints(Path(output_dir))
    if not checkpoints:
        if word.lower() == "auto":
            return None
        raise InputError(f"There is no checkpoint in {output_dir} to resume from; leave resume_from_checkpoint out.")
    for place, folder in enumerate(checkpoints):
        if not missing_parts(folder):
            for broken in checkpoints[:place] if tells else ():
                logger.warning(
                    f"The checkpoint {broken} is not whole, it lacks {_and(missing_parts(broken))}: resuming from "
                    f"{folder}."
                )
            return str(folder)
    newest = checkpoints[0]
    if word.lower() == "auto":
        if tells:
            lacks = _and(missing_parts(newest))
            logger.warning(f"No checkpoint in {output_dir} is whole, {newest.name} lacks {lacks}: starting anew.")
        return None
    raise InputError(
        f"There is no checkpoint in {output_dir} to resume from: the last one, {newest.name}, "
        f"{_lacks(missing_parts(newest), newest)}."
    )


def refuse_strange_state(checkpoint: str | Path) -> None:
    """Refuses a checkpoint whose `trainer_state.json` does not say how many steps it had taken.

    Raises:
        InputError: it does not.
    """
    path = Path(checkpoint) / STATE_FILE
    with of_this_training(path):
        steps = read_json(path)["global_step"]
        if type(steps) is not int or steps < 1:
            raise ValueError(f"global_step is {steps!r}")


def refuse_other_method(checkpoint: str | Path, method: Mapping[str, Any]) -> None:
    """Refuses to go on with another method, or other fields of it, than a checkpoint was trained with.

    Args:
        checkpoint: its folder; nothing is compared if it has no config.
        method: see `NoisyITMConfig.method`.

    Raises:
        InputError: a field differs; it is named.
    """
    file = Path(checkpoint) / "config.json"
    if not file.is_file():
        return
    try:
        stored = read_json(file)
        if not isinstance(stored, dict):
            raise ValueError(f"it holds {type(stored).__name__}")
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not the config of a model ({error}): copy it back, or start anew.") from error
    for name, now in method.items():
        if name in stored and stored[name] != now:
            raise InputError(
                f"The checkpoint {checkpoint} was trained with {name}={stored[name]!r}, and now it is {now!r}: "
                f"give the same, or start anew from its weights with --model {checkpoint}."
            )


def refuse_other_number(checkpoint: str | Path, num_processes: int) -> None:
    """Refuses to go on in another number of processes, which would see other batches and other random numbers.

    Args:
        checkpoint: its folder; each process left its random state there.
        num_processes: of now.

    Raises:
        InputError: it was made by more, or by fewer.
    """
    made_by = len(list(Path(checkpoint).glob("rng_state_*.pth"))) or 1
    if made_by != num_processes:
        raise InputError(
            f"The checkpoint {checkpoint} was made by {made_by} process{'es' if made_by > 1 else ''}, and now there "
            f"are {num_processes}: start as many, or, where it holds no adapters, start anew from its weights with "
            f"--model {checkpoint}."
        )


def _checkpoints(folder: Path) -> list[Path]:
    """The last one first."""
    names = re.compile(r"checkpoint-(\d+)")
    found = [path for path in folder.glob("checkpoint-*") if names.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(names.fullmatch(path.name)[1]), reverse=True)


def _lacks(missing: list[str], folder: str | Path) -> str:
    told = f"lacks {_and(missing)}"
    if _PARTS[0][0] in missing:
        return told
    return (
        f"{told}, without which the run would go on as another one; start anew from its weights with --model {folder}"
    )


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
