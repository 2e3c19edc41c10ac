"""The pedigree of noise: what was done to a data set on purpose, and what a file `noise.json` says of it.

A pedigree is a dictionary ready for JSON: `kind`, `nominal`, `realised` (share of captions that the draw made wrong),
`seed` (None for published draws), `family` (name of a published draw, or None), `captions` (how many were drawn over)
and `sha256` (`Noise.sha256`; of a published .npy file, that of its entries, of a text file, its own). Noise on labels
has `labels` (how many) and `classes` in place of `captions`. Further entries belong to a kind: `keep_none`, `k`,
`near_by`, `mean_cosine` (of captions that "semantic" put in with those that they replaced), `file`, `ambiguous`
(captions whose text several rows have, which a text file does not tell apart). `before` is the pedigree of what the
draw found.

Folders that recipes/make_noise.py makes hold it, also where they were published, and so do checkpoints.
"""

import re
from pathlib import Path

import datasets
from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from transformers.utils import logging

from ..errors import InputError, last_line
from ..files import read_json, write_json
from ..functional.noise import Noise
from ._arguments import DataArguments

logger = logging.get_logger(__name__)

NOISE_FILE, CARD = "noise.json", "README.md"
_REPO = re.compile(r"[\w.-]+/[\w.-]+")  # user/name
_RATIO = re.compile(r"(0?\.\d+|0|1(?:\.0+)?)_(?:noise|mbank)_")  # NPC's {ratio}_noise_train_caps.txt, {ratio}_mbank_…
PAIRS, PICTURES = "pairs", "pictures"  # configs of a folder that recipes/make_noise.py makes

_KINDS = {
    "kind": str, "family": str, "sha256": str, "seed": int, "nominal": int | float, "realised": int | float,
    "by_modality": dict,
}  # fmt: skip

_WHY = {  # so few rows are wrong
    "partial": "it replaces English words (colours, numbers, people, animals …), and few captions have one",
    "truncated": "few captions have two words with white space between them",
    "shuffle": "few captions were picked, or most of them belong to one picture",
    "shuffle_images": "few pictures were picked that have equally many captions",
}


def pedigree_of(noise: Noise, kind: str, seed: int | None, **more) -> dict:
    """The pedigree of a draw; `more` is what its kind adds."""
    return {
        "kind": kind,
        "nominal": noise.nominal,
        "realised": noise.realised,
        "seed": seed,
        "family": None,
        "captions": len(noise.source),
        "sha256": noise.sha256,
        **more,
    }


def stated_rate(path: str | Path) -> float | None:
    """The rate of noise that a file of NPC's has in its name, if it has one."""
    stated = _RATIO.match(Path(path).name)
    return float(stated[1]) if stated else None


def shortfall(pedigree: dict) -> str | None:
    """A sentence about a draw that made less than half of what was asked for wrong, else None.

    Labels of K classes count as asked for by what a uniform draw leaves wrong, rate * (K - 1) / K.
    """
    asked, realised = pedigree["nominal"] or 0.0, pedigree["realised"]
    least = asked / 2 * (1 - 1 / pedigree["classes"] if pedigree.get("classes") else 1)
    if realised >= least and (realised or not asked):
        return None
    what = "labels" if "labels" in pedigree else "captions"
    why = _WHY.get(pedigree["kind"], "what was picked stayed as it was, for the most part")
    return f"Noise of the kind {pedigree['kind']} at rate {asked} made {realised:.2%} of the {what} wrong: {why}."


