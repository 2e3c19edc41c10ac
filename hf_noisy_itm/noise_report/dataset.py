"""A training set made better by what was found: without the pairs that are likely wrong, or with a weight for each."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
from huggingface_hub import DatasetCardData
from transformers.utils import logging

from ..data import DataArguments, Pairs
from ..data.other_columns import OtherColumns
from ..data.pedigree import CARD, NOISE_FILE, PAIRS, PICTURES, read_noise_file
from ..data.shards import id_type_of, pair_features, pair_rows, picture_features, picture_rows, write_shards
from ..errors import InputError
from ..files import atomic_folder, sha256_of_file, write_json
from ..hub import content_hash, escape
from .findings import Findings

logger = logging.get_logger(__name__)
_OURS = "noise_report"  # in noise.json; a folder without it is never replaced
_SHARD_BYTES = 500 * 2**20


def check_output(folder: str | Path, overwrite: bool) -> None:
    """Refuses before the work what would be refused after it.

    Raises:
        InputError: something is there, and it is not ours or not to be replaced.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder.is_dir() and _OURS in (read_noise_file(folder) or {})):
        raise InputError(f"There is something else at {folder} already, which is not replaced: name another folder.")
    if not overwrite:
        raise InputError(f"{folder} is there already: name another folder, or give --overwrite true.")


def other_columns(data: DataArguments, pairs: Pairs, folder: str | Path, weighted: bool) -> OtherColumns:
    """The columns of the data that go along; warnings name those that do not, and those that change their type.

    Args:
        data: what the pairs were loaded with.
        pairs: to train on.
        folder: that is made, for the warnings.
        weighted: whether it is the weighted data; what names are taken differs.
    """
    found = OtherColumns(data, pairs, ["weight"] if weighted or pairs.weight is not None else [])
    if found.clashes:
        logger.warning(
            f"Left out of {folder}, for columns of these names are made here: {', '.join(found.clashes)}; rename them "
            f"to keep them."
        )
    if found.taken_apart:
        logger.warning(
            f"Taken apart in {folder}, for they have an entry for each caption in every row: "
            f"{', '.join(found.taken_apart)}."
        )
    return found


def write_data(
    folder: str | Path,
    findings: Findings,
    pairs: Pairs,
    held_out: Pairs,
    figures: dict,
    weighted: bool,
    others: OtherColumns | None = None,
) -> int:
    """Writes a folder that `recipes/train.py --dataset FOLDER` and `datasets.load_dataset(FOLDER)` read.

    Training rows are as those of recipes/make_noise.py, in `data/`; the pictures to evaluate on go along as they are,
    in `pictures/`. `is_noisy` and `noise_source` are empty in rows of which nobody knows.

    Args:
        folder: to make; one of its kind is replaced.
        findings: of the training pairs.
        pairs: to train on.
        held_out: to evaluate on.
        figures: content of `report.json`, which goes along.
        weighted: keep all pairs, and add the column `weight`, the probability of being right; else leave out what is
            more likely wrong than right. Weights that the data give (`--weight_column`) stay, and are multiplied by
            that probability.
        others: the other columns of the training rows, which go along; none if left out.

    Returns:
        How many training pairs it has.

    Raises:
        InputError: none would be left, a picture cannot be read, or the folder cannot be written.
    """
    kept = np.arange(len(pairs)) if weighted else np.flatnonzero(~findings.flagged)
    if not len(kept):
        raise InputError("Every pair is more likely wrong than right, so nothing would be left of the data.")
    training = pairs if weighted else pairs.keep_captions(kept)
    id_types = (
        id_type_of(pairs.noise_source, pairs.name, held_out.name),
        id_type_of(pairs.caption_name, held_out.caption_name),
    )
    features, rows = pair_features(*id_types), pair_rows(training, *id_types)
    if weighted or pairs.weight is not None:
        weight = (1 - findings.probability if weighted else 1.0) * (1.0 if pairs.weight is None else pairs.weight)
        features = datasets.Features({**features, "weight": datasets.Value("float32")})
        rows = _with_weights(rows, weight[kept])
    if others is not None:
        features = datasets.Features({**features, **others.features})
        rows = ({**row, **more} for row, more in zip(rows, others.rows(kept)))
    try:
        with atomic_folder(folder, replace=True) as temporary:
            files = write_shards(temporary / "data", "train", features, rows, _SHARD_BYTES)
            if len(held_out):
                pictures, features = picture_rows(held_out, *id_types), picture_features(*id_types)
                files += write_shards(temporary / PICTURES, "test", features, pictures, _SHARD_BYTES)
            hashes = {path.relative_to(temporary).as_posix(): sha256_of_file(path) for path in files}
            write_json(temporary / NOISE_FILE, {"pedigree": pairs.pedigree, "files": hashes, _OURS: figures})
            (temporary / CARD).write_text(_card(figures, hashes, weighted), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error}; name another folder.") from error
    return len(kept)


def _with_weights(rows: Iterator[dict], weights: np.ndarray) -> Iterator[dict]:
    return ({**row, "weight": weight} for row, weight in zip(rows, weights.tolist()))


def _card(figures: dict, hashes: dict[str, str], weighted: bool) -> str:
    """A card whose front matter tells `datasets` which files belong together."""
    patterns = {PAIRS: ("train", "data/train-*.parquet"), PICTURES: ("test", f"{PICTURES}/test-*.parquet")}
    configs = []
    for name, (split, path) in patterns.items():
        data_files = [{"split": split, "path": path}]
        if any(file.startswith(path.split("/")[0]) for file in hashes):
            content = f"Content {content_hash(hashes, data_files)}"
            configs.append({"config_name": name, "data_files": data_files, "description": content})
    configs[0]["default"] = True
    dataset, rate = escape(str(figures["data"]["dataset"])), figures["estimate"]["rate"]
    done = "`weight` is the probability that a pair is right" if weighted else "Pairs more likely wrong are left out"
    data = DatasetCardData(license="other", license_name="unknown", tags=["hf_noisy_itm"], configs=configs)
    return (
        f"---\n{data}\n---\n\n# {dataset}, {'weighted' if weighted else 'cleaned'}\n\nBy a noise report of "
        f"`hf_noisy_itm`: about {rate:.1%} of {figures['pairs']['captions']:,} captions were estimated to be wrong. "
        f"{done}. {NOISE_FILE} holds the report's figures.\n\nThe licence is that of the source, which nobody has "
        f"stated here.\n"
    )
