import re
import unicodedata

import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.concepts.association import association
from hf_noisy_itm.concepts.vocabulary import STOP_WORDS, find_vocabulary, unspaced, words_of

CAPTIONS = [
    "a red cat on the wall",
    "a red cat and a red dog",
    "two cats above a wall",
    "the Cat, left of a wall",
    "this dog is behind the red wall",
    "a wall",
]


def test_words_of_many_captions_by_hand():
    vocabulary = find_vocabulary(CAPTIONS, min_captions=2, max_share=1.0)
    # wall 5, cat 3 (in whatever case), red 3 (twice in one caption counts once), dog 2; the rest are in one caption.
    assert vocabulary.words == ["wall", "cat", "red", "dog"]
    assert vocabulary.captions.tolist() == [5, 3, 3, 2]
    assert vocabulary.occurs.toarray().tolist() == [
        [1, 1, 1, 0],
        [0, 1, 1, 1],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 1],
        [1, 0, 0, 0],
    ]


def test_grammar_is_left_out_and_places_and_numbers_are_not():
    words = find_vocabulary(CAPTIONS, min_captions=1, max_share=1.0).words
    assert {"two", "above", "behind", "left"} <= set(words)
    assert not {"a", "the", "of", "is", "this", "and", "on"} & set(words)
    assert not {"red", "three", "under", "full"} & set(STOP_WORDS)


def test_limits():
    assert find_vocabulary(CAPTIONS, 2, 2, 1.0).words == ["wall", "cat"]
    assert find_vocabulary(CAPTIONS, 9, 2, 0.5).words == ["cat", "red", "dog"]  # five of six captions have a wall


def test_whose_caption_it_is_does_not_matter():
    one, other = (find_vocabulary(each, min_captions=2) for each in (CAPTIONS, CAPTIONS[::-1]))
    assert one.words == other.words
    assert np.array_equal(association(one, 1, 0.0), association(other, 1, 0.0))


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("कुत्ता घास पर दौड़ता है", ["कुत्ता", "घास", "पर", "दौड़ता", "है"]),  # vowels are marks
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a joiner within
        ("Một con chó", ["một", "con", "chó"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),  # composed or not
        ("一只 狗 在 草地", ["一只", "狗", "在", "草地"]),
        ("개 두 마리", ["개", "두", "마리"]),
        ("it's a dog_1, 12 !", ["it", "dog_1", "12"]),
        ("\u2764\ufe0f\u200d\U0001f525 a", []),  # what joins the parts of an emoji is no word
    ],
)
def test_words_of_any_script(caption, words):
    assert words_of(caption) == [unicodedata.normalize("NFC", word) for word in words]


def test_a_vocabulary_in_hindi():
    captions = ["कुत्ता घास पर दौड़ता है", "कुत्ता पानी पर है"] * 5
    words = [unicodedata.normalize("NFC", word) for word in ("कुत्ता", "पर", "है", "घास", "दौड़ता", "पानी")]
    assert find_vocabulary(captions, max_share=1.0).words == words


@pytest.mark.parametrize(
    ("apart", "together"),
    [
        (["一只 狗 在 草地 上 奔跑"], ["一只狗在草地上奔跑"]),
        (["犬 が 芝生 の 上 を 走って いる", "スケートボード に 乗る 男性"], ["犬が芝生の上を走っている"]),
        (["สุนัข วิ่ง บน หญ้า", "มหาวิทยาลัย ใหญ่ มาก"], ["สุนัขวิ่งบนหญ้าในสวน"]),
        (
            ["कुत्ता घास पर", "개 두 마리가 달린다", "a dog", ""] * 9 + ["一只狗在草地上奔跑"],
            ["a dog"] * 8 + ["一只狗在草地上奔跑"],
        ),
    ],
)
def test_words_that_do_not_stand_apart_are_told(apart, together):
    assert unspaced(apart) is None
    assert unspaced([]) is None
    assert re.match(r"\d+% of the captions have words without spaces .*: put spaces there", unspaced(together))


def test_other_stop_words_than_the_english_ones():
    captions = ["der Hund und die Katze", "die Katze und der Hund auf dem Dach", "the Dach"] * 3
    german = ["der", "die", "und", "auf", "dem"]
    assert find_vocabulary(captions, max_share=1.0, stop_words=german).words == ["dach", "hund", "katze"]
    assert "und" in find_vocabulary(captions, max_share=1.0).words


@pytest.mark.parametrize(
    ("captions", "words"),
    [(["a wall"] * 9, 1), (["it is on the"] * 9, 0), (["12 !!"] * 9, 1), ([""] * 9, 0), (["cat"], 0), ([], 0)],
)
def test_a_vocabulary_of_one_word_is_refused_in_one_sentence(captions, words):
    with pytest.raises(InputError, match=rf"have {words} words that are in .*, or train without concepts\.$") as error:
        find_vocabulary(captions, max_share=1.0)
    assert "\n" not in str(error.value)
