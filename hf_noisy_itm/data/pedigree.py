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
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
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
        if not isinstance(content["pedigree"], dict | None):
            raise TypeError("a pedigree is an object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no pedigree ({type(error).__name__}: {error}); make the folder anew."
        ) from error
    return content


def is_noisy_folder(args: DataArguments) -> bool:
    """Whether the data are a folder that recipes/make_noise.py made, and its training rows are asked for."""
    folder = Path(args.dataset)
    return args.dataset_config in (None, PAIRS) and folder.is_dir() and (folder / NOISE_FILE).is_file()


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
    own = args.dataset_config in (None, PAIRS)
    name = NOISE_FILE if own else f"{args.dataset_config}/{NOISE_FILE}"
    try:
        file = hf_hub_download(args.dataset, name, repo_type="dataset")
    except EntryNotFoundError:
        return None
    except (OSError, HfHubHTTPError) as error:
        raise InputError(
            f"The Hub does not say whether {args.dataset} has a {name}, the pedigree of its noise: {last_line(error)}."
        ) from error
    try:
        return read_noise_file(Path(file).parent)["pedigree"]
    except InputError:  # a file of that name may be anything
        logger.warning(f"{name} of {args.dataset} holds no pedigree of noise, and none is told of.")
        return None


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
