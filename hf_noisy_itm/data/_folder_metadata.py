"""What the files of a data folder say of where its rows lie: `datasets` follows that anywhere, also to the network."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from ..errors import InputError
from ..files import parse_yaml, read_json

_CARD, _YAML = "README.md", datasets.config.REPOYAML_FILENAME
_LONGEST = 2**17  # characters of a card's YAML, which may list a thousand classes


def refuse_leading_out(folder: Path) -> None:
    """Refuses a folder whose card, or what `save_to_disk` wrote, names rows that lie elsewhere.

    No row is read. Links are followed: the Hub's own cache is made of them.

    Raises:
        InputError: a path leads out of the folder or is an address, or one of these files cannot be read; it is named.
    """
    for file, path in _named(folder):
        inside = os.path.normpath(path).split(os.sep)[0] != os.pardir
        if not inside or os.path.isabs(path) or "://" in path or "::" in path:
            raise InputError(
                f"{file} says that rows lie at {path!r}, outside of its folder: move them there, or name their own "
                f"folder with --dataset."
            )


def _named(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files, and the paths that they name, from the folder's root."""
    for file in (folder / _CARD, folder / _YAML):
        if file.is_file():
            yield from ((file, path) for path in _of_configs(_front_matter(file)))
    for file in sorted(folder.glob("**/state.json")):
        told = _read(file)
        rows = told.get("_data_files") if isinstance(told, dict) else None
        within = file.parent.relative_to(folder)
        for each in rows if isinstance(rows, list) else ():
            if isinstance(each, dict) and isinstance(path := each.get("filename"), str):
                yield file, os.path.join(within, path)
    if (file := folder / "dataset_dict.json").is_file():
        told = _read(file)
        splits = told.get("splits") if isinstance(told, dict) else None
        yield from ((file, name) for name in (splits if isinstance(splits, list) else ()) if isinstance(name, str))


def _front_matter(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.name == _CARD:
            block = REGEX_YAML_BLOCK.search(text)
            text = block[2] if block else ""
        return parse_yaml(text, _LONGEST)
    except (OSError, ValueError) as error:
        raise InputError(f"The YAML of {file} cannot be read: {error}.") from error


def _of_configs(card: Any) -> Iterator[str]:
    configs = card.get("configs") if isinstance(card, dict) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            yield from _strings([config.get("data_files"), config.get("data_dir")])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read: {error}.") from error
