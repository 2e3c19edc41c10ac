"""NPC's noisy captions as text files, in the folder `annotations/scan_split` of its data tree.

`train_ids.txt` has one picture id per line, `train_caps.txt` c captions per picture in the same order, and
`{ratio}_noise_train_caps.txt` the same captions in another order: line i is paired with picture `i // c`. What stands
in a line is not documented; read here is either the caption alone or a key, a tab and the caption, all lines alike.
This form, and how lines are traced back to where they came from, are ours.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import atomic_path
from ..functional.noise import Noise


@dataclass(frozen=True)
class CaptionLines:
    """Captions as a file has them.

    Args:
        captions: N strings, in order; line i belongs to picture `i // c`.
        keys: what stands before the tab, N strings, or None.
        image_ids: of each line's picture, (N,), strings.
        noise: where each caption comes from, if the clean file was given. `source` is a permutation of lines.
        ambiguous: how many lines have a text that several lines of the clean file have, and that no key tells apart.
    """

    captions: list[str]
    keys: list[str] | None
    image_ids: np.ndarray
    noise: Noise | None = None
    ambiguous: int = 0


def load_caption_lines(
    path: str | Path,
    ids: str | Path | Sequence[str],
    captions_per_image: int,
    clean: str | Path | Sequence[str] | None = None,
    nominal: float | None = None,
) -> CaptionLines:
    """Reads a file of captions, and traces its lines back to a clean file.

    A line is traced by key and caption where both files have the same pairs of these, each once; else by its text. A
    text that several clean lines have is traced to the own line, then to a line of the own picture, then to the first
    line that is left: so no more lines are called noisy than must be, and `ambiguous` counts them.

    Args:
        path: the captions, UTF-8.
        ids: file of picture ids, one per line, each once; or the ids.
        captions_per_image: c: 5 for MSCOCO and Flickr30K, 1 for CC120K.
        clean: file of the captions before noise; or these captions, in the order of the pictures.
        nominal: rate of the noise, if known.

    Raises:
        InputError: a file cannot be read, there are not c captions per id, an id stands there twice, lines differ in
            their form, or a caption is not in the clean file as often.
    """
    if captions_per_image < 1:
        raise InputError(f"captions_per_image must be at least 1, got {captions_per_image}.")
    ids, ids_name = (_read_lines(ids), ids) if isinstance(ids, str | Path) else (list(ids), "The list of ids")
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"{ids_name} has the id {twice!r} twice; one line per picture is expected.")
    keys, captions = _read_captions(path, len(ids), captions_per_image)
    image_ids = np.repeat(np.asarray(ids, dtype=str), captions_per_image)
    if clean is None:
        return CaptionLines(captions, keys, image_ids)
    clean_keys, clean_captions, clean_name = None, clean, "the data set"
    if isinstance(clean, str | Path):
        (clean_keys, clean_captions), clean_name = _read_captions(clean, len(ids), captions_per_image), clean
    before, lines = list(clean_captions), captions
    if keys and clean_keys:
        keyed = list(zip(clean_keys, clean_captions, strict=True)), list(zip(keys, captions, strict=True))
        if len(set(keyed[0])) == len(keyed[0]) and set(keyed[0]) == set(keyed[1]):
            before, lines = keyed
    source, ambiguous = _trace(lines, before, captions_per_image, path, clean_name)
    noise_source = image_ids[source]
    noise = Noise(source, noise_source != image_ids, noise_source, nominal)
    return CaptionLines(captions, keys, image_ids, noise, ambiguous)


def save_caption_lines(path: str | Path, captions: Sequence[str], keys: Sequence[str] | None = None) -> None:
    """Writes captions one per line, atomically; with keys as key, tab, caption.

    Raises:
        InputError: a caption or key has a line break or a tab, which the form has no room for.
    """
    for number, text in enumerate([*captions, *(keys or ())]):
        if any(sign in text for sign in "\n\r\t"):
            raise InputError(f"Text number {number} has a line break or a tab: {text[:80]!r}; replace it by a space.")
    if keys is not None and len(keys) != len(captions):
        raise InputError(f"There are {len(captions)} captions but {len(keys)} keys.")
    lines = captions if keys is None else [f"{key}\t{caption}" for key, caption in zip(keys, captions, strict=True)]
    with atomic_path(path) as temporary:
        temporary.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))


def _read_lines(path: str | Path) -> list[str]:
    """Lines as line feeds part them: captions may hold other characters that Unicode calls line breaks."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 in line {line}; convert it.") from error
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _read_captions(path: str | Path, pictures: int, c: int) -> tuple[list[str] | None, list[str]]:
    lines = _read_lines(path)
    if len(lines) != pictures * c:
        whole = pictures and len(lines) % (pictures * c) == 0
        raise InputError(
            f"{path} has {len(lines)} captions, but {pictures} pictures with {c} each need {pictures * c}"
            + ("; NPC's script appends a second copy when it runs again, so make the file anew." if whole else ".")
        )
    with_tab = ["\t" in line for line in lines]
    if not any(with_tab):
        return None, lines
    if not all(with_tab):
        kinds = "a key, a tab and a caption", "a caption alone"
        first, other = kinds if with_tab[0] else kinds[::-1]
        raise InputError(f"{path} has {first} in line 1 but {other} in line {with_tab.index(not with_tab[0]) + 1}.")
    keys, captions = zip(*(line.split("\t", 1) for line in lines), strict=True)
    return list(keys), list(captions)


def _trace(lines: list, clean: list, c: int, path: str | Path, clean_name: str | Path) -> tuple[np.ndarray, int]:
    """Line of the clean file that each line comes from, int64 (N,), and how many have a text that is not unique."""
    source = np.full(len(lines), -1, dtype=np.int64)
    used = np.zeros(len(lines), dtype=bool)
    for number, line in enumerate(lines):
        if line == clean[number]:
            source[number], used[number] = number, True
    for number in np.flatnonzero(source < 0).tolist():
        first = number // c * c
        for near in range(first, first + c):
            if not used[near] and clean[near] == lines[number]:
                source[number], used[near] = near, True
                break
    left = defaultdict(deque)
    for number in np.flatnonzero(~used).tolist():
        left[clean[number]].append(number)
    for number in np.flatnonzero(source < 0).tolist():
        if not left[lines[number]]:
            raise InputError(
                f"{path} has in line {number + 1} a caption that {clean_name} does not have, or not as often; "
                f"are they of one data set?"
            )
        source[number] = left[lines[number]].popleft()
    times = Counter(clean)
    return source, sum(times[line] > 1 for line in lines)
