"""Noise draws that papers published: which picture each caption was paired with.

"20 % noise" is not one benchmark: families of draws differ in which captions they move, and in whether captions move
one by one or five together, so figures on different families do not compare. A draw is recognised by the SHA-256 of
its content. Two layouts of .npy files are around, both vectors of integers over P pictures with c captions each:

- "image_of_caption", (c P,): caption i is paired with picture `array[i]`; clean is `i // c`. Flickr30K's.
- "image_permutation", (P,): the captions of picture i come from picture `array[i]`; clean is `i`. RCL's for MSCOCO.

NPC publishes text files instead: `caption_lines.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from ..files import atomic_path
from ..functional.noise import Noise
from ._npy import read_int_array, sha256_of

Layout = Literal["image_of_caption", "image_permutation"]
Level = Literal["caption", "image"]


@dataclass(frozen=True)
class Family:
    """A published file: its name, level and rate, and in whose repository it lies."""

    name: str
    level: Level
    nominal: float
    origin: str


# by the SHA-256 of the entries as little-endian int64
KNOWN = {
    "4d367b559264595097fff46cf1314e54e4f262e0139ffbf77a70e32746c13ee7": Family(
        "f30k_ncr_0.2", "caption", 0.2, "repository of BiCro; NCR, BiCro and PC2 use it"
    ),
    "8152f92aa51c5afc86bdaae64d228d975d994bdcf0724b645ed3c69969a4ddc0": Family(
        "f30k_ncr_0.4", "caption", 0.4, "repository of BiCro; NCR, BiCro and PC2 use it"
    ),
    "22619804ac02a41bf4ca3f83ee15cf064ea76c076a5994413d69d9acd4c29064": Family(
        "f30k_decl_0.2", "image", 0.2, "repository of L2RM; DECL, RCL and L2RM use it"
    ),
    "90c4d0838e885fa94a97ba026e807f01db7d583e261bd6a98ed2d877ab8174f7": Family(
        "f30k_decl_0.4", "image", 0.4, "repository of L2RM; DECL, RCL and L2RM use it"
    ),
    "0b1a905728231970f13031eb29b8b2fe23dbad05033fdf92d5cffe4b22a06497": Family(
        "coco_rcl_0.2", "image", 0.2, "repository of RCL"
    ),
}


@dataclass(frozen=True)
class PublishedDraw:
    """A draw with its provenance.

    Args:
        noise: the draw; pictures are named by their number 0..P-1, captions are c to a picture, in order. `source` is
            a permutation: captions that stay with their picture keep their row, the others fill the rows left free
            there in ascending order, so that the set of pairs is the published one.
        family: name of a known family, or None.
        level: whether captions moved one by one ("caption") or all of a picture together ("image").
        layout: of the file.
        sha256: of the file's entries as little-endian int64.
    """

    noise: Noise
    family: str | None
    level: Level
    layout: Layout
    sha256: str

    @property
    def provenance(self) -> dict:
        """What a card should say of the draw, ready for JSON."""
        return {
            "family": self.family,
            "kind": f"{self.level} level",
            "nominal": self.noise.nominal,
            "realised": self.noise.realised,
            "captions": len(self.noise.source),
            "sha256": self.sha256,
        }


def load_draw(
    path: str | Path,
    captions_per_image: int = 5,
    *,
    family: str | None = None,
    level: Level | None = None,
    nominal: float | None = None,
    layout: Layout | None = None,
) -> PublishedDraw:
    """Loads a published draw from a .npy file and checks it against what is claimed of it.

    Args:
        path: .npy file with a vector of integers.
        captions_per_image: c, at least 1.
        family: name of the known family that the file must be.
        level: level that the draw must have. A draw that moves nothing has both.
        nominal: rate that it must have, within one percentage point; known families bring their own.
        layout: of the file; found out if left out, which needs more than one caption per picture.

    Raises:
        InputError: the file does not read as a vector of integers, is no draw of these layouts (an entry is no
            picture, or a picture has another number of captions than it should), or is not what is claimed.
    """
    array = read_int_array(path)
    sha256 = sha256_of(array)
    known = KNOWN.get(sha256)
    if family is not None and (known is None or known.name != family):
        raise InputError(f"{path} is {f'the draw {known.name}' if known else 'no draw that we know'}, not {family!r}.")
    layout = _layout(array, captions_per_image, layout, path)
    if layout == "image_of_caption":
        source, found = _source_of_index(array, captions_per_image)
    else:
        within = np.arange(captions_per_image)
        source, found = (array[:, None] * captions_per_image + within).reshape(-1), "image"
    own = np.arange(len(source)) // captions_per_image
    noise_source = source // captions_per_image
    stated = nominal if nominal is not None else known.nominal if known else None
    noise = Noise(source, noise_source != own, noise_source, stated)
    if level is not None and level != found and noise.realised:
        raise InputError(f"{path} is a draw of {found} level, not of {level} level.")
    if stated is not None and abs(noise.realised - stated) > 0.01:
        raise InputError(f"{path} has {noise.realised:.2%} of wrong captions, but a rate of {stated:.2%} is claimed.")
    return PublishedDraw(noise, known.name if known else None, level or found, layout, sha256)


def save_draw(
    path: str | Path, noise: Noise, captions_per_image: int = 5, layout: Layout = "image_of_caption"
) -> None:
    """Writes a draw in a published layout, atomically, as int64.

    Args:
        path: .npy file to write.
        noise: a draw whose `source` is a permutation, over captions that are c to a picture, in order.
        captions_per_image: c, at least 1.
        layout: "image_permutation" only if all captions of each picture moved together, in their order.

    Raises:
        InputError: the draw does not fit the layout.
    """
    count = len(noise.source)
    if captions_per_image < 1 or not count or count % captions_per_image:
        raise InputError(f"{count} captions are not {captions_per_image} to a picture.")
    if noise.captions is not None or not np.array_equal(np.sort(noise.source), np.arange(count)):
        raise InputError("Only a draw that permutes captions can be written as an index of pictures.")
    own = np.arange(count) // captions_per_image
    if layout == "image_of_caption":
        array = np.empty(count, dtype="<i8")
        array[noise.source] = own
    else:
        array = (noise.source[::captions_per_image] // captions_per_image).astype("<i8")
        if not np.array_equal(noise.source, array[own] * captions_per_image + np.arange(count) % captions_per_image):
            raise InputError("Captions of one picture went different ways: write the layout image_of_caption.")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _layout(array: np.ndarray, c: int, claimed: Layout | None, path: str | Path) -> Layout:
    """Finds out the layout, and checks that the array is one."""
    if c < 1:
        raise InputError(f"captions_per_image must be at least 1, got {c}.")
    if c == 1 and claimed is None:
        raise InputError(f"With one caption per picture, say which layout {path} has; it cannot be seen.")
    if claimed not in (None, "image_of_caption", "image_permutation"):
        raise InputError(f"There is no layout {claimed!r}; there are image_of_caption and image_permutation.")
    if array.min() < 0:
        raise InputError(f"{path} has the entry {array.min()} at place {array.argmin()}; pictures count from 0.")
    if array.max() >= len(array):
        raise InputError(
            f"{path} names picture {array.max()} at place {array.argmax()}, but has {len(array)} entries."
        )
    permutation = bool((np.bincount(array, minlength=len(array)) == 1).all())
    layout = claimed or ("image_permutation" if permutation else "image_of_caption")
    if layout == "image_permutation":
        if not permutation:
            raise InputError(f"{path} is no permutation: picture {np.bincount(array).argmax()} stands there twice.")
        return layout
    if len(array) % c:
        raise InputError(f"{path} has {len(array)} entries, which are not {c} to a picture.")
    pictures = len(array) // c
    if array.max() >= pictures:
        raise InputError(
            f"{path} names picture {array.max()}, but {len(array)} captions are of pictures 0 to {pictures - 1}."
        )
    times = np.bincount(array, minlength=pictures)
    if (times != c).any():
        picture = int((times != c).argmax())
        raise InputError(
            f"{path} is no permutation of captions: picture {picture} has {times[picture]} of them, not {c}."
        )
    return layout


def _source_of_index(array: np.ndarray, c: int) -> tuple[np.ndarray, Level]:
    """Row whose caption stands in each row, and the level of the draw."""
    own = np.arange(len(array)) // c
    stays = array == own
    free = np.flatnonzero(~stays)  # rows, by picture in ascending order, that need a caption of elsewhere
    source = np.arange(len(array), dtype=np.int64)
    source[free] = free[np.argsort(array[free], kind="stable")]
    together = (array.reshape(-1, c) == array[::c, None]).all()
    return source, "image" if together and c > 1 else "caption"
