import re
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm.functional.noise import TEXT_KINDS, damage_captions
from hf_noisy_itm.functional.noise._vocabulary import CLASSES
from hf_noisy_itm.functional.noise.text import clutter, cut_short, replace_detail

NUMBERS = st.integers(0, 2**64 - 1)
WORDS = [form for members in CLASSES.values() for member in members for form in member]


@cache
def all_replacements(caption):
    """Of captions with up to four details; no class has more than 12 members."""
    return {replace_detail(caption, first, second) for first in range(4) for second in range(12)} - {caption}


def damaged(captions, kind, rate, seed=0, rows=None):
    return damage_captions(captions, range(len(captions)), kind, rate, seed, rows)


SENTENCES = [
    "A red car behind the house.",
    "Two dogs run.",
    "hm",
    "",
    "  \n",
    "An old man with a blue cup",
    "犬がいる",
]


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_noisy_rows_are_those_whose_text_changed_and_no_caption_moves(kind):
    captions = SENTENCES * 50
    noise = damaged(captions, kind, 0.6)
    assert noise.is_noisy.tolist() == [old != new for old, new in zip(captions, noise.captions, strict=True)]
    assert noise.source.tolist() == noise.noise_source.tolist() == list(range(len(captions)))
    assert noise.apply(captions) == noise.captions
    assert 0 < noise.realised < noise.nominal == 0.6
    assert captions == SENTENCES * 50


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_a_row_depends_on_its_number_and_its_caption_only(kind):
    captions = [f"{caption} {number}" for number, caption in enumerate(SENTENCES * 20)]
    whole = damaged(captions, kind, 0.7, seed=3)
    order = np.random.default_rng(0).permutation(len(captions))
    part = damaged([captions[row] for row in order[:50]], kind, 0.7, 3, order[:50])
    assert part.captions == [whole.captions[row] for row in order[:50]]
    stream = [damaged([caption], kind, 0.7, 3, [row]).captions[0] for row, caption in enumerate(captions)]
    assert stream == whole.captions
    others = [*captions[:7], *["something else"] * (len(captions) - 7)]
    assert damaged(others, kind, 0.7, 3).captions[:7] == whole.captions[:7]


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_the_damage_of_a_low_rate_is_part_of_that_of_a_higher_one(kind):
    captions = ["Two black dogs and a cat run under the old bridge"] * 400
    low, high, all_rows = (damaged(captions, kind, rate) for rate in (0.2, 0.4, 1.0))
    assert (low.is_noisy <= high.is_noisy).all()
    assert (low.is_noisy.sum(), high.is_noisy.sum()) == pytest.approx((80, 160), abs=5 * 10)
    assert all_rows.is_noisy.all()
    for less in (low, high):
        rows = np.flatnonzero(less.is_noisy)
        assert [less.captions[row] for row in rows] == [all_rows.captions[row] for row in rows]
    assert not damaged(captions, kind, 0.0).is_noisy.any()


def test_seed_and_kind_choose_other_rows():
    captions = ["a red car on the road"] * 300
    rows = {damaged(captions, kind, 0.5, seed).is_noisy.tobytes() for kind in TEXT_KINDS for seed in (0, 1)}
    assert len(rows) == 6


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_recorded_damage(kind):
    """Literal, so that no other version or machine damages otherwise unnoticed."""
    captions = ["Two dogs run on the grass", "A red car behind the house.", "a woman next to an old bus", "hm"]
    recorded = {
        "partial": ["Ten dogs run on the grass", "A red bicycle behind the house.", "a man next to an old bus", "hm"],
        "truncated": ["Two dogs", "A red", "a", "hm"],
        "duplicated": [
            "Two dogs Two dogs run on the grass",
            "a-red-car-behind-the-house-9506.jpg",
            "a_woman_next_to_an_old_bus_2751.jpg",
            "hm | buy online",
        ],
    }
    assert damaged(captions, kind, 1.0).captions == recorded[kind]


# replace_detail


def test_a_detail_by_hand():
    assert all_replacements("A cat on the left") == {
        *(f"A {animal} on the left" for animal in ("dog", "horse", "cow", "giraffe", "zebra")),  # not: a elephant
        "A cat on the right",
    }
    assert all_replacements("an elephant") == set()  # no other animal goes with "an"
    assert all_replacements("the elephant") == {f"the {a}" for a in ("dog", "cat", "horse", "cow", "giraffe", "zebra")}
    assert all_replacements("in front of it") == {"behind it"}
    assert all_replacements("left of it") == {"right of it"}


@pytest.mark.parametrize(
    ("caption", "others"),
    [
        ("GREY SKY", "RED"),
        ("Gray sky", "Red"),
        ("gray sky", "red"),
    ],
)
def test_the_case_is_kept_and_gray_is_grey(caption, others):
    got = {other.split()[0] for other in all_replacements(caption)}
    assert others in got
    assert not {word.lower() for word in got} & {"gray", "grey"}
    assert len(got) == 9


def test_phrases_keep_their_case_too():
    assert all_replacements("Behind the tree") == {"In front of the tree"}
    assert all_replacements("A Man Next To A Wall") >= {"A Man Far From A Wall"}
    assert all_replacements("BEHIND THE TREE") == {"IN FRONT OF THE TREE"}


