"""The formats that are fuzzed: whole files of each, and the reader of the package that opens them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
from _fuzz_mutate import json_of
from _fuzz_wholes import (
    EDGES,
    KARPATHY,
    POSITIVES,
    RECIPES,
    WORDS,
    archives,
    mat,
    npy_dictionaries,
    npy_indices,
    npz,
    picture,
    pictures,
    result,
    tables,
    tensors,
    texts,
)
from transformers import CLIPImageProcessorPil

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.checkpoint import LIST_FILE, load_memory
from hf_noisy_itm.comparison import compare
from hf_noisy_itm.concepts.knowledge import read_knowledge
from hf_noisy_itm.concepts.make import _read_words
from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.data._layouts import read_karpathy, read_scan_split
from hf_noisy_itm.data._mat import read_mat
from hf_noisy_itm.data._npy import read_int_array
from hf_noisy_itm.data._npy_dict import read_npy_dict
from hf_noisy_itm.data._pixels import Pixels
from hf_noisy_itm.data.caption_lines import load_caption_lines
from hf_noisy_itm.data.draws import load_draw
from hf_noisy_itm.data.emoji import _read as read_emoji
from hf_noisy_itm.data.features import FeatureProcessor
from hf_noisy_itm.data.pedigree import read_noise_file
from hf_noisy_itm.data.positives import read_positives
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.memory.bank import MemoryBank
from hf_noisy_itm.memory.concepts import Concepts
from hf_noisy_itm.memory.pair_memory import PairMemory
from hf_noisy_itm.memory.trust import TrustScores
from hf_noisy_itm.metrics.itm_recall.app import _arrays
from hf_noisy_itm.openai_file import read_openai
from hf_noisy_itm.resuming import missing_parts, refuse_strange_state
from hf_noisy_itm.suites import read_suite
from hf_noisy_itm.suites.running import read_run
from hf_noisy_itm.untrusted import files_of_index


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Args:
        name: of the file that is read, in a folder of its own.
        wholes: contents of whole files.
        read: the reader, given the file's path; what it refuses it refuses by `refuses`.
        sums: how sums and lengths are made right again in every second file, see `_fuzz_mutate.repaired`.
        refuses: the kind of error; InputError but for the Space, whose page tells of a ValueError.
    """

    name: str
    wholes: list[bytes]
    read: Callable[[Path], object]
    sums: str = ""
    refuses: type[Exception] = InputError


