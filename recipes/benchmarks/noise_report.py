"""How long a noise report takes at the size of Flickr30K once features exist, how much memory, and how large its page.

    python recipes/benchmarks/noise_report.py [--pictures 29000] [--captions 5] [--width 512] [--output FILE]

`noise_report.write_report` over random pictures and captions that are somewhat near them, 40 % of which are moved, in
a process of its own, once: all of it, from the embeddings to the page, with the seconds that its threads computed
beside those that passed, for on a busy machine they differ. How many of the true neighbours the search through
cells finds is measured on a thousand captions. Then the page of a million pairs, whose findings are made up.
"""

import argparse
import io
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import datasets
import numpy as np
import torch
from _measure import extra_memory, in_own_process, machine
from PIL import Image

from hf_noisy_itm.data import Pairs
from hf_noisy_itm.files import write_json
from hf_noisy_itm.functional.mismatch_rate import NoiseRate
from hf_noisy_itm.functional.nearest_k import nearest_k
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.noise_report import Findings, write_report
from hf_noisy_itm.noise_report.alike import Alike
from hf_noisy_itm.noise_report.page import write_page

RESULT = Path(__file__).parent.parent / "results" / "benchmark_noise_report.json"
TOLD = {"scorer": {"model": "random", "weights_sha256": "0" * 64}, "data": {"dataset": "random"}, "run": None}
NOISE = 0.4
PICTURES = 64  # that are really there; all others show one of them


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=29_000)
    parser.add_argument("--captions", type=int, default=5, help="of each picture")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--page_pairs", type=int, default=1_000_000, help="of the page whose size is measured")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    figures = {"machine": machine("torch", "scikit-learn", "matplotlib"), "command": sys.argv}
    print(", ".join(f"{name} {value}" for name, value in figures["machine"].items()))
    figures["pairs"], figures["width"] = args.pictures * args.captions, args.width
    for name, measured in (
        ("report", in_own_process(report, args.pictures, args.captions, args.width)),
        ("search", in_own_process(search, args.pictures * args.captions, args.width)),
        ("page", in_own_process(page, args.page_pairs)),
    ):
        figures[name] = measured
        print(f"{name:8s} " + ", ".join(f"{what} {value:,.4g}" for what, value in measured.items()), flush=True)
    write_json(args.output, figures)


def report(pictures: int, captions: int, width: int) -> dict[str, float]:
    """Seconds, memory and figures of one report; memory is that of the process, embeddings and pairs among it."""
    with tempfile.TemporaryDirectory() as folder:
        small = embeddings(40, 5, 16)
        write_report(folder, made_up_pairs(*small), small[0], 30.0, TOLD)  # libraries load what they need
    with tempfile.TemporaryDirectory() as folder:
        encoded, source = embeddings(pictures, captions, width)
        pairs = made_up_pairs(encoded, source)
        start = time.perf_counter(), time.process_time()
        (_, figures), extra = extra_memory(lambda: write_report(folder, pairs, encoded, 30.0, TOLD))
        seconds = time.perf_counter() - start[0], time.process_time() - start[1]
        page_bytes = (Path(folder) / "report.html").stat().st_size
    given = (encoded.image_embeds.numel() + encoded.text_embeds.numel()) * 4 / 1e6
    return {
        "seconds": seconds[0],
        "processor seconds": seconds[1],
        "extra memory in MB": extra,
        "embeddings in MB": given,
        "page in MB": page_bytes / 1e6,
        "wrong": figures["truth"]["rate"],
        "estimated": figures["estimate"]["rate"],
        "auc": figures["truth"]["auc"]["combined"],
    }


