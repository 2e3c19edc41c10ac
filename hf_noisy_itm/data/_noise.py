"""Noise on purpose: what `DataArguments` ask for, drawn over `Pairs`."""

from pathlib import Path

import numpy as np
from torch import Tensor
from transformers.utils import logging

from ..errors import InputError
from ..files import sha256_of_file
from ..functional.noise import LABEL_KINDS, TEXT_KINDS, draw_noise, similarity_to_source
from ._arguments import DataArguments
from ._label_noise import add_label_noise
from ._pairs import Pairs
from .caption_lines import load_caption_lines
from .draws import load_draw
from .features import FeatureRows
from .pedigree import pedigree_of, shortfall, stated_rate
from .words import NEAR_BY, embed_by_words

logger = logging.get_logger(__name__)

TRAINING_KINDS = ("shuffle", "shuffle_images", "semantic", *TEXT_KINDS, *LABEL_KINDS)


def check_noise(args: DataArguments) -> None:
    """Refuses, before anything is loaded, noise that cannot be drawn.

    Raises:
        InputError: see above.
    """
    if args.noise_seed < 0:
        raise InputError(f"noise_seed must not be negative, got {args.noise_seed}.")
    if args.noise_rate is not None and not 0.0 <= args.noise_rate <= 1.0:
        raise InputError(f"noise_rate is a share between 0 and 1, got {args.noise_rate}.")
    if args.noise_kind not in TRAINING_KINDS:
        raise InputError(f"There is no noise_kind {args.noise_kind!r}; there are {', '.join(TRAINING_KINDS)}.")
    if args.noise_keep_none and args.noise_kind in TEXT_KINDS:
        raise InputError(
            f"noise_keep_none is for captions that are shuffled, not for {args.noise_kind}; leave it out."
        )
    if args.noise_joint and args.noise_kind not in LABEL_KINDS:
        raise InputError(f"noise_joint is for noise on labels, not for {args.noise_kind}; leave it out.")
    if args.noise_kind in LABEL_KINDS and args.label_column is None:
        raise InputError(f"noise_kind {args.noise_kind} makes labels wrong: say with --label_column where they are.")
    if args.feature_columns and (args.noise_file or (args.noise_rate and args.noise_kind not in LABEL_KINDS)):
        raise InputError(f"Vectors have no captions to make wrong: noise_kind is one of {', '.join(LABEL_KINDS)}.")
    if args.noise_file and args.noise_kind in ("semantic", *TEXT_KINDS, *LABEL_KINDS):
        raise InputError(f"A noise_file moves captions, so it is not of the kind {args.noise_kind}; leave that out.")
    if args.noise_file and args.noise_keep_none:
        raise InputError("A noise_file says itself where each caption goes; leave noise_keep_none out.")
    if args.noise_file and args.noise_seed:
        raise InputError("A noise_file is drawn already; leave noise_seed out.")
    if args.noise_rate is None and not args.noise_file:
        for name in ("noise_kind", "noise_seed", "noise_keep_none", "noise_joint"):
            if getattr(args, name) != getattr(DataArguments(), name):
                raise InputError(
                    f"{name} is given but no noise_rate, so nothing would be made wrong: give --noise_rate (0 for "
                    f"clean data), or leave {name} out."
                )


def add_noise(pairs: Pairs | FeatureRows, args: DataArguments) -> Pairs | FeatureRows:
    """The pairs with the noise that `args` ask for; the same pairs if they ask for none."""
    if args.noise_file:
        return add_published(pairs, args.noise_file, args.noise_kind, args.noise_rate or None)
    if not args.noise_rate:
        return pairs
    if args.noise_kind in LABEL_KINDS:
        own = np.arange(len(pairs))
        row_of = {"text": pairs.image_row} if isinstance(pairs, Pairs) else dict.fromkeys(pairs.labels.given, own)
        noisy = pairs.with_labels(*add_label_noise(pairs.labels, args, row_of))
    elif args.noise_kind == "semantic":
        near = {"text_embeds": embed_by_words(pairs.captions), "near_by": NEAR_BY}
        noisy = add_drawn(pairs, args.noise_kind, args.noise_rate, args.noise_seed, args.noise_keep_none, **near)
    else:
        noisy = add_drawn(pairs, args.noise_kind, args.noise_rate, args.noise_seed, args.noise_keep_none)
    if (doubt := shortfall(noisy.pedigree)) is not None:
        logger.warning(doubt)
    return noisy


