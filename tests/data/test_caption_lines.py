from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_noisy_itm import InputError
from hf_noisy_itm.data.caption_lines import load_caption_lines, save_caption_lines
from hf_noisy_itm.functional.noise import shuffle_captions


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def files(folder, noisy, clean=None, ids="ab", c=2, **kwargs):
    """Writes the three files as text and reads them."""
    (folder / "train_ids.txt").write_text("".join(f"{each}\n" for each in ids))
    (folder / "noise.txt").write_bytes(noisy if isinstance(noisy, bytes) else noisy.encode())
    if clean is not None:
        (folder / "train_caps.txt").write_text(clean)
    clean_path = folder / "train_caps.txt" if clean is not None else None
    return load_caption_lines(folder / "noise.txt", folder / "train_ids.txt", c, clean_path, **kwargs)


def test_captions_alone_by_hand(tmp_path):
    lines = files(tmp_path, "one\ntwo\nthree\nfour\n", ids=["7", "8"])
    assert lines.captions == ["one", "two", "three", "four"]
    assert lines.image_ids.tolist() == ["7", "7", "8", "8"]
    assert (lines.keys, lines.noise) == (None, None)


def test_keys_and_captions_by_hand(tmp_path):
    lines = files(tmp_path, "7#0\tone\n7#1\ttwo\ttabbed\n8#0\tthree\n8#1\t\n")
    assert lines.keys == ["7#0", "7#1", "8#0", "8#1"]
    assert lines.captions == ["one", "two\ttabbed", "three", ""]


def test_lines_are_traced_back_by_their_text(tmp_path):
    lines = files(tmp_path, "three\ntwo\none\nfour\n", "one\ntwo\nthree\nfour\n", nominal=0.5)
    assert lines.noise.source.tolist() == [2, 1, 0, 3]
    assert lines.noise.is_noisy.tolist() == [True, False, True, False]
    assert lines.noise.noise_source.tolist() == ["b", "a", "a", "b"]
    assert (lines.noise.nominal, lines.ambiguous) == (0.5, 0)


def test_a_text_of_several_lines_is_traced_to_the_own_line_then_the_own_picture_then_the_first_left(tmp_path):
    # Clean: a dog, x | y, a dog | a dog, z. Lines 1 and 3 of the noisy file moved, line 4 kept its text.
    clean = "a dog\nx\ny\na dog\na dog\nz\n"
    lines = files(tmp_path, "x\na dog\na dog\ny\na dog\nz\n", clean, "abc")
    # Line 1 (picture a) has the text of clean line 0 of its own picture, line 2 (b) of clean line 3 of its own.
    assert lines.noise.source.tolist() == [1, 0, 3, 2, 4, 5]
    assert not lines.noise.is_noisy.any()
    assert lines.ambiguous == 3
    lines = files(tmp_path, "y\nx\na dog\na dog\na dog\nz\n", clean, "abc")
    assert lines.noise.source.tolist() == [2, 1, 0, 3, 4, 5]
    assert lines.noise.is_noisy.tolist() == [True, False, True, False, False, False]


def test_keys_tell_equal_texts_apart_where_they_travel_with_the_text(tmp_path):
    clean = "a#0\tdog\na#1\tcat\nb#0\tdog\nb#1\tcow\n"
    lines = files(tmp_path, "b#0\tdog\na#1\tcat\na#0\tdog\nb#1\tcow\n", clean)
    assert (lines.noise.source.tolist(), lines.ambiguous) == ([2, 1, 0, 3], 0)


def test_keys_that_stay_with_the_row_are_no_help(tmp_path):
    clean = "a#0\tdog\na#1\tcat\nb#0\tdog\nb#1\tcow\n"
    lines = files(tmp_path, "a#0\tcow\na#1\tcat\nb#0\tdog\nb#1\tdog\n", clean)
    assert (lines.noise.source.tolist(), lines.ambiguous) == ([3, 1, 2, 0], 2)


