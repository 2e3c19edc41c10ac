"""Draws that are the same on every machine and with every version of NumPy.

NumPy promises that the raw words of a bit generator stay the same, and nothing of the kind for `choice`, `permutation`
or `random` of a `Generator` (NEP 19). So picks and permutations are made here from raw words, by a stable sort. Take
`numpy.random.Generator(numpy.random.PCG64(seed))`: which bit generator `default_rng` takes may change.

Draws that must work on a stream, where a row does not know the others, are hashes of seed, kind and row number.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

_GAMMA = 0x9E3779B97F4A7C15


def random_words(count: int, rng: np.random.Generator) -> np.ndarray:
    """The generator's next `count` words, uint64 (count,).

    Raises:
        ValueError: its words have 32 bits only (MT19937).
    """
    if isinstance(rng.bit_generator, np.random.MT19937):
        raise ValueError("MT19937 gives words of 32 bits: use numpy.random.Generator(numpy.random.PCG64(seed)).")
    return rng.bit_generator.random_raw(count)


def random_order(count: int, rng: np.random.Generator) -> np.ndarray:
    """A random permutation of 0..count-1, int64 (count,): the order of `count` words, the first of equals first."""
    return np.argsort(random_words(count, rng), kind="stable").astype(np.int64, copy=False)


def share_of(count: int, rate: float) -> int:
    """`floor(rate * count)`, unharmed by rounding: 29 of 100 at 0.29."""
    return int(rate * count + 1e-9)


def hash_bits(seed: int, kind: str, rows: np.ndarray, draw: int = 0) -> np.ndarray:
    """Random words that depend on their arguments alone, each on its own row number only.

    The word of row i is output i + 1 of the generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), started at
    the first eight bytes, the lowest first, of the SHA-256 of "seed/kind/draw".

    Args:
        seed: any integer.
        kind: what the draw is for; other kinds get other words.
        rows: numbers of the rows, integers (N,).
        draw: which draw for a row, if it needs several.

    Returns:
        uint64 (N,).

    Raises:
        ValueError: a row number is no integer.
    """
    state = int.from_bytes(hashlib.sha256(f"{int(seed)}/{kind}/{int(draw)}".encode()).digest()[:8], "little")
    word = np.array(row_numbers(rows), ndmin=1).view(np.uint64)
    word = (word + np.uint64(1)) * np.uint64(_GAMMA) + np.uint64(state)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def row_numbers(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Numbers of rows as int64; raises ValueError if they are no integers, which would be cut to such."""
    rows = np.asarray(rows)
    if rows.size and rows.dtype.kind not in "iu":
        raise ValueError(f"Row numbers are integers, got {rows.dtype}: {rows.flat[0]!r}.")
    return rows.astype(np.int64)


def hash_uniform(seed: int, kind: str, rows: np.ndarray) -> np.ndarray:
    """One number in [0, 1) for each row, float64 (N,): the upper 53 bits of draw 0.

    Rows with a number below 0.2 are among those below 0.4: what is chosen at a rate is chosen at every higher one.
    """
    return (hash_bits(seed, kind, rows) >> np.uint64(11)) * 2.0**-53