def formats(folder: Path) -> dict[str, Format]:
    """All of them by name; `folder` is where what goes with the files is put."""
    pairs = _pairs(folder)
    png = picture("PNG")
    stored = tensors()
    known = {
        "npy, indices": Format("x.npy", npy_indices(), read_int_array),
        "npy, published draw": Format("x.npy", npy_indices(), partial(load_draw, captions_per_image=2)),
        "npy, dictionary": Format("x.npy", npy_dictionaries(), read_npy_dict),
        "npz": Format("x.npz", npz(), lambda path: _arrays(str(path), ""), refuses=ValueError),
        "mat": Format("x.mat", mat(), partial(read_mat, names=["I_tr", "T_tr"])),
        "safetensors, bank": Format("x.safetensors", [stored["bank"]], MemoryBank.read, "safetensors"),
        "safetensors, scores": Format(
            "x.safetensors", [stored["scores"]], partial(TrustScores.load, fingerprint="of these"), "safetensors"
        ),
        "safetensors, concepts": Format("x.safetensors", [stored["concepts"]], Concepts.read, "safetensors"),
        "safetensors, processor": Format(
            "feature_processor.safetensors",
            [stored["processor"]],
            lambda path: FeatureProcessor.from_pretrained(path.parent),
            "safetensors",
        ),
        "safetensors, weights": Format("x.safetensors", [stored["weights"]], read_openai, "safetensors"),
        "safetensors, ledger": Format("pair_weights.safetensors", [stored["ledger"]], _read_ledger, "safetensors"),
        "safetensors, Space": Format(
            "x.safetensors", [stored["space"]], lambda path: _arrays(str(path), ""), "safetensors", ValueError
        ),
        "pt, weights": Format("x.pt", archives(), read_openai),
        "JSON, right answers": Format("x.json", [json_of(POSITIVES)], partial(read_positives, pairs=pairs)),
        "JSON, Karpathy": Format("x.json", [json_of(KARPATHY)], _read_karpathy),
        "JSON, emoji": Format("x.json", [json_of([{"unified": "1F600", "added_in": "1.0"}] * 3)], read_emoji),
        "JSON, noise.json": Format(
            "noise.json",
            [json_of({"pedigree": {"kind": "shuffle", "nominal": 0.4}, "fingerprint": "x"})],
            lambda path: read_noise_file(path.parent),
        ),
        "JSON, run of a suite": Format("x.json", [result("suites/quick")], read_run),
        "JSON, metrics of a run": Format("metrics.json", [result("npc/scenes40")], lambda path: compare([path])),
        "JSON, list of a checkpoint": Format(
            LIST_FILE, [json_of({"files": []}), json_of({"files": ["pair_weights.safetensors"]})], _read_ledger
        ),
        "JSON, state of a checkpoint": Format(
            "trainer_state.json",
            [json_of({"epoch": 1.0, "global_step": 7, "log_history": []})],
            lambda path: (missing_parts(path.parent), refuse_strange_state(path.parent)),
        ),
        "JSON, index of weights": Format(
            "model.safetensors.index.json",
            [json_of({"metadata": {"total_size": 4}, "weight_map": {"a": "model-1.safetensors"}})],
            files_of_index,
        ),
        "JSON, text of the Space": Format(
            "x.json",
            [json_of({name: [0, 1] for name in ("image_embeds", "text_embeds", "image_id")})],
            lambda path: _arrays(None, path.read_bytes().decode("utf-8", "replace")),
            refuses=ValueError,
        ),
        "YAML, recipe": Format(
            "x.yaml",
            texts(RECIPES / "npc", "scenes_noise40.yaml", "own_pairs.yaml"),
            lambda path: parse_recipe([str(path)]),
        ),
        "YAML, suite": Format("x.yaml", texts(RECIPES / "suites", "quick.yaml", "scenes.yaml"), read_suite),
        "text, caption lines": Format(
            "x.txt",
            [b"k1\ta cat\nk2\ta dog\nk3\ta tree\nk4\ta red cat\n", b"a cat\na dog\na tree\r\na red cat"],
            partial(load_caption_lines, ids=["p", "q"], captions_per_image=2, clean=None),
        ),
        "text, split of ids and captions": Format(
            "train_caps.txt", ["a cat\na dog\na tree\na café\n".encode(), b"1\ta\n2\tb\n3\tc\n4\td\n"], _read_split
        ),
        "text, stop words": Format("x.txt", ["the a of été\nund\n".encode()], lambda path: _read_words(str(path))),
        "CSV, edges of a graph": Format("x.csv", [EDGES], partial(read_knowledge, words=WORDS)),
        "CSV, edges, packed": Format("x.csv.gz", [EDGES], partial(read_knowledge, words=WORDS), "gz"),
    }
    for suffix, wholes in tables(png).items():
        known[f"pairs, {suffix}"] = Format(f"x.{suffix}", wholes, _read_pairs)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "TGA", "PCX", "JPEG2000", "DDS", "SGI"):
        sums = "png" if kind == "PNG" else ""
        known[f"picture, {kind}"] = Format("x.img", pictures(kind), partial(_read_picture, pairs), sums)
    return known


def _pairs(folder: Path):
    rows = [
        {"image": "x.img", "caption": f"a {word}", "image_id": row, "caption_id": row}
        for row, word in enumerate(WORDS)
    ]
    (folder / "x.img").write_bytes(picture("PNG"))
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_pairs(DataArguments(str(folder / "x.jsonl"), holdout_every=3))[0]


def _read_picture(pairs, path: Path) -> None:
    Pixels(CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)).shrink(pairs.picture(0))


def _read_ledger(path: Path) -> None:
    folder = path.parent
    (folder / LIST_FILE).exists() or (folder / LIST_FILE).write_text('{"files": ["pair_weights.safetensors"]}')
    load_memory(folder, PairMemory("x", 4), lambda tensors: None)


def _read_karpathy(path: Path) -> None:
    read_karpathy(path, path.parent, "cocoid", {"train": "train", "restval": "train"})


def _read_split(path: Path) -> None:
    (path.parent / "train_ids.txt").write_text("p\nq\n")
    read_scan_split(path.parent, ["p.jpg", "q.jpg"], None)


def _read_pairs(path: Path) -> None:
    (path.parent / "p.png").write_bytes(picture("PNG"))
    cache = path.parent / "cache"
    datasets.config.HF_DATASETS_CACHE = cache
    try:
        train, _ = load_pairs(DataArguments(str(path), holdout_every=3, on_bad_row="skip"))
        train.picture(0)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
