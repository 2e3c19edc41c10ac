"""A noisy data set in a folder, made of any pairs, that tells how it was made.

The folder opens with `datasets.load_dataset(folder)`, and trains with `recipes/train.py --dataset folder`:

    data/train-*.parquet        config "pairs": image, caption, image_id, caption_id, is_noisy, noise_source
    pictures/{split}-*.parquet  config "pictures": the source's other splits, clean: image, captions, image_id,
                                caption_id; one is "test" or "validation", see `content.written_splits`
    noise.json                  pedigree, realised rates, fingerprints, source, versions
    README.md                   a card that is filled from noise.json

Where labels are noisy there is one config instead, "labels": data/{split}-*.parquet with the source's columns and
`true_label` and `label_is_noisy`.

The same arguments on the same data give the same bytes, with the same versions of the libraries. A folder that is
there already is left if it has the bytes that would be written: its shards are compared with the hashes in its list,
and these with the shards that are made in a temporary folder.
"""

import json
from importlib.metadata import version
from pathlib import Path

from ..data import DataArguments
from ..data.pedigree import NOISE_FILE, read_noise_file, shortfall
from ..data.shards import write_shards
from ..errors import InputError
from ..files import atomic_folder, sha256_of_file, write_json
from ..functional.noise import LABEL_KINDS
from ..hub import PublishArguments, damage_of, upload_dataset, write_dataset_card
from .arguments import NoisySetArguments
from .labels import LabelSource
from .sources import PairsSource
from .streamed import StreamSource
from .streamed_labels import LabelStream

_LATER = ("configs", "files", "versions")  # known when all is written
_LIBRARIES = ("datasets", "numpy", "pyarrow", "scikit-learn", "torch")


def make_noisy_set(args: NoisySetArguments, data: DataArguments) -> tuple[dict, bool]:
    """Makes the folder, which has its name only when it is whole.

    Args:
        args: which noise.
        data: the source; `where` and limits as for training, and no picture is held out.

    Returns:
        The content of `noise.json`, and whether the folder was made; it was not if it was there with the same content.

    Raises:
        InputError: the source or the draw is refused, something else is there under that name or is damaged, or it
            cannot be written.
    """
    output = Path(args.output)
    try:
        content, made = _make(output, args, data)
    except OSError as error:
        raise InputError(f"{output} cannot be made: {error}; name another --output.") from error
    if args.push_to_hub:
        upload_dataset(output, PublishArguments(args.push_to_hub, config_name=args.config_name))
    return content, made


_SOURCES = {  # by whether labels are noisy, and whether it is a stream
    (False, False): PairsSource,
    (False, True): StreamSource,
    (True, False): LabelSource,
    (True, True): LabelStream,
}


def _make(output: Path, args: NoisySetArguments, data: DataArguments) -> tuple[dict, bool]:
    old = None if args.overwrite and _is_ours(output) else _what_is_there(output)
    try:
        with atomic_folder(output, replace=args.overwrite) as folder:
            source = _SOURCES[args.kind in LABEL_KINDS, data.streaming](args, data)
            if old is not None and not data.streaming:
                _refuse_other(source.content(), old, output)  # before it is written
            shard_bytes = args.shard_mb * 2**20
            files, configs = [], {}
            for part in source.parts():
                files += write_shards(folder / part.folder, part.split, part.features, part.rows, shard_bytes)
                configs.setdefault(part.config, {})[part.split] = f"{part.folder}/{part.split}-*.parquet"
            content = source.content() | {"configs": configs}
            content["files"] = {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}
            if old is not None:
                _refuse_other(content, old, output)
                raise _SameContent
            content["versions"] = {"hf-noisy-itm": version("hf-noisy-itm")}
            content["versions"] |= {name: version(name) for name in _LIBRARIES}
            write_json(folder / NOISE_FILE, content)
            write_dataset_card(folder, content)
            return content, True
    except _SameContent:
        return old, False


def told(content: dict, output: str | Path, made: bool) -> str:
    """What was made, as lines of text."""
    lines = [
        f"  {rate['what']:60} {rate['count']:>9,}" + (f" {rate['share']:7.2%}" if rate["share"] is not None else "")
        for rate in content["rates"]
    ]
    what = f"{output} holds" if made else f"{output} was there already with the same content, and is left as it is:"
    pedigree = content["pedigree"]
    head = f"{what} {pedigree['kind']} noise, SHA-256 {pedigree['sha256']}."
    if pedigree.get("mean_cosine") is not None:
        lines.append(f"  {'mean cosine of a new caption with the one it replaced':60} {pedigree['mean_cosine']:>9.2f}")
    if (doubt := shortfall(pedigree)) is not None:
        lines.append(f"warning: {doubt}")
    return "\n".join([head, *lines])


class _SameContent(Exception):  # noqa: N818
    """What was written is there already."""


def _is_ours(output: Path) -> bool:
    return output.is_dir() and (output / NOISE_FILE).is_file()


def _what_is_there(output: Path) -> dict | None:
    """The content of the `noise.json` that is there, after a look at the files that it lists."""
    if _is_ours(output):
        content = read_noise_file(output)
        _check_files(output, content.get("files"))
        return content
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise InputError(f"There is something else at {output} already, which is not replaced: name another --output.")
    return None


def _check_files(output: Path, files: object) -> None:
    """Refuses a folder that has not the shards, all of them and no others, that its `noise.json` lists by hash."""
    if wrong := damage_of(output, files):
        raise InputError(
            f"{output} is damaged, {wrong} ({NOISE_FILE}): give --overwrite true to make it anew, or name another "
            f"--output."
        )


def _refuse_other(content: dict, old: dict, output: Path) -> None:
    """Raises an InputError if a folder holds something else than `content`; versions of libraries do not count.

    Pictures are in the hashes of `files`, which are known when all is written, and compared if `content` has them.
    """
    compared = set(content) | {name for name in old if name not in _LATER}
    stored = {name: old.get(name) for name in compared}
    if json.loads(json.dumps(content)) == stored:
        return
    pedigree = old["pedigree"] or {}
    what = f"kind {pedigree.get('kind')}, rate {pedigree.get('nominal')}, seed {pedigree.get('seed')}"
    of = f"made of {(old.get('source') or {}).get('dataset')}"
    if all(json.loads(json.dumps(content[name])) == stored[name] for name in content if name != "files"):
        of += ", with other pictures, --shard_mb or versions of libraries"
    raise InputError(
        f"{output} holds another noisy data set ({what}, {of}): name another --output, or give --overwrite true."
    )
