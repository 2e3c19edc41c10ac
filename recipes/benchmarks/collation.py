"""How fast batches are made, on one core, and what a very wide picture takes.

    OMP_NUM_THREADS=1 python recipes/benchmarks/collation.py [--repeats 15] [--pictures 32] [--output FILE.json]

Pictures per second from encoded bytes to a batch of floats: the collator, with an empty and with a full picture cache
and with all in memory, against a bare loop over Pillow and NumPy and against transformers' processor. All take turns
in one process; medians over the repeats. Pictures are waves and noise in colour, so that they pack like photographs.
"""

import argparse
import io
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import datasets
import numpy as np
import torch
from _measure import extra_memory, machine, take_turns
from PIL import Image
from transformers import CLIPProcessor
from transformers.models.clip import CLIPImageProcessorPil

from hf_noisy_itm.data import PairCollator, Pairs
from hf_noisy_itm.data._pictures import decode
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.files import write_json
from hf_noisy_itm.loading import ASSETS

CASES = {"JPEG 500x375": (500, 375, "JPEG"), "PNG 64x64": (64, 64, "PNG")}
WIDE = [("JPEG", 10), ("JPEG", 3), ("PNG", 10)]  # and how many times as wide as high


def main(words: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--width", type=int, default=20000, help="Of the wide pictures.")
    parser.add_argument("--output", default="recipes/results/benchmark_collation.json")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    # Forked before there is memory that was used and given back, which a fork would use again, unmeasured.
    fresh = [ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) for _ in WIDE]
    for process in fresh:
        process.submit(os.getpid).result()
    processor = CLIPProcessor.from_pretrained(ASSETS / "scenes-clip")
    result = {
        "command": sys.argv,
        "machine": machine("numpy", "pillow", "torch", "transformers"),
        "captions_per_second": tokenizing(processor, args.repeats),
        "pictures_per_second": {},
    }
    processor.image_processor = CLIPImageProcessorPil()
    for name, (width, height, format) in CASES.items():
        files = [encoded(photograph(width, height, seed), format) for seed in range(args.pictures)]
        result["pictures_per_second"][name] = throughput(processor, files, args.repeats)
    result["wide"] = [
        wide(process, args.width, args.width // part, format) for process, (format, part) in zip(fresh, WIDE)
    ]
    write_json(args.output, result)
    for name, figures in (*result["pictures_per_second"].items(), ("captions", result["captions_per_second"])):
        print(f"{name}: " + ", ".join(f"{what} {value:,.4g}" for what, value in figures.items()))
    for figures in result["wide"]:
        print(", ".join(f"{what} {value}" for what, value in figures.items()))


def throughput(processor: CLIPProcessor, files: list[bytes], repeats: int) -> dict[str, float]:
    """Pictures per second by each way."""
    table = datasets.Dataset.from_list([{"image": {"bytes": file, "path": None}} for file in files])
    rows = np.arange(len(files))
    pairs = Pairs(table.cast_column("image", datasets.Image(decode=False)), ["caption"] * len(files), rows, rows, rows)
    with tempfile.TemporaryDirectory() as folder:
        collator = PairCollator(processor, pairs)
        from_files = PairCollator(processor, pairs, picture_cache=folder)
        from_memory = PairCollator(processor, pairs, cache_pictures=len(files))
        for cached in (from_files, from_memory):
            assert torch.equal(cached.images(rows), collator.images(rows))

        def empty_cache():
            with tempfile.TemporaryDirectory() as other:
                PairCollator(processor, pairs, picture_cache=other).images(rows)

        seconds = take_turns(
            {
                "bare loop": lambda: np.stack([bare(file, processor.image_processor) for file in files]),
                "collator": lambda: collator.images(rows),
                "transformers' processor": lambda: torch.stack(
                    [processor.image_processor(decode(file), return_tensors="pt")["pixel_values"][0] for file in files]
                ),
                "collator, empty picture_cache": empty_cache,
                "collator, full picture_cache": lambda: from_files.images(rows),
                "collator, cache_pictures": lambda: from_memory.images(rows),
            },
            repeats,
        )
    figures = {name: len(files) / median(times) for name, times in seconds.items()}
    pairwise = [bare / ours for bare, ours in zip(seconds["bare loop"], seconds["collator"])]
    return figures | {"collator / bare loop": median(pairwise)}


def bare(file: bytes, processor: CLIPImageProcessorPil) -> np.ndarray:
    """What anyone would write: to RGB, shorter side to the edge, centre, normalised, channels first."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    edge = processor.size.shortest_edge
    scale = edge / min(image.size)
    width, height = (max(edge, int(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - edge) // 2, (height - edge) // 2
    pixels = np.asarray(image.crop((left, top, left + edge, top + edge)), dtype=np.float32) / 255
    mean, std = np.float32(processor.image_mean), np.float32(processor.image_std)
    return ((pixels - mean) / std).transpose(2, 0, 1)


def tokenizing(processor: CLIPProcessor, repeats: int) -> dict[str, float]:
    """Captions per second, the tokenizer alone and the collator that has seen them."""
    captions = [caption for row in range(26) for caption in draw_row("street", (0, 1, 0), row)["captions"]][:128]
    collator = PairCollator(processor, None)
    seconds = take_turns(
        {
            "tokenizer": lambda: processor.tokenizer(
                captions, padding=True, truncation=True, max_length=collator.max_length, return_tensors="pt"
            ),
            "collator": lambda: collator.texts(captions),
        },
        repeats,
    )
    return {name: len(captions) / median(times) for name, times in seconds.items()}


def wide(process: ProcessPoolExecutor, width: int, height: int, format: str) -> dict:
    """Seconds and memory to decode one picture, and how far it is from one that was not reduced."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wide"
        path.write_bytes(encoded(photograph(width, height, 0), format))
        figures = {"picture": f"{format} {width}x{height}", "file_mb": path.stat().st_size / 1e6}
        with process:
            seconds, megabytes, size = process.submit(_decode_and_measure, str(path)).result()
        figures |= {"decoded": size, "seconds": seconds, "peak_mb": megabytes}
        whole, ours = Image.open(path).convert("RGB"), decode(str(path))
        for edge in (224, 336):
            small = [
                np.asarray(image.resize((edge * width // height, edge), Image.Resampling.BICUBIC)).astype(int)
                for image in (whole, ours)
            ]
            figures[f"largest_difference_at_{edge}"] = int(np.abs(small[0] - small[1]).max())
    return figures


def _decode_and_measure(path: str) -> tuple[float, float, str]:
    start = time.perf_counter()
    picture, megabytes = extra_memory(lambda: decode(path))
    return time.perf_counter() - start, megabytes, f"{picture.width}x{picture.height}"


def photograph(width: int, height: int, seed: int) -> Image.Image:
    """Waves of falling strength with finer scale, and grain, in three colours."""
    rng = np.random.default_rng(seed)
    x, y = np.arange(width, dtype=np.float32) / width, np.arange(height, dtype=np.float32)[:, None] / width
    pixels = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        values = np.full((height, width), 128, np.float32)
        for scale in 2.0 ** np.arange(8):
            across, down, phase = rng.normal(0, 2 * np.pi * scale, 2).tolist() + [rng.uniform(0, 2 * np.pi)]
            values += np.float32(50 / scale**0.8) * np.sin(across * x + down * y + phase).astype(np.float32)
        values += rng.normal(0, 4, (height, width)).astype(np.float32)
        pixels[..., channel] = np.clip(values, 0, 255)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format: str) -> bytes:
    """The content of a picture file."""
    file = io.BytesIO()
    image.save(file, format, **({"quality": 90} if format == "JPEG" else {}))
    return file.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