def read_noise_file(folder: str | Path) -> dict | None:
    """The content of a folder's `noise.json`; None if there is none.

    Raises:
        InputError: it is no JSON with a pedigree.
    """
    path = Path(folder) / NOISE_FILE
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        _refuse_strange(content["pedigree"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no pedigree ({type(error).__name__}: {error}); make the folder anew."
        ) from error
    return content


def _refuse_strange(pedigree: object) -> None:
    """Refuses values of other kinds than a draw leaves: they would stand on cards, and in figures."""
    if pedigree is None:
        return
    if not isinstance(pedigree, dict):
        raise TypeError("a pedigree is an object")
    for name, kind in _KINDS.items():
        value = pedigree.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise TypeError(f"its {name} is {str(value)[:40]!r}")
    if not all(isinstance(part, int | float) for part in (pedigree.get("by_modality") or {}).values()):
        raise TypeError("its by_modality holds other things than shares")
    _refuse_strange(pedigree.get("before"))


def is_noisy_folder(args: DataArguments) -> bool:
    """Whether the data are a folder that recipes/make_noise.py made, and its training rows are asked for."""
    folder = Path(args.dataset)
    return folder.is_dir() and (folder / NOISE_FILE).is_file() and _is_first(args.dataset_config, folder)


def _is_first(config: str | None, folder: Path) -> bool:
    """Whether a config is the one of the training rows, which stands first, in a folder of one noisy data set."""
    configs = (read_noise_file(folder) or {}).get("configs")
    return config is None or config == next(iter(configs if isinstance(configs, dict) else ()), PAIRS)


def pedigree_of_source(args: DataArguments, labels: bool = False) -> dict | None:
    """The pedigree that the data set itself has, if it is such a folder, here or on the Hub.

    Args:
        args: names the data set.
        labels: noise on labels counts; without, what `before` it was done to the captions is all that is told.

    Raises:
        InputError: the folder's file holds none, or the Hub does not answer.
    """
    if is_noisy_folder(args):
        pedigree = read_noise_file(args.dataset)["pedigree"]
    else:
        pedigree = (
            _pedigree_on_hub(args) if _REPO.fullmatch(args.dataset) and not Path(args.dataset).exists() else None
        )
    while pedigree is not None and "labels" in pedigree and not labels:
        pedigree = pedigree.get("before")
    return pedigree


def _pedigree_on_hub(args: DataArguments) -> dict | None:
    """Of several noises in one repository each has a folder, of its configuration's name; other repositories none."""
    config = args.dataset_config
    places = [NOISE_FILE] if config is None else [f"{config}/{NOISE_FILE}", NOISE_FILE]
    for place in places:
        if (file := _on_hub(args.dataset, place)) is None:
            continue
        try:
            if place != NOISE_FILE or _is_first(config, file.parent):
                return read_noise_file(file.parent)["pedigree"]
        except InputError:  # a file of that name may be anything
            logger.warning(f"{place} of {args.dataset} holds no pedigree of noise, and none is told of.")
    return None


def _on_hub(repo: str, name: str) -> Path | None:
    """A file of a data set on the Hub; None if it has none, or, with a warning, if nobody can be asked."""
    try:
        return Path(hf_hub_download(repo, name, repo_type="dataset"))
    except LocalEntryNotFoundError:  # no network, and not kept from a time when there was one
        if try_to_load_from_cache(repo, name, repo_type="dataset") is not _CACHED_NO_EXIST:
            logger.warning(
                f"The Hub cannot be asked whether {repo} has a {name}, the pedigree of its noise: none is told of. "
                f"Where there is one, get it beforehand: hf download {repo} {name} --repo-type dataset."
            )
        return None
    except EntryNotFoundError:
        return None
    except (OSError, HfHubHTTPError) as error:
        raise InputError(
            f"The Hub does not say whether {repo} has a {name}, the pedigree of its noise: {last_line(error)}."
        ) from error


def load_noisy_folder(folder: Path, streaming: bool = False) -> dict:
    """The splits of such a folder: the noisy training rows as "train", and the clean ones to evaluate on."""
    splits = {}
    if (folder / PICTURES).is_dir():
        splits |= datasets.load_dataset(str(folder), PICTURES, streaming=streaming)
    return splits | datasets.load_dataset(str(folder), streaming=streaming)  # the default config, pairs or labels


def write_checkpoint_pedigree(folder: Path, pairs) -> None:
    """Writes which data a checkpoint was trained on: pedigree and fingerprint (a stream has none)."""
    write_json(folder / NOISE_FILE, _identity(pairs))


def check_checkpoint_pedigree(folder: Path, pairs) -> None:
    """Refuses to go on with other data; checkpoints without the file are taken.

    Raises:
        InputError: a checkpoint's pairs, or their noise, are others than these.
    """
    stored, own = read_noise_file(folder), _identity(pairs)
    if stored is None:
        return
    for name, what in (("pedigree", "noise"), ("fingerprint", "training pairs")):
        if stored.get(name) != own[name]:
            raise InputError(
                f"The checkpoint {folder} was trained with other {what} ({_told(stored.get(name))}) than are given "
                f"now ({_told(own[name])}): resume with the same data, or start anew from its weights with --model."
            )


def _identity(pairs) -> dict:
    return {"pedigree": pairs.pedigree, "fingerprint": getattr(pairs, "fingerprint", None)}


def _told(value: dict | str | None) -> str:
    if not isinstance(value, dict):
        return "none" if value is None else f"fingerprint {value}"
    return f"{value.get('kind')}, rate {value.get('nominal')}, seed {value.get('seed')}"
