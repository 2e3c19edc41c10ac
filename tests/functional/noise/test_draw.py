import hashlib

import numpy as np
import pytest

from hf_noisy_itm.functional.noise import hash_bits, hash_uniform, random_order
from hf_noisy_itm.functional.noise.draw import share_of

MASK = 2**64 - 1


def generator(seed):
    return np.random.Generator(np.random.PCG64(seed))


def splitmix64(state, count):
    """The published generator, one output after the other."""
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        word = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
        yield word ^ (word >> 31)


def test_the_loop_above_gives_the_published_outputs():
    assert list(splitmix64(0, 3)) == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize(("seed", "kind", "draw"), [(0, "partial", 0), (-3, "truncated", 2), (10**30, "é", 1)])
def test_words_are_those_of_splitmix64_from_the_documented_state(seed, kind, draw):
    state = int.from_bytes(hashlib.sha256(f"{seed}/{kind}/{draw}".encode()).digest()[:8], "little")
    assert hash_bits(seed, kind, np.arange(20), draw).tolist() == list(splitmix64(state, 20))


def test_a_word_depends_on_its_own_row_only():
    whole = hash_bits(7, "partial", np.arange(1000))
    assert [int(hash_bits(7, "partial", np.array([row]))[0]) for row in (0, 5, 999)] == whole[[0, 5, 999]].tolist()
    shuffled = np.random.default_rng(0).permutation(1000)
    assert (hash_bits(7, "partial", shuffled) == whole[shuffled]).all()
    assert hash_bits(7, "partial", np.array([-1, 2**62])).shape == (2,)


def test_seed_kind_and_draw_all_matter():
    rows = np.arange(50)
    draws = [hash_bits(0, "a", rows), hash_bits(1, "a", rows), hash_bits(0, "b", rows), hash_bits(0, "a", rows, 1)]
    assert len({draw.tobytes() for draw in draws}) == 4


def test_numbers_are_uniform():
    numbers = hash_uniform(0, "partial", np.arange(100_000))
    assert 0 <= numbers.min() <= numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert abs(counts - 5000).max() < 5 * np.sqrt(5000 * 0.95)
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 5 / np.sqrt(100_000)


def test_recorded_draws():
    """Literal, so that another version of NumPy or another machine cannot draw otherwise unnoticed."""
    assert random_order(12, generator(0)).tolist() == [11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9]
    assert hash_bits(0, "partial", np.arange(3)).tolist() == [
        7385197379988210057,
        18001733358819892171,
        14805162222104829528,
    ]
    assert hash_uniform(0, "partial", np.arange(3)).tolist() == [
        0.4003523521808736,
        0.9758759208068651,
        0.8025894522603186,
    ]


def test_an_order_is_that_of_the_generators_words():
    words = [int(np.random.PCG64(3).random_raw(40)[place]) for place in range(40)]
    assert random_order(40, generator(3)).tolist() == sorted(range(40), key=words.__getitem__)
    assert random_order(0, generator(3)).tolist() == []


def test_a_generator_of_short_words_is_refused():
    with pytest.raises(ValueError, match="32 bits: use numpy.random.Generator"):
        random_order(3, np.random.Generator(np.random.MT19937(0)))


@pytest.mark.parametrize(
    ("count", "rate", "share"), [(10, 0.3, 3), (100, 0.29, 29), (7, 0.5, 3), (5, 1, 5), (0, 1, 0)]
)
def test_the_share_is_rounded_down_but_not_by_rounding_errors(count, rate, share):
    assert share_of(count, rate) == share
