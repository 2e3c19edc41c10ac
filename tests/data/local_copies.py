"""Tiny copies of the folders in which published data sets lie, made for the tests of the builders."""

import io
import json

from PIL import Image


def picture(shade, format="PNG"):
    """The file of a grey picture."""
    file = io.BytesIO()
    Image.new("L", (2, 2), shade).save(file, format=format)
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def karpathy(folder, name, splits, below="", **fields):
    """A Karpathy JSON and the pictures it names: picture k has id k, the captions 'k a' and 'k b', and shade k."""
    images = []
    for k, split in enumerate(splits):
        write(folder / "images" / below / f"{k}.jpg", picture(k))
        sentences = [{"raw": f"{k} {word}", "sentid": 2 * k + place, "imgid": k} for place, word in enumerate("ab")]
        image = {"filename": f"{k}.jpg", "split": split, "imgid": k, "sentids": [2 * k, 2 * k + 1]}
        images.append({**image, "sentences": sentences, **{key: value(k) for key, value in fields.items()}})
    write(folder / name, json.dumps({"images": images, "dataset": "any"}))
    return folder


def scan_split(folder, captions_per_picture=2, name="{}.jpg", splits=None):
    """NPC's folders: picture k has the captions 'k 0', 'k 1', … and shade k; 0 to 2 are for training."""
    for split, ids in (splits or {"train": (0, 1, 2), "dev": (3,), "test": (4,)}).items():
        lines = [f"{k} {place}" for k in ids for place in range(captions_per_picture)]
        write(folder / "annotations" / "scan_split" / f"{split}_caps.txt", "".join(f"{line}\n" for line in lines))
        write(folder / "annotations" / "scan_split" / f"{split}_ids.txt", "".join(f"{k}\n" for k in ids))
        for k in ids:
            write(folder / "images" / name.format(k), picture(k))
    return folder


def build(cls, folder, tmp_path, **options):
    """The splits of a builder, prepared in a cache of the test."""
    builder = cls(data_dir=folder, cache_dir=str(tmp_path / "cache"), **options)
    builder.download_and_prepare()
    return builder.as_dataset()
