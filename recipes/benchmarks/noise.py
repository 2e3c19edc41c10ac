"""How long noise takes at the size of MSCOCO and Flickr30K, and how much memory.

    python recipes/benchmarks/noise.py [--captions 566435] [--semantic_captions 145000] [--queries 8192] …

Prints the figures and writes them as JSON. Each part runs in a process of its own, so that its peak memory, libraries
and input included, is its own. Embeddings are random: the search does the same work on any.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from _measure import in_own_process, machine

from hf_noisy_itm.data.provenance import write_provenance
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.noise import (
    TEXT_KINDS,
    damage_captions,
    shuffle_captions,
    shuffle_images,
    swap_semantic,
)

RESULT = Path(__file__).parent.parent / "results" / "benchmark_noise.json"
RATE = 0.4


def main(arguments: list[str]) -> None:
    """Runs all parts, prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=566_435, help="to shuffle and damage; MSCOCO's training part")
    parser.add_argument("--semantic_captions", type=int, default=145_000, help="to search among; Flickr30K's")
    parser.add_argument("--width", type=int, default=512, help="of the embeddings")
    parser.add_argument("--queries", type=int, default=8192, help="captions that get a near one of another picture")
    parser.add_argument("--k", type=int, default=10, help="nearest captions to draw from")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    parts = {
        "shuffle": (_shuffle, args.captions),
        "semantic": (_semantic, args.semantic_captions, args.width, args.queries, args.k),
        **{kind: (_text, kind, args.captions) for kind in TEXT_KINDS},
    }
    datasets.disable_progress_bars()
    start = "fork" if sys.platform == "linux" else "spawn"  # nothing has run in this process, so forking is safe
    figures = {"machine": machine("numpy", "torch", "datasets"), "rate": RATE, "command": sys.argv}
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    for name, (part, *given) in parts.items():
        figures[name] = in_own_process(_measured, part, *given, start=start)
        print(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in figures[name].items()))
    write_json(args.output, figures)


def _measured(part, *given) -> dict[str, float]:
    figures = part(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {**figures, "peak_rss_gb": round(peak / 1e9, 3)}


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


def _shuffle(captions: int) -> dict[str, float]:
    ids = np.arange(captions) // 5
    seconds = {}
    for name, shuffle, keep_none in (
        ("shuffle_captions", shuffle_captions, False),
        ("shuffle_captions, keep_none", shuffle_captions, True),
        ("shuffle_images", shuffle_images, False),
    ):
        start = time.perf_counter()
        noise = shuffle(ids, RATE, _generator(), keep_none)
        seconds[f"seconds of {name}"] = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.parquet"
        start = time.perf_counter()
        write_provenance(path, noise)
        seconds["seconds to write the provenance as Parquet"] = time.perf_counter() - start
        size = path.stat().st_size
    return {"captions": captions, **seconds, "parquet_mb": size / 1e6, "realised": noise.realised}


def _semantic(captions: int, width: int, queries: int, k: int) -> dict[str, float]:
    embeds = torch.randn(captions, width, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    noise = swap_semantic(embeds, np.arange(captions) // 5, (queries + 0.5) / captions, k, _generator())
    seconds = time.perf_counter() - start
    searched = int(noise.is_noisy.sum())
    return {
        "captions": captions,
        "width": width,
        "k": k,
        "queries": searched,
        "seconds": seconds,
        "seconds for every caption, extrapolated": seconds * captions / searched,
    }


def _text(kind: str, captions: int) -> dict[str, float]:
    texts = [caption for row in range(200) for caption in draw_row("street", (0, 1, 0), row)["captions"]]
    texts = (texts * (captions // len(texts) + 1))[:captions]
    start = time.perf_counter()
    noise = damage_captions(texts, np.arange(captions) // 5, kind, RATE, seed=0)
    seconds = time.perf_counter() - start
    rate = {"seconds": seconds, "rows_per_second": captions / seconds}
    return {
        "captions": captions,
        **rate,
        "damaged_per_second": noise.is_noisy.sum() / seconds,
        "realised": noise.realised,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