def add_drawn(
    pairs: Pairs,
    kind: str,
    rate: float,
    seed: int,
    keep_none: bool = False,
    text_embeds: Tensor | None = None,
    k: int = 10,
    **more,
) -> Pairs:
    """Draws noise over the pairs, see `draw_noise`; `more` enters the pedigree.

    Raises:
        InputError: the draw cannot be made.
    """
    image_of_caption = pairs.image_id[pairs.image_row]
    try:
        noise = draw_noise(kind, rate, seed, image_of_caption, pairs.captions, text_embeds, keep_none, k)
    except ValueError as error:
        raise InputError(str(error)) from error
    told = {} if kind in TEXT_KINDS else {"keep_none": keep_none}
    if kind == "semantic":
        cosine = similarity_to_source(text_embeds, noise.source[noise.is_noisy], np.flatnonzero(noise.is_noisy))
        told = {"k": k, "mean_cosine": round(float(cosine.mean()), 4) if len(cosine) else None}
    return pairs.with_noise(noise, pedigree_of(noise, kind, seed, **told, **more))


def add_published(pairs: Pairs, path: str | Path, kind: str = "shuffle", rate: float | None = None) -> Pairs:
    """Moves the captions as a published draw does.

    Args:
        pairs: with c captions for each picture, picture after picture.
        path: of the .npy file, see `draws.load_draw`, or of a text file of captions, see `load_caption_lines`.
        kind: "shuffle_images" if the draw must be of image level.
        rate: that the draw must have, within one percentage point; of a text file that its name states, if left out.

    Raises:
        InputError: the file is none, or not for such pairs.
    """
    c = _captions_per_picture(pairs, path)
    if Path(path).suffix == ".txt":
        return _add_caption_lines(pairs, path, kind, rate, c)
    if c == 1:
        raise InputError(
            f"The draw {path} cannot be read for pictures of one caption: its two layouts look alike; leave it out."
        )
    draw = load_draw(path, c, level="image" if kind == "shuffle_images" else None, nominal=rate)
    if len(draw.noise.source) != len(pairs):
        raise InputError(
            f"The draw {path} is for {len(draw.noise.source)} captions, {c} to a picture, but there are {len(pairs)} "
            f"to train on; it fits its own data set alone, whole and in its order."
        )
    kind = "shuffle_images" if draw.level == "image" else "shuffle"
    pedigree = pedigree_of(draw.noise, kind, None, file=Path(path).name)
    return pairs.with_noise(draw.noise, pedigree | {"family": draw.family, "sha256": draw.sha256})


def _captions_per_picture(pairs: Pairs, path: str | Path) -> int:
    """How many captions each picture has, picture after picture, which published draws count on."""
    counts = np.bincount(pairs.image_row, minlength=len(pairs.image_id))
    c = int(counts[0])
    if (wrong := np.flatnonzero(counts != c)).size:
        raise InputError(
            f"The draw {path} is for equally many captions to each picture, but the picture in row "
            f"{pairs.row[wrong[0]]} has {counts[wrong[0]]} and the first one {c}; leave noise_file out."
        )
    if not np.array_equal(pairs.image_row, np.repeat(np.arange(len(counts)), c)):
        raise InputError(
            f"The draw {path} counts captions picture by picture, but here those of a picture lie apart; sort rows."
        )
    return c


def _add_caption_lines(pairs: Pairs, path: str | Path, kind: str, rate: float | None, c: int) -> Pairs:
    """Moves the captions to where a file like NPC's has them; its name may say the rate."""
    nominal = stated_rate(path) if rate is None else rate
    lines = load_caption_lines(path, pairs.name.astype(str).tolist(), c, pairs.captions, nominal)
    noise = lines.noise
    if nominal is not None and abs(noise.realised - nominal) > 0.01:
        by = "is claimed." if rate is not None else "is in its name; is it the file it says, and of these pairs?"
        raise InputError(f"{path} has {noise.realised:.2%} of wrong captions, but a rate of {nominal:.2%} {by}")
    if kind == "shuffle_images" and (noise.noise_source.reshape(-1, c) != noise.noise_source[::c, None]).any():
        raise InputError(f"{path} is a draw of caption level, not of image level.")
    told = {"file": Path(path).name, "sha256": sha256_of_file(path), "ambiguous": lines.ambiguous}
    return pairs.with_noise(noise, pedigree_of(noise, kind, None) | told)
