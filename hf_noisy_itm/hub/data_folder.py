"""What of a noisy data set's folder is published: what its `noise.json` lists, as it lists it, and nothing else."""

import re
from pathlib import Path

from ..errors import InputError, last_line
from ..files import read_json, sha256_of_file
from .links import inside
from .run_metrics import beyond_text

NOISE, CARD = "noise.json", "README.md"
_NUMBER = int | float | None
_KINDS = {  # of what the card and `datasets` read
    "pedigree": dict,
    "pedigree.kind": str,
    "pedigree.sha256": str,
    "pedigree.nominal": _NUMBER,
    "pedigree.realised": _NUMBER,
    "pedigree.seed": _NUMBER,
    "on": str,
    "fingerprint": str | None,
    "rates": list,
    "evaluation": dict,
    "examples": list,
    "source": dict,
    "source.dataset": str,
    "configs": dict,
    "files": dict,
    "arguments": list,
    "license": str | None,
    "versions": dict,
}


def is_of_a_training(folder: Path) -> bool:
    """Whether a folder without figures is what a training leaves that has not ended, or was not of a recipe."""
    return any((folder / name).is_file() for name in ("config.json", "memory.json", "trainer_state.json")) or any(
        folder.glob("checkpoint-*")
    )


def stage_dataset(folder: Path) -> tuple[dict, dict[str, Path]]:
    """Looks at a folder of recipes/make_noise.py.

    Returns:
        The content of its `noise.json`, and the files that go, by their names in a repository.

    Raises:
        InputError: `noise.json` is none, or the files are not those that it lists, by hash.
    """
    path = folder / NOISE
    try:
        content = read_json(inside(folder, path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({last_line(error)}): {_AGAIN}.") from error
    if wrong := wrong_in_noise(content):
        raise InputError(f"{path} is not of a noisy data set, {wrong}: {_AGAIN}.")
    if damage := damage_of(folder, content["files"]):
        raise InputError(f"{folder} is damaged, {damage} ({NOISE}): {_AGAIN}.")
    return content, {name: inside(folder, folder / name) for name in (CARD, NOISE, *content["files"])}


def damage_of(folder: Path, files: object) -> str | None:
    """What is wrong with the shards of a folder, which should have those of a list, by SHA-256, and no others."""
    files = files if isinstance(files, dict) else {}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    changed = (name for name in sorted(there & set(files)) if sha256_of_file(folder / name) != files[name])
    return (
        next((f"{name} is not there" for name in (CARD, *sorted(files)) if not (folder / name).is_file()), None)
        or next((f"{name} is not in its list" for name in sorted(there - set(files))), None)
        or next((f"{name} has another content than is listed" for name in changed), None)
    )


_AGAIN = "make it anew with recipes/make_noise.py --overwrite true"
_SHARD = re.compile(r"[\w-]+/[\w.-]+\.parquet")


def wrong_in_noise(content: object) -> str | None:
    """What is not as it should be in the content of a `noise.json`; None if cards can be made of it."""
    if not isinstance(content, dict):
        return "it is no object"
    for name, kind in _KINDS.items():
        part, _, key = name.rpartition(".")
        of = content.get(part) if part else content
        if key not in of:
            return f"it lacks {name!r}"
        if not isinstance(of[key], kind) or isinstance(of[key], bool):
            return f"{name!r} is {str(of[key])[:40]!r}"
    if content["on"] not in ("captions", "labels") or not content["files"] or not content["configs"]:
        return "it names no captions or labels, files or configs"
    if strange := [name for name in content["files"] if not _SHARD.fullmatch(name)]:
        return f"it lists {strange[0]!r}"
    for patterns in content["configs"].values():
        if not isinstance(patterns, dict) or not all(isinstance(each, str) for each in patterns.values()):
            return "'configs' must give a pattern of files for each split"
    return beyond_text(content)
