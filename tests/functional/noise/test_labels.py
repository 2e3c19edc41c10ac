import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.noise import (
    LABEL_KINDS,
    draw_label_noise,
    flip_labels_asymmetric,
    flip_labels_by_row,
    flip_labels_symmetric,
)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


labels_of_four = st.lists(st.integers(0, 3), max_size=60)


@given(labels_of_four, st.floats(0, 1), st.integers(0, 2**32))
def test_symmetric_noise_stays_within_the_classes_and_the_share(labels, rate, seed):
    count = int(rate * len(labels) + 1e-9)
    for exclude_true in (False, True):
        noise = flip_labels_symmetric(np.array(labels, int), 4, rate, generator(seed), exclude_true)
        assert set(noise.labels) <= {0, 1, 2, 3}
        assert (noise.is_noisy == (noise.labels != labels)).all()
        assert noise.is_noisy.sum() == count if exclude_true else noise.is_noisy.sum() <= count
        assert noise.nominal == rate


@given(labels_of_four, st.floats(0, 1), st.integers(0, 2**32))
def test_asymmetric_noise_follows_the_mapping(labels, rate, seed):
    labels = np.array(labels, int)
    noise = flip_labels_asymmetric(labels, 4, rate, generator(seed))
    assert noise.is_noisy.sum() == int(rate * len(labels) + 1e-9)
    assert (noise.labels[noise.is_noisy] == (labels[noise.is_noisy] + 1) % 4).all()
    mapping = np.array([0, 0, 3, 2])
    noise = flip_labels_asymmetric(labels, 4, rate, generator(seed), mapping)
    assert (noise.labels[noise.is_noisy] == mapping[labels[noise.is_noisy]]).all()
    assert not noise.is_noisy[labels == 0].any()


def test_every_class_is_as_likely():
    # All 20,000 labels are 2 of 5 classes: each class is drawn 4,000 times, or each other one 5,000 times.
    labels = np.full(20_000, 2)
    drawn = np.bincount(flip_labels_symmetric(labels, 5, 1.0, generator()).labels)
    assert drawn == pytest.approx(np.full(5, 4000), abs=5 * 57)
    drawn = np.bincount(flip_labels_symmetric(labels, 5, 1.0, generator(), exclude_true=True).labels)
    assert drawn == pytest.approx(np.array([5000, 5000, 0, 5000, 5000]), abs=5 * 62)


def test_the_effective_rate_is_lower_where_the_true_class_may_be_drawn():
    labels = np.arange(50_000) % 10
    noise = flip_labels_symmetric(labels, 10, 0.6, generator())
    assert noise.realised == pytest.approx(0.6 * 9 / 10, abs=5 * 0.0011)  # sqrt(30000 * .9 * .1) / 50000 = 0.001
    assert flip_labels_symmetric(labels, 10, 0.6, generator(), exclude_true=True).realised == 0.6


def test_modalities_get_independent_draws():
    labels = np.tile(np.arange(20_000) % 10, (2, 1))
    noise = flip_labels_symmetric(labels, 10, 0.6, generator(), exclude_true=True)
    assert noise.realised.tolist() == [0.6, 0.6]
    both = (noise.is_noisy[0] & noise.is_noisy[1]).mean()
    assert both == pytest.approx(0.36, abs=5 * 0.0034)
    single = flip_labels_symmetric(labels[0], 10, 0.6, generator(), exclude_true=True)
    assert (noise.labels[0] == single.labels).all()


def test_picks_are_nested_over_rates():
    labels = np.arange(100) % 10
    low, high = (flip_labels_symmetric(labels, 10, rate, generator(), True) for rate in (0.2, 0.6))
    assert (low.labels[low.is_noisy] == high.labels[low.is_noisy]).all()


