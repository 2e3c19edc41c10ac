"""How well a noise report finds what was made wrong on purpose: order, share, and no false alarm on clean captions.

    python recipes/benchmarks/noise_found.py scenes-clip --dataset scenes --output FILE
    python recipes/benchmarks/noise_found.py runs/emoji-clip --dataset emoji.parquet --caption_column captions …

The pictures and captions of a data set are embedded once. Then every kind of noise, at every rate and seed, is drawn
over them, and `noise_report.examine` looks at what comes out: AUC of each signal and of their sum, the estimated share
beside the true one, precision and recall of as many pairs as are estimated to be wrong, how far the probabilities are
off, and how many captions that are suggested were written for the picture (`suggestions`; `nearest`: had the best fit
been suggested for every flagged pair). Near captions ("semantic") are those that share words, as in
recipes/make_noise.py. The data themselves, with no noise, come first; where their own captions are not all right, the
estimate there is of that.
"""

import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from _measure import machine

from hf_noisy_itm.arguments import Parser
from hf_noisy_itm.batches import collator_of_all
from hf_noisy_itm.data import DataArguments, Pairs, load_pairs
from hf_noisy_itm.data.pedigree import pedigree_of
from hf_noisy_itm.data.words import embed_by_words
from hf_noisy_itm.encode import encode
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.files import shown, write_json
from hf_noisy_itm.functional.noise import KINDS, draw_noise
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.scores import weights_sha256
from hf_noisy_itm.noise_report import examine, kinds_of, known_truth, truth_of
from hf_noisy_itm.noise_report.suggestions import right_suggestions

_NEAR = 10  # captions that "semantic" draws from


@dataclass
class FoundArguments:
    """Who looks, and at how much noise."""

    model: str = field(metadata={"help": "Who scores: 'scenes-clip' (bundled), a folder, or a name on the Hub."})
    output: str = field(metadata={"help": "JSON file to write."})
    kinds: list[str] = field(default_factory=lambda: list(KINDS), metadata={"help": "Kinds of noise."})
    rates: list[float] = field(default_factory=lambda: [0.2, 0.4, 0.6], metadata={"help": "Shares of wrong pairs."})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "Of the draws."})


def main(words: list[str]) -> None:
    """Measures, prints and writes."""
    classes = (FoundArguments, DataArguments)
    words = ["--model", *words] if words and not words[0].startswith("-") else words
    values = Parser(classes, allow_abbrev=False).values_of(words)
    args, data = (cls(**{each.name: values[each.name] for each in fields(cls)}) for cls in classes)
    if data.noise_rate or data.noise_file:
        raise InputError("Noise is drawn here, at all rates: leave --noise_rate and --noise_file out.")
    if not Path(args.output).resolve().parent.is_dir():
        raise InputError(f"--output {args.output} is no file in a folder that is there.")
    model, processor = load_model(args.model)
    pairs, _ = load_pairs(data)
    embedder = Embedder(model, processor, pairs)
    figures = {
        "machine": machine("torch", "scikit-learn"),
        "command": sys.argv,
        "scorer": {"model": shown(args.model), "weights_sha256": weights_sha256(model.clip)},
        "data": {
            name: shown(value) if isinstance(value, str) else value for name, value in vars(data).items() if value
        },
        "pairs": {"captions": len(pairs), "pictures": len(pairs.image_id), "fingerprint": pairs.fingerprint},
        "clean": look_at(embedder, pairs),
        "noise": [],
    }
    print(f"clean: {_percent(figures['clean']['estimated'])} estimated to be wrong")
    near = embed_by_words(pairs.captions) if "semantic" in args.kinds else None
    for kind in args.kinds:
        for rate in args.rates:
            for seed in args.seeds:
                noise = draw_noise(kind, rate, seed, pairs.image_id[pairs.image_row], pairs.captions, near, k=_NEAR)
                noisy = pairs.with_noise(noise, pedigree_of(noise, kind, seed))
                found = {"kind": kind, "rate": rate, "seed": seed, **look_at(embedder, noisy)}
                figures["noise"].append(found)
                print(_line(found), flush=True)
    write_json(args.output, figures)
    print(table(figures))


