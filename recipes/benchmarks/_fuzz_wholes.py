"""Whole files of every format, for the fuzzing to spoil."""

import io
import json
import pickle  # noqa: TID251 (writes what readers must not run)
import tarfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
import torch
from _fuzz_mutate import json_of
from PIL import Image
from safetensors.torch import save as save_tensors

from hf_noisy_itm.memory.pair_memory import PairMemory

RECIPES = Path(__file__).parent.parent
WORDS = ["cat", "animal", "dog", "red", "tree"]
ROWS = 6
POSITIVES = {"i2t": {"0": [0, 1], "1": [1]}, "t2i": {"0": [0], "1": [1, 0]}}
KARPATHY = {
    "images": [
        {
            "split": "train",
            "imgid": row,
            "filename": "a.jpg",
            "filepath": "train2014",
            "sentences": [{"raw": "a cat", "sentid": row}],
        }
        for row in range(3)
    ]
}
EDGES = (
    b'/r/RelatedTo\t/c/en/cat\t/c/en/animal\t{"weight": 2.0}\n/a/x\t/r/IsA\t/c/en/dog\t/c/en/animal\t{"weight": 1}\n'
    b'/r/AtLocation /c/en/cat /c/en/tree\n/r/Antonym\t/c/en/cat\t/c/en/dog\t{"weight": 1.5}\n'
)
_MORE = {
    "JPEG": {"progressive": True},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"lossless": True},
    "TGA": {"compression": "tga_rle"},
}


def picture(kind: str, mode: str = "RGB", **options) -> bytes:
    """A small picture of that format."""
    ramp = np.arange(24 * 16 * 3, dtype=np.uint32).reshape(16, 24, 3).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(file, kind, **options)
    return file.getvalue()


def pictures(kind: str) -> list[bytes]:
    """Pictures of one format in all modes that it has."""
    found = []
    for mode, options in (
        ("RGB", {}),
        ("L", {}),
        ("P", {}),
        ("RGBA", {}),
        ("1", {}),
        ("CMYK", {}),
        ("RGB", _MORE.get(kind, {})),
    ):
        with suppress(OSError, ValueError, KeyError):
            found.append(picture(kind, mode, **options))
    return found


def npy_indices() -> list[bytes]:
    """Vectors of integers."""
    rng = np.random.default_rng(0)
    moved = rng.permutation(20)
    return [
        _saved(np.save, array) for array in (moved, moved.astype(np.int32), moved.astype(">u2"), np.arange(20) // 2)
    ]


def npy_dictionaries() -> list[bytes]:
    """A dictionary by every protocol."""
    content = {
        "1": 2,
        3: [1.5, None, True],
        b"k": ("x", {"y": np.arange(4)}),
        "n": np.float32(2),
        "s": np.array(["a", "bc"]),
    }
    found = [_saved(np.save, np.array(content, dtype=object), allow_pickle=True)]
    for protocol in range(6):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        found.append(file.getvalue() + pickle.dumps(np.array(content, dtype=object), protocol))
    return found


def _saved(save, *arrays, **options) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **options)
    return file.getvalue()


def npz() -> list[bytes]:
    """What the Space takes."""
    arrays = {"image_embeds": np.ones((4, 3), np.float32), "text_embeds": np.ones((4, 3)), "image_id": np.arange(4)}
    return [_saved(np.savez, **arrays), _saved(np.savez_compressed, **arrays)]


def mat() -> list[bytes]:
    """MATLAB files, plain and packed."""
    arrays = {
        "I_tr": np.arange(12.0).reshape(3, 4),
        "T_tr": np.arange(6, dtype=np.uint8).reshape(3, 2),
        "other": "text",
        "cell": np.array(["a", 1.0], dtype=object),
    }
    return [_saved(partial(_savemat, do_compression=packed), arrays) for packed in (False, True)]


def _savemat(file, arrays, do_compression):
    scipy.io.savemat(file, arrays, do_compression=do_compression)


def tensors() -> dict[str, bytes]:
    """Files of tensors, by what they are."""
    rows = torch.arange(4)
    unit = torch.nn.functional.normalize(torch.arange(6.0).reshape(3, 2) + 1)
    facts = {"fingerprint": "of these", "levels": {"wrong": 0.1, "confident": 0.6, "noise": 0.0}, "logit_scale": 14.0}
    words = {"words": ["cat", "dog", "tree"], "provenance": {"captions": "x"}}

    def of(tensors, provenance):
        return save_tensors(tensors, {"provenance": json.dumps(provenance)})

    memory = PairMemory("x", 4)
    memory.weights.add(rows, rows / 4)
    space = {"image_embeds": torch.ones(4, 3), "text_embeds": torch.ones(4, 3), "image_id": rows}
    return {
        "bank": of({"entries.image": rows, "entries.text": rows.flip(0), "scores.all": rows / 4}, facts),
        "scores": of({"cosine": rows / 4}, facts),
        "concepts": of({"links": torch.zeros(3, 3), "vectors": unit}, words),
        "processor": save_tensors({"mean.image": torch.ones(3), "deviation.image": torch.ones(3)}),
        "weights": save_tensors({"visual.conv1.weight": torch.ones(2, 3, 4, 4), "logit_scale": torch.ones(())}),
        "ledger": save_tensors(memory.weights.state_dict()),
        "space": save_tensors(space),
    }


def archives() -> list[bytes]:
    """What `torch.save` writes."""
    state = {"visual.conv1.weight": torch.ones(2, 3, 4, 4), "logit_scale": torch.ones(())}
    found = []
    for content in (state, {"state_dict": state, "epoch": 3}):
        file = io.BytesIO()
        torch.save(content, file)
        found.append(file.getvalue())
    return found


def result(folder: str) -> bytes:
    """The smallest committed file of a folder."""
    return min((file.read_bytes() for file in (RECIPES / "results" / folder).rglob("*.json")), key=len)


def texts(folder: Path, *names: str) -> list[bytes]:
    """Files of a folder."""
    return [(folder / name).read_bytes() for name in names]


def tables(png: bytes) -> dict[str, list[bytes]]:
    """Rows of pairs, by ending."""
    rows = [{"image": "p.png", "caption": f"a {WORDS[row % 5]}, {row}", "image_id": row} for row in range(ROWS)]
    lines = [[str(value) for value in row.values()] for row in rows]
    made = {
        "csv": ["\n".join(["image,caption,image_id", *(f'{a},"{b}",{c}' for a, b, c in lines)]).encode()],
        "tsv": ["\n".join(["image\tcaption\timage_id", *("\t".join(line) for line in lines)]).encode()],
        "jsonl": ["".join(json.dumps(row) + "\n" for row in rows).encode(), json_of(rows)],
    }
    cells = pa.array([{"bytes": png, "path": None}] * ROWS)
    table = pa.table({"image": cells, "caption": [row["caption"] for row in rows], "image_id": list(range(ROWS))})
    made["parquet"] = []
    for packing in ("none", "snappy"):
        file = io.BytesIO()
        pq.write_table(table, file, compression=packing)
        made["parquet"].append(file.getvalue())
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for row in range(ROWS):
            for suffix, content in (("png", png), ("txt", rows[row]["caption"].encode())):
                member = tarfile.TarInfo(f"{row:03}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return {**made, "tar": [file.getvalue()]}