@pytest.mark.parametrize(
    "caption",
    [
        "a hot dog",
        "he left the house",
        "all that's left of it",
        "right now",
        "all over town",
        "leaning over",
        "a fence behind",
        "seen from behind",
        "it is 10:30",
        "$5",
        "3.5 metres",
        "1,200 seats",
        "12%",
        "in 2008",
        "a 4x4",
        "no. #7",
        "page 3/4",
        "two-story",
        "red-haired",
        "a redhead carrying a carpet",
        "black people",
        "one of them",
        "someone",
        "an orange",
        "ein roter Hund",
        "",
        " ",
        "carſ",  # a long s: the same letter to a pattern that ignores case
        "half a dozen eggs",
        "under construction",
        "o'two",
    ],
)
def test_words_that_only_look_like_a_detail_are_left(caption):
    assert all_replacements(caption) == set()


def test_ages_of_people_are_numbers_and_not_ages():
    assert {re.sub(r"\d+", "N", other) for other in all_replacements("the 5 year old sits")} == {"the N year old sits"}


def test_what_is_put_in_is_not_there_already():
    assert all_replacements("men and women and boys") == {
        "girls and women and boys",
        "men and girls and boys",
        "men and women and girls",
    }
    assert "a cat and a puppy" not in all_replacements("a kitten and a puppy")


def test_words_and_digits_are_replaced_by_their_like():
    assert {other.split()[0] for other in all_replacements("2 eggs")} == {str(n) for n in range(3, 13)}
    assert {other.split()[0] for other in all_replacements("Two eggs")} == {
        *("Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"),
    }
    assert all_replacements("I have 3.") == {f"I have {n}." for n in range(2, 13) if n != 3}


def test_forms_belong_to_one_member_of_one_class():
    assert len(WORDS) == len(set(WORDS))
    assert all(form == form.lower().strip() for form in WORDS)
    assert all(len(members) > 1 for members in CLASSES.values())


def test_every_form_is_found_and_every_member_can_be_put_in():
    frames = ("the {} side", "the {} the player", "its {} game", "{}")
    for members in CLASSES.values():
        for number, member in enumerate(members):
            for form in member:
                got = set().union(*(all_replacements(frame.format(form)) for frame in frames))
                others = [other[0] for place, other in enumerate(members) if place != number and other[0] != "wooden"]
                assert all(any(other in caption for caption in got) for other in others), (form, got)


@given(st.lists(st.sampled_from([*WORDS, *"a an the of Grey RED . é \n -".split(" ")])), NUMBERS, NUMBERS)
def test_one_place_changes_to_another_member_and_the_rest_stays(words, first, second):
    caption = " ".join(words)
    changed = replace_detail(caption, first, second)
    member_of = {
        form: (name, number)
        for name, members in CLASSES.items()
        for number, member in enumerate(members)
        for form in member
    }
    spans = [(a, b) for a in range(len(caption)) for b in range(a + 1, a + 20) if caption[a:b].lower() in member_of]
    explained = []
    for start, end in spans:  # is there a form whose replacement explains the whole change?
        rest = len(caption) - end
        if changed[:start] == caption[:start] and changed[len(changed) - rest :] == caption[end:]:
            old = member_of[caption[start:end].lower()]
            new = member_of.get(changed[start : len(changed) - rest].lower(), (None, None))
            explained.append(new[0] == old[0] and new[1] != old[1])
    assert changed == caption or any(explained)


# cut_short


def test_a_caption_is_cut_after_any_word_but_the_last():
    caption = "  A  dog\truns.\nFast "
    assert [cut_short(caption, first) for first in range(4)] == ["  A", "  A  dog", "  A  dog\truns.", "  A"]


@pytest.mark.parametrize("caption", ["", " ", "dog", " dog. "])
def test_a_single_word_cannot_be_cut(caption):
    assert cut_short(caption, 5) == caption


@given(st.text(), NUMBERS)
def test_what_is_left_is_a_proper_beginning_with_a_word(caption, first):
    short = cut_short(caption, first)
    words = len(caption.split())
    assert caption.startswith(short)
    assert (1 <= len(short.split()) < words) if words > 1 else short == caption


# clutter


def test_clutter_by_hand():
    caption = "A dog, on grass."
    assert clutter(caption, 0, 1, 1) == "A dog, on dog, on grass."
    assert clutter(caption, 0, 3, 7) == "A dog, on grass. grass."
    assert clutter(caption, 1, 0, 0) == "A dog, on grass. stock photo"
    assert clutter(caption, 2, 42, 1) == "DSC_0042.jpg A dog, on grass."
    assert clutter(caption, 3, 42, 0) == "a-dog-on-grass-42.jpg"
    assert clutter("🐶 🐱", 3, 42, 0) == "IMG_0042.jpg 🐶 🐱"


@given(st.text(), NUMBERS, NUMBERS, NUMBERS)
def test_clutter_changes_every_caption_that_has_a_word(caption, first, second, third):
    cluttered = clutter(caption, first, second, third)
    assert (cluttered != caption) == bool(caption.split())
    if first % 4 in (1, 2):
        assert caption in cluttered
    if first % 4 == 0:
        assert set(cluttered.split()) == set(caption.split())


def test_a_very_long_caption_is_no_problem():
    caption = "a red dog behind the old car " * 2000
    start = time.perf_counter()
    for kind in TEXT_KINDS:
        assert damaged([caption], kind, 1.0).is_noisy.all()
    assert time.perf_counter() - start < 5


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="no kind of text noise 'swapped'; there are partial, truncated, duplicated"):
        damaged(["a"], "swapped", 0.5)
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        damaged(["a"], "partial", 2)
    with pytest.raises(ValueError, match="2 captions, 1 picture ids and 2 row numbers"):
        damage_captions(["a", "b"], [0], "partial", 0.5, 0)
    assert damaged([], "partial", 0.5).captions == []
