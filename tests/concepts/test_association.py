import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from hf_noisy_itm.concepts.association import association
from hf_noisy_itm.concepts.vocabulary import Vocabulary


def of(rows):
    occurs = csr_matrix(np.array(rows, dtype=np.int64))
    return Vocabulary([f"word{number}" for number in range(occurs.shape[1])], occurs)


def naive(rows, min_together, min_strength):
    """Bouma's formula pair by pair."""
    captions, words = len(rows), len(rows[0])
    found = np.zeros((words, words))
    for i in range(words):
        for j in range(words):
            together = sum(row[i] and row[j] for row in rows)
            if i == j or together < min_together:
                continue
            share = together / captions
            own = [sum(row[word] for row in rows) / captions for word in (i, j)]
            strength = 1.0 if share == 1 else math.log(share / (own[0] * own[1])) / -math.log(share)
            found[i, j] = strength if strength >= min_strength else 0.0
    return found


@given(
    st.integers(1, 12).flatmap(
        lambda captions: st.lists(
            st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=captions, max_size=captions
        )
    ),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.05, 0.4]),
)
def test_it_equals_a_loop_over_pairs_of_words(rows, min_together, min_strength):
    strength = association(of(rows), min_together, min_strength)
    wanted = naive(rows, min_together, min_strength)
    unsure = np.abs(wanted - min_strength) < 1e-9  # on the edge rounding decides
    assert strength[~unsure] == pytest.approx(np.clip(wanted, 0, 1)[~unsure], abs=1e-6)
    assert (strength == strength.T).all()
    assert not strength.diagonal().any()


def test_by_hand():
    # Words 0 and 1 always together, in half of the captions: log(2) / log(2). Word 2 by chance: p = 1/4 = 1/2 * 1/2.
    strength = association(of([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]]), 1)
    assert strength.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_words_that_avoid_each_other_are_not_tied():
    assert not association(of([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]]), 1, 0.0).any()