def word(seed, draw, row):
    """Output row + 1 of SplitMix64, started as draw.py documents it, in Python's integers."""
    start = hashlib.sha256(f"{seed}/label_symmetric_by_row/{draw}".encode()).digest()[:8]
    state = (int.from_bytes(start, "little") + (row + 1) * 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


@given(labels_of_four, st.floats(0, 1), st.integers(0, 2**32), st.booleans(), st.integers(0, 2**40))
def test_noise_by_row_is_what_a_loop_over_rows_draws(labels, rate, seed, exclude_true, first):
    expected = []
    for row, label in enumerate(labels, first):
        if (word(seed, 0, row) >> 11) * 2.0**-53 < rate:
            label = (label + 1 + word(seed, 1, row) % 3) % 4 if exclude_true else word(seed, 1, row) % 4
        expected.append(label)
    rows = range(first, first + len(labels))
    noise = flip_labels_by_row(np.array(labels, int), 4, rate, seed, exclude_true, rows)
    assert noise.labels.tolist() == expected
    assert (noise.is_noisy == (noise.labels != labels)).all()


def test_noise_by_row_needs_no_other_row_and_is_nested_over_rates():
    labels = np.arange(5000) % 10
    whole = flip_labels_by_row(labels, 10, 0.4, 3)
    order = np.random.default_rng(0).permutation(5000)[:1000]
    assert (flip_labels_by_row(labels[order], 10, 0.4, 3, rows=order).labels == whole.labels[order]).all()
    low = flip_labels_by_row(labels, 10, 0.2, 3)
    assert (low.labels[low.is_noisy] == whole.labels[low.is_noisy]).all()
    assert whole.realised == pytest.approx(0.4 * 9 / 10, abs=5 * 0.0069)  # sqrt(.36 * .64 / 5000)
    assert flip_labels_by_row(labels, 10, 0.4, 3, True).realised == pytest.approx(0.4, abs=5 * 0.0069)
    assert not (flip_labels_by_row(labels, 10, 0.4, 4).labels == whole.labels).all()


def test_every_kind_by_its_name():
    labels = np.arange(30) % 3
    by_name = {
        "label_symmetric": flip_labels_symmetric(labels, 3, 0.6, generator(5)),
        "label_asymmetric": flip_labels_asymmetric(labels, 3, 0.6, generator(5)),
        "label_symmetric_by_row": flip_labels_by_row(labels, 3, 0.6, 5),
    }
    assert tuple(by_name) == LABEL_KINDS
    for kind, expected in by_name.items():
        noise = draw_label_noise(kind, 0.6, 5, labels, 3)
        assert noise.labels.tolist() == expected.labels.tolist()
        assert noise.sha256 == hashlib.sha256(expected.labels.astype("<i8").tobytes()).hexdigest()
    assert draw_label_noise("label_symmetric", 1.0, 5, labels, 3, exclude_true=True).is_noisy.all()
    part = draw_label_noise("label_symmetric_by_row", 0.6, 5, labels[7:], 3, rows=range(7, 30))
    assert part.labels.tolist() == by_name["label_symmetric_by_row"].labels[7:].tolist()


def test_the_clean_labels_are_left_alone():
    labels = np.zeros(9, int)
    flip_labels_asymmetric(labels, 2, 1.0, generator())
    assert not labels.any()


def test_recorded_labels():
    """Literal, so that another version of NumPy or another machine cannot draw otherwise unnoticed."""
    labels = np.arange(10) % 3
    assert flip_labels_symmetric(labels, 3, 0.6, generator()).labels.tolist() == [2, 1, 1, 2, 1, 2, 0, 1, 1, 0]
    assert flip_labels_symmetric(labels, 3, 0.6, generator(), True).labels.tolist() == [1, 2, 0, 1, 1, 2, 2, 1, 1, 0]
    assert flip_labels_asymmetric(labels, 3, 0.6, generator()).labels.tolist() == [1, 2, 0, 1, 1, 2, 1, 1, 0, 0]
    assert flip_labels_by_row(labels, 3, 0.6, 0).labels.tolist() == [1, 1, 0, 1, 1, 2, 1, 2, 2, 1]


@pytest.mark.parametrize("labels", [[], np.zeros((2, 0), int)])
def test_no_labels_are_no_problem(labels):
    noise = flip_labels_symmetric(labels, 3, 0.5, generator())
    assert noise.labels.shape == np.shape(labels)
    assert not np.any(noise.realised)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: flip_labels_symmetric([1, 2, 3], 3, 0.5, generator()),
            "classes 0 to 2, got 1 to 3; classes are count",
        ),
        (lambda: flip_labels_symmetric([-1, 2], 3, 0.5, generator()), "got -1 to 2"),
        (lambda: flip_labels_symmetric([0.5], 3, 0.5, generator()), r"must be integers .* got float64 \(1,\)"),
        (lambda: flip_labels_symmetric(np.zeros((1, 1, 1), int), 3, 0.5, generator()), r"got int64 \(1, 1, 1\)"),
        (lambda: flip_labels_symmetric([0], 3, 1.2, generator()), "between 0 and 1, got 1.2"),
        (lambda: flip_labels_symmetric([0], 1, 0.5, generator(), True), "at least 2 classes to draw from, got 1"),
        (lambda: flip_labels_symmetric([], 0, 0.5, generator()), "at least 1 classes to draw from, got 0"),
        (lambda: flip_labels_asymmetric([0], 2, 0.5, generator(), [0]), r"one class for each of 2, got shape \(1,\)"),
        (lambda: flip_labels_asymmetric([0], 2, 0.5, generator(), [0, 2]), "The mapping must be classes 0 to 1"),
        (lambda: flip_labels_by_row([[0]], 2, 0.5, 1), r"of one length, got \(1, 1\) and \(1,\)"),
        (lambda: flip_labels_by_row([0, 1], 2, 0.5, 1, rows=[3]), r"got \(2,\) and \(1,\)"),
        (lambda: flip_labels_by_row([0], 1, 0.5, 1, True), "at least 2 classes to draw from, got 1"),
        (
            lambda: draw_label_noise("label_swap", 0.5, 0, [0], 2),
            "no kind of noise 'label_swap' on labels; there",
        ),
        (lambda: draw_label_noise("label_symmetric", 0.5, -1, [0], 2), "must not be negative, got -1"),
        (lambda: draw_label_noise("label_asymmetric", 0.5, 0, [0], 2, True), "exclude_true is for symmetric noise"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