class Embedder:
    """Embeds pairs of one set of pictures; each text once."""

    def __init__(self, model, processor, pairs: Pairs):
        self.collator = collator_of_all(pairs, model, processor)
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.encoded = encode(model, self.collator)
        self.scale = float(model.logit_scale.detach())
        self.picture_key = [pairs.content_key(row) for row in range(len(pairs.image_id))]
        self.known = dict(zip(pairs.captions, self.encoded.text_embeds))

    @torch.no_grad()
    def __call__(self, pairs: Pairs) -> EncodedPairs:
        """The same pictures with any captions."""
        new = list(dict.fromkeys(text for text in pairs.captions if text not in self.known))
        for start in range(0, len(new), 256):
            part = new[start : start + 256]
            tokens = {name: value.to(self.model.device) for name, value in self.collator.texts(part).items()}
            self.known.update(zip(part, self.model.embed_texts(**tokens)))
        texts = torch.stack([self.known[text] for text in pairs.captions])
        return EncodedPairs(self.encoded.image_embeds, texts, self.encoded.image_of_pair, pairs.fingerprint)


def look_at(embedder: Embedder, pairs: Pairs) -> dict:
    """What a report finds in pairs, and how true it is."""
    findings = examine(embedder(pairs), embedder.scale, pairs.captions)
    known = known_truth(pairs)
    truth = None if known is None else truth_of(findings, known, kinds_of(pairs))
    found = {
        "wrong": float(pairs.is_noisy.mean()),
        "estimated": findings.rate.value,
        "interval": [findings.rate.low, findings.rate.high],
        "flagged": int(findings.flagged.sum()),
        "weights": findings.weights,
    }
    if truth is not None:
        found |= {name: truth[name] for name in ("auc", "average_precision", "at_rate")}
        found["calibration_error"] = truth["calibration"]["expected_error"]
        found["suggestions"] = right_suggestions(findings.suggested, pairs, embedder.picture_key)
        nearest = np.where(findings.flagged, findings.alike.foreign[pairs.image_row, 0], -1)
        found["nearest"] = right_suggestions(nearest, pairs, embedder.picture_key)
    return found


def table(figures: dict) -> str:
    """What was found as lines of Markdown: for each kind and rate, means over the seeds."""
    lines = ["| noise | wrong | estimated | AUC | of the best signal |", "|---|---:|---:|---:|---:|"]
    clean = figures["clean"]
    lines.append(f"| none | {_percent(clean['wrong'])} | {_percent(clean['estimated'])} | – | – |")
    drawn = dict.fromkeys((found["kind"], found["rate"]) for found in figures["noise"])
    for kind, rate in drawn:
        runs = [found for found in figures["noise"] if (found["kind"], found["rate"]) == (kind, rate)]
        wrong, estimated = (_percent(mean(found[name] for found in runs)) for name in ("wrong", "estimated"))
        auc = {name: mean(found["auc"][name] for found in runs) for name in runs[0]["auc"]}
        name, best = _best(auc)
        lines.append(f"| {kind} {rate:.0%} | {wrong} | {estimated} | {auc['combined']:.3f} | {best:.3f} ({name}) |")
    return "\n".join(lines)


def _best(auc: dict[str, float]) -> tuple[str, float]:
    """The best of the signals alone."""
    return max(((name, value) for name, value in auc.items() if name != "combined"), key=lambda each: each[1])


def _line(found: dict) -> str:
    name, best = _best(found["auc"])
    return (
        f"{found['kind']:15s} {found['rate']:.0%} seed {found['seed']}: AUC {found['auc']['combined']:.3f}, best "
        f"signal {best:.3f} ({name}), wrong {_percent(found['wrong'])}, estimated {_percent(found['estimated'])}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    with clean_exit():
        main(sys.argv[1:])
