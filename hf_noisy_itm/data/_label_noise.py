"""Wrong labels on purpose: what `DataArguments` ask for, drawn over the `Labels` of a data set."""

import hashlib
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..functional.noise import LabelNoise, draw_label_noise
from ._arguments import DataArguments
from ._labels import Labels


def add_label_noise(labels: Labels | None, args: DataArguments, row_of: dict[str, np.ndarray]) -> tuple[Labels, dict]:
    """The labels with a draw over each modality, or with one draw for all, and the pedigree of that.

    The first modality, and a joint draw, have the noise seed itself, and so the labels that recipes/make_noise.py
    writes; the seeds of the others are hashes of it.

    Args:
        labels: of a data set.
        args: kind, rate, seed, `noise_keep_none` (never draw the true class) and `noise_joint`.
        row_of: by modality, for each item the item of the first modality that it belongs to; of a joint draw it gets
            the label of that.

    Raises:
        InputError: there are no labels, or the draw cannot be made.
    """
    if labels is None:
        raise InputError(f"noise_kind {args.noise_kind} makes labels wrong: say with --label_column where they are.")
    draws: dict[str, LabelNoise] = {}
    first = next(iter(labels.given))
    for place, (name, given) in enumerate(labels.given.items()):
        if args.noise_joint and place:
            if not np.array_equal(labels.given[first][row_of[name]], given):
                raise InputError(
                    f"noise_joint is for one label per row, but those of {first} and {name} differ; leave it out."
                )
            flipped = draws[first].labels[row_of[name]]
            draws[name] = LabelNoise(flipped, flipped != given, args.noise_rate)
            continue
        try:
            draws[name] = draw_label_noise(
                args.noise_kind, args.noise_rate, _seed(args.noise_seed, place), given, len(labels.names),
                args.noise_keep_none,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(str(error)) from error
    noisy = replace(labels, given={name: draw.labels for name, draw in draws.items()})
    return noisy, _pedigree(draws, args, len(labels.names))


def _seed(seed: int, place: int) -> int:
    if not place:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/labels/{place}".encode()).digest()[:8], "little")


def _pedigree(draws: dict[str, LabelNoise], args: DataArguments, classes: int) -> dict:
    flipped = np.concatenate([draw.is_noisy for draw in draws.values()])
    digest = hashlib.sha256("".join(draw.sha256 for draw in draws.values()).encode())
    told = {} if args.noise_kind == "label_asymmetric" else {"keep_none": args.noise_keep_none}
    return {
        "kind": args.noise_kind,
        "nominal": args.noise_rate,
        "realised": float(flipped.mean()),
        "seed": args.noise_seed,
        "family": None,
        "labels": len(flipped),
        "classes": classes,
        "sha256": digest.hexdigest(),
        **told,
        "joint": args.noise_joint,
        "by_modality": {name: float(draw.realised) for name, draw in draws.items()},
    }
