"""A noise report of training pairs, in a folder that holds

    report.html       one page that needs nothing else
    report.json       all figures
    scores.parquet    a row for each pair, see `tables.write_scores`
    alike.parquet     near-duplicates and possible matches, see `tables.write_alike`
    plots/*.png

and is made anew as a whole each time.
"""  # noqa: D400, D415

import os
import re
import sys
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..batches import collator_of_all
from ..checkpoint import WEIGHTS_FILE
from ..data import DataArguments, Pairs, load_pairs, table
from ..data.groups import column_of
from ..data.pedigree import read_noise_file
from ..errors import InputError
from ..files import atomic_folder, read_json, shown, write_error, write_json
from ..loading import load_model
from ..memory.bank import EncodedPairs
from ..memory.scores import weights_sha256
from .arguments import ReportArguments
from .concepts import PairConcepts
from .dataset import check_output, other_columns, write_data
from .doubts import doubts_of
from .features import embeddings_of
from .findings import Findings, examine
from .groups import by_length, noise_by_group
from .page import write_page
from .plots import all_plots
from .summary import told_first
from .tables import write_alike, write_scores
from .truth import kinds_of, known_truth, truth_of

_LIBRARIES = ("hf-noisy-itm", "numpy", "scikit-learn", "torch")
_FILES = ("report.html", "report.json", "scores.parquet", "alike.parquet")
_PLOT = re.compile(r"plots/(suspicion|signals|separation|calibration|groups_\d+)\.png")


def make_report(args: ReportArguments, data: DataArguments) -> dict:
    """Scores the training pairs and writes the report, and the data sets that are asked for.

    Args:
        args: who scores, and what to write.
        data: the pairs, by the same words as in a training.

    Returns:
        The content of `report.json`.

    Raises:
        InputError: the model, the data or the run cannot be read, or something cannot be written.
    """
    check_folder(args.output)
    for folder in (args.cleaned, args.weighted):
        if folder:
            check_output(folder, args.overwrite)
    check_writable(args)
    model, processor = load_model(args.model)
    pairs, held_out = load_pairs(data)
    print(table([pairs.report]))
    weight = training_weights(args.run, pairs) if args.run else None
    groups = {column: column_of(data, pairs, column) for column in args.group_by or ()}
    folders = [(folder, folder == args.weighted) for folder in (args.cleaned, args.weighted) if folder]
    others = {folder: other_columns(data, pairs, folder, weighted) for folder, weighted in folders}
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    collator = collator_of_all(pairs, model, processor)
    sha256 = weights_sha256(model.clip)
    encoded = embeddings_of(model, collator, sha256, args.features, args.batch_size, args.num_workers)
    told = {
        "scorer": {"model": shown(args.model), "weights_sha256": sha256},
        "data": {name: value for name, value in vars(data).items() if value is not None},
        "run": shown(args.run) if args.run else None,
    }
    scale = float(model.logit_scale.detach())
    concepts = PairConcepts.of(model, encoded)
    findings, figures = write_report(args.output, pairs, encoded, scale, told, weight, groups, args, concepts)
    if folders:
        print(told_first(figures))
    for folder, weighted in folders:
        kept = write_data(folder, findings, pairs, held_out, figures, weighted, others[folder])
        print(f"{folder} holds {kept:,} of {len(pairs):,} pairs{', each with a weight' if weighted else ''}.")
    return figures


def write_report(
    folder: str | Path,
    pairs: Pairs,
    encoded: EncodedPairs,
    logit_scale: float,
    told: dict,
    training_weight: np.ndarray | None = None,
    groups: dict[str, np.ndarray] | None = None,
    args: ReportArguments | None = None,
    concepts: PairConcepts | None = None,
) -> tuple[Findings, dict]:
    """Looks at embedded pairs and writes the report of them.

    Args:
        folder: where to, made if need be; an older report is replaced when this one is whole.
        pairs: to train on.
        encoded: these, as the scorer embeds them.
        logit_scale: inverse temperature of the scorer.
        told: `scorer`, `data` and `run` of the figures.
        training_weight: mean weight of each pair in a training, (N,).
        groups: names of groups of pairs, beside those by caption length.
        args: sizes and thresholds; the usual ones if left out.
        concepts: what the scorer names in these pairs, if it knows any.

    Returns:
        What was found, and the content of `report.json`.

    Raises:
        InputError: all captions are of one picture, or the folder holds something else or cannot be written.
    """
    args = args or ReportArguments(told["scorer"]["model"])
    folder = Path(folder)
    findings = examine(encoded, logit_scale, pairs.captions, training_weight, args.duplicate_cosine, args.seed)
    findings = replace(findings, concepts=concepts)
    known = known_truth(pairs)
    truth = None if known is None else truth_of(findings, known, kinds_of(pairs))
    by_group = noise_by_group(
        {"words of the caption": by_length(pairs.captions), **(groups or {})}, findings.probability, known
    )
    figures = _figures(findings, pairs, told, truth, by_group, args)
    plots = all_plots(findings, by_group, known, truth)
    check_folder(folder)
    try:
        with atomic_folder(folder, replace=True) as temporary:
            (temporary / "plots").mkdir()
            for name, content in plots.items():
                (temporary / "plots" / f"{name}.png").write_bytes(content)
            write_scores(temporary / "scores.parquet", findings, pairs)
            write_alike(temporary / "alike.parquet", findings, pairs)
            write_json(temporary / "report.json", figures)
            write_page(temporary / "report.html", findings, pairs, figures, plots, args.gallery)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error}; name another folder.") from error
    return findings, figures


