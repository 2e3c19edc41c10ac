"""Several noisy data sets in one repository, each a configuration in a folder of its own, and one card over them."""

import json
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import DatasetCard

from ..errors import InputError
from .cards import dataset_card, named_configs, overview_card
from .data_folder import CARD, NOISE, wrong_in_noise
from .tokens import for_others, mask_tokens

Files = dict[str, Path | bytes]


def named(content: dict, files: dict[str, Path], repo: str, name: str | None, revision: str | None = None) -> Files:
    """The files of a folder by their places in a repository, and a card made anew: of where they are now, for others.

    Args:
        content: of its `noise.json`.
        files: by their places in the folder, see `stage_dataset`.
        repo: user/name.
        name: of the configuration; None if the data set has the repository for itself.
        revision: the branch that it is published on, or None.
    """
    told = for_others(content)
    card = mask_tokens(dataset_card(told, repo, name, revision))
    if name is not None:
        card = DatasetCard(card).text.lstrip()  # front matter is for the card over all
    new = {**files, NOISE: json.dumps(told, indent=2, ensure_ascii=False).encode(), CARD: card.encode()}
    return new if name is None else {f"{name}/{each}": content for each, content in new.items()}


def beside(
    content: dict, repo: str, name: str | None, revision: str | None = None
) -> Callable[[list[str], Callable[[str], str]], Files]:
    """What makes the files that depend on what a repository holds: the card over all configurations.

    Args:
        content: of the `noise.json` that is published.
        repo: user/name.
        name: of its configuration, or None.
        revision: see `named`.

    Returns:
        A function of the names of the files that are there, and of another one that reads such a file.
    """

    def make(there: list[str], read: Callable[[str], str]) -> Files:
        others = sorted(each.removesuffix(f"/{NOISE}") for each in there if each.count("/") == 1 and NOISE in each)
        if name is None and others:
            raise InputError(
                f"{repo} holds the configurations {', '.join(others)}: give this one a name too, with --config_name."
            )
        if name is None:
            return {}
        if NOISE in there:
            raise InputError(
                f"{repo} holds one data set without a name, which --config_name would hide: take another --repo_id."
            )
        contents = {other: _known(read(f"{other}/{NOISE}"), repo, other) for other in others if other != name}
        taken = {each: other for other, one in contents.items() for each in named_configs(one, other)}
        if clash := sorted(taken.keys() & set(named_configs(content, name))):
            raise InputError(
                f"{clash[0]} is in {repo} already, of the configuration {taken[clash[0]]}: give another --config_name."
            )
        return {CARD: overview_card(repo, {**contents, name: content}, revision).encode()}

    return make


def _known(text: str, repo: str, name: str) -> dict:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if wrong := wrong_in_noise(content):
        raise InputError(f"{name}/{NOISE} in {repo} is damaged, {wrong}: publish that configuration anew first.")
    return content