def search(captions: int, width: int, asked: int = 1000, k: int = 10) -> dict[str, float]:
    """Share of the exact neighbours that the search through cells finds, among captions as above."""
    texts = embeddings(max(captions // 5, 20), 5, width)[0].text_embeds
    exact = nearest_k(texts[:asked], texts, k, exact=len(texts))[1]
    found = nearest_k(texts[:asked], texts, k, exact=0)[1]
    return {"recall": float((found[:, :, None] == exact[:, None, :]).any(dim=2).float().mean()), "k": k}


def page(pairs: int) -> dict[str, float]:
    """Size of the page, and seconds that it takes, of made-up findings."""
    rng = np.random.default_rng(0)
    picture = np.arange(pairs) // 5
    cosine, probability = rng.random(pairs), rng.random(pairs)
    signals = {"cosine": -cosine, "loss": 1 - cosine, "agreement": -cosine, "prediction": -cosine}
    foreign = rng.integers(pairs, size=(picture[-1] + 1, 1))
    couples = rng.integers(picture[-1] + 1, size=(100, 2))
    alike = Alike(
        pictures=couples,
        picture_cosines=np.ones(100),
        captions=couples,
        caption_cosines=np.ones(100),
        equal=couples,
        equal_captions=0,
        foreign=foreign,
        foreign_cosines=np.ones(foreign.shape),
        likeness=np.ones(foreign.shape),
        levels=(0.0, 0.0),
    )
    given = (signals, {"cosine": 1.0}, probability, probability, probability, probability, cosine)
    values = dict(
        zip(
            (each.name for each in fields(Findings)),
            (*given, NoiseRate(0.4, 0.3, 0.5), alike, rng.integers(-1, pairs, size=pairs)),
        )
    )
    encoded = EncodedPairs(torch.empty(picture[-1] + 1, 0), torch.empty(pairs, 0), torch.from_numpy(picture), "")
    made_up = made_up_pairs(encoded, np.arange(pairs), words=200)
    figures = {
        **TOLD,
        "pairs": {"captions": pairs, "pictures": len(foreign), "fingerprint": "0" * 16},
        "estimate": {"rate": 0.4, "low": 0.3, "high": 0.5},
        "flagged": 0,
        "weights": {"cosine": 1.0},
        "duplicates": {"cosine": 0.98, "pictures": 0, "captions": 0, "equal_captions": 0, "possible_matches": 0,
                       "has_siblings": True},
        "truth": None,
        "groups": {},
        "doubts": [],
        "versions": {"hf-noisy-itm": "0"},
    }  # fmt: skip
    plots = dict.fromkeys(("suspicion", "signals"), bytes(100_000))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_page(Path(folder) / "report.html", Findings(**values), made_up, figures, plots)
        seconds = time.perf_counter() - start
        size = (Path(folder) / "report.html").stat().st_size
    return {"pairs": pairs, "seconds": seconds, "MB": size / 1e6}


def embeddings(pictures: int, captions: int, width: int) -> tuple[EncodedPairs, np.ndarray]:
    """Random pictures of a few dozen kinds and captions near them, and where each caption comes from."""
    rng = torch.Generator().manual_seed(0)
    kinds = torch.randn(64, width, generator=rng)
    images = kinds[torch.randint(64, (pictures,), generator=rng)] + torch.randn(pictures, width, generator=rng)
    images = torch.nn.functional.normalize(images, dim=1)
    owner = torch.arange(pictures).repeat_interleave(captions)
    source = torch.arange(len(owner))
    moved = torch.randperm(len(owner), generator=rng)[: int(NOISE * len(owner))]
    source[moved] = moved.roll(1)
    texts = torch.randn(len(owner), width, generator=rng)
    for rows, part in zip(source.split(4096), texts.split(4096)):
        part += 0.7 * width**0.5 * images[owner[rows]]
        part /= part.norm(dim=1, keepdim=True)
    return EncodedPairs(images, texts, owner, "random"), source.numpy()


def made_up_pairs(encoded: EncodedPairs, source: np.ndarray, words: int = 8) -> Pairs:
    """Pairs for embeddings: pictures of noise, captions of numbers."""
    rng = np.random.default_rng(0)
    cells = []
    for _ in range(PICTURES):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=(96, 96, 3), dtype=np.uint8)).save(file, format="PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    pictures = datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image(decode=False))
    owner = encoded.image_of_pair.numpy()
    count = len(encoded.image_embeds)
    numbers = np.char.mod("%d", source)
    captions = [" ".join([number] * words) for number in numbers.tolist()]
    pictures = pictures.select(np.arange(count) % PICTURES)
    return Pairs(pictures, captions, owner, np.arange(count), owner[source])


if __name__ == "__main__":
    main(sys.argv[1:])