def check_folder(folder: str | Path) -> None:
    """Refuses what a report must not replace: a folder that holds anything but a report.

    Raises:
        InputError: there is something else.
    """
    folder = Path(folder)
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    others = [name for name in files if name not in _FILES and not _PLOT.fullmatch(name)]
    try:
        is_ours = read_json(folder / "report.json").keys() >= {"estimate", "flagged"}
    except (OSError, ValueError, AttributeError):
        is_ours = False
    if others or not is_ours:
        what = f"{others[0]} is no part of a report" if others else "it holds no report.json of a report"
        raise InputError(f"{folder} would be replaced, but {what}: name another folder for the report.")


def check_writable(args: ReportArguments) -> None:
    """Refuses before the work places where nothing can be written after it.

    Raises:
        InputError: there is one.
    """
    for name in ("output", "cleaned", "weighted", "features"):
        place = getattr(args, name)
        if place and (error := write_error(Path(os.path.realpath(place)).parent)):
            raise InputError(f"{name} {place} cannot be written: {error}; name another place.")


def training_weights(folder: str, pairs: Pairs) -> np.ndarray:
    """The mean weight that a training of its own gave each of its pairs, NaN where it saw it never, (N,).

    What a frozen scorer's trust, or the data's weights, did to it is not in it: that is no further evidence.

    Raises:
        InputError: there is no such training, it weighed nothing of its own, or it was on other pairs.
    """
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        raise InputError(f"{folder} has no {WEIGHTS_FILE}: name the folder of a training whose method weighs pairs.")
    trained_on = (read_noise_file(folder) or {}).get("fingerprint")
    if trained_on != pairs.fingerprint:
        raise InputError(
            f"The training {folder} was on other pairs (fingerprint {trained_on}; these have {pairs.fingerprint}): "
            f"give the data by the same words as there, or leave --run out."
        )
    try:
        ledger = load_file(path)
        total, count = ledger["own"].numpy(), ledger["count"].numpy()
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} holds no weights of pairs ({error}); leave --run out.") from error
    if total.shape != (len(pairs),) or count.shape != (len(pairs),):
        raise InputError(f"{path} does not hold weights of {len(pairs)} pairs; leave --run out.")
    weight = np.divide(total, count, out=np.full(len(pairs), np.nan), where=count > 0)
    if not says_something(weight):
        raise InputError(
            f"The training {folder} gave all pairs one weight, but for what a scorer or the data said, which is no "
            f"further evidence: leave --run out."
        )
    return weight


def says_something(weight: np.ndarray) -> bool:
    """Whether weights of pairs, NaN where there is none, differ by more than rounding does."""
    known = weight[np.isfinite(weight)]
    return len(known) > 0 and bool(np.ptp(known) > 1e-6)


def _figures(
    findings: Findings, pairs: Pairs, told: dict, truth: dict | None, groups: dict, args: ReportArguments
) -> dict:
    alike = findings.alike
    return {
        **told,
        "pairs": {"captions": len(pairs), "pictures": len(pairs.image_id), "fingerprint": pairs.fingerprint},
        "noise": pairs.pedigree,
        "estimate": {"rate": findings.rate.value, "low": findings.rate.low, "high": findings.rate.high},
        "flagged": int(findings.flagged.sum()),
        "weights": findings.weights,
        "duplicates": {
            "cosine": args.duplicate_cosine,
            "pictures": len(alike.pictures),
            "captions": len(alike.captions),
            "equal_captions": alike.equal_captions,
            "possible_matches": len(alike.may_fit),
            "has_siblings": alike.levels[1] is not None,
        },
        "truth": truth,
        "groups": groups,
        "doubts": doubts_of(findings),
        "report": {name: value for name, value in asdict(args).items() if name in ("duplicate_cosine", "seed")},
        "versions": {name: version(name) for name in _LIBRARIES},
        "command": sys.argv,
    }