@given(st.integers(1, 20), st.integers(1, 5), st.floats(0, 1), st.integers(0, 99), st.integers(1, 100), st.booleans())
def test_a_shuffle_is_found_again(tmp_path_factory, pictures, c, rate, seed, texts, with_keys):
    folder = tmp_path_factory.mktemp("lines")
    ids = [f"picture {number}" for number in range(pictures)]
    captions = [f"text {number}" for number in np.random.default_rng(seed).integers(0, texts, pictures * c)]
    keys = [f"{number}" for number in range(pictures * c)]
    noise = shuffle_captions(np.repeat(ids, c), rate, generator(seed))
    noisy = noise.apply(captions)
    (folder / "ids").write_text("\n".join(ids))
    save_caption_lines(folder / "clean", captions, keys if with_keys else None)
    save_caption_lines(folder / "noisy", noisy, noise.apply(keys) if with_keys else None)
    lines = load_caption_lines(folder / "noisy", folder / "ids", c, folder / "clean", rate)
    assert lines.captions == noisy == [captions[row] for row in lines.noise.source]
    assert sorted(lines.noise.source) == list(range(pictures * c))
    assert lines.noise.is_noisy.sum() <= noise.is_noisy.sum()
    times = Counter(captions)
    for row in range(pictures * c):
        if times[noisy[row]] == 1 or with_keys:
            assert lines.noise.source[row] == noise.source[row]
    assert lines.ambiguous == (0 if with_keys else sum(times[text] > 1 for text in noisy))


def test_other_line_breaks_of_unicode_part_no_captions(tmp_path):
    lines = files(tmp_path, "one\u2028more\r\ntwo\x0b\nthree\x85\nfour".encode())
    assert lines.captions == ["one\u2028more", "two\x0b", "three\x85", "four"]


@pytest.mark.parametrize(
    ("noisy", "clean", "message"),
    [
        ("one\ntwo\nthree\n", None, "noise.txt has 3 captions, but 2 pictures with 2 each need 4.$"),
        ("1\n2\n3\n4\n" * 2, None, "has 8 captions, .* NPC's script appends a second copy when it runs again"),
        ("", None, "has 0 captions"),
        (
            "a\tone\ntwo\nb\tthree\nfour\n",
            None,
            "has a key, a tab and a caption in line 1 but a caption alone in line 2",
        ),
        ("one\ntwo\nb\tthree\nfour\n", None, "has a caption alone in line 1 but a key, a tab and a caption in line 3"),
        (b"one\ntwo\nth\xffree\nfour\n", None, "is not UTF-8 in line 3; convert it"),
        (
            "one\ntwo\nthree\nfive\n",
            "one\ntwo\nthree\nfour\n",
            "has in line 4 a caption that .*caps.txt does not have",
        ),
        ("one\none\nthree\nfour\n", "one\ntwo\nthree\nfour\n", "has in line 2 a caption that .* or not as often"),
        ("one\ntwo\nthree\nfour\n", "one\ntwo\n", "train_caps.txt has 2 captions"),
    ],
)
def test_files_that_do_not_fit_are_named(noisy, clean, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        files(tmp_path, noisy, clean)
    assert "\n" not in str(error.value)


def test_ids_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(InputError, match="train_ids.txt has the id '7' twice"):
        files(tmp_path, "one\ntwo\n", ids=["7", "7"], c=1)
    with pytest.raises(InputError, match="captions_per_image must be at least 1, got 0"):
        files(tmp_path, "one\ntwo\n", c=0)
    with pytest.raises(InputError, match="missing.txt cannot be read: No such file"):
        load_caption_lines(tmp_path / "missing.txt", tmp_path / "train_ids.txt", 1)


def test_texts_that_the_form_has_no_room_for_are_not_written(tmp_path):
    for text in ("two\nlines", "a\ttab", "a\rreturn"):
        with pytest.raises(InputError, match="Text number 1 has a line break or a tab"):
            save_caption_lines(tmp_path / "caps.txt", ["one", text])
    with pytest.raises(InputError, match="2 captions but 1 keys"):
        save_caption_lines(tmp_path / "caps.txt", ["one", "two"], ["a"])
    assert not list(tmp_path.iterdir())
