import re
from dataclasses import replace

import numpy as np
import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.data.published_bank import read_published_bank


@pytest.fixture
def published(tmp_path, pairs):
    """Dictionaries for 24 pictures of five captions each, and a function that writes them and reads the bank."""
    of_picture = {int(name): (7 * place) % 120 for place, name in enumerate(pairs.name)}
    of_caption = {row: (row + 11) % 120 for row in range(120)}

    def read(pictures=of_picture, captions=of_caption, of=pairs):
        for name, content in (("image.npy", pictures), ("text.npy", captions)):
            np.save(tmp_path / name, content, allow_pickle=True)
        return read_published_bank(tmp_path / "image.npy", tmp_path / "text.npy", of)

    return of_picture, of_caption, read


def test_entries_follow_the_ids_of_pictures_and_the_indices_of_captions(published, pairs):
    of_picture, of_caption, read = published
    shuffled = dict(sorted(of_picture.items(), key=lambda item: hash(str(item[0]))))
    for pictures in (of_picture, shuffled, {np.int64(key): np.int32(value) for key, value in of_picture.items()}):
        entries = read(pictures)
        assert entries["text"].tolist() == [of_caption[row] for row in range(120)]
        assert entries["image"].tolist() == [of_picture[int(pairs.name[row])] for row in pairs.image_row]
        assert {rows.dtype for rows in entries.values()} == {np.dtype(np.int64)}


def test_ids_may_be_numbers_or_words_on_either_side(published, pairs):
    of_picture, _, read = published
    expected = read()["image"].tolist()
    assert read({str(key): value for key, value in of_picture.items()})["image"].tolist() == expected
    words = replace(pairs, name=np.array([f"{number}" for number in pairs.name]))
    assert read(of=words)["image"].tolist() == expected
    words = replace(pairs, name=np.array([f"img_{number}.jpg" for number in pairs.name]))
    assert read({f"img_{key}.jpg": value for key, value in of_picture.items()}, of=words)["image"].tolist() == expected


def test_what_does_not_fit_the_pairs_is_refused_with_numbers(published, pairs):
    of_picture, of_caption, read = published
    first = next(iter(of_picture))
    for pictures, captions, sentence in (
        (
            dict(list(of_picture.items())[2:]),
            of_caption,
            f"image.npy lacks 2 of the 24 picture ids, '{first}'",
        ),
        (of_picture | {10**6: 0}, of_caption, "image.npy has 25 picture ids, and there are 24 to train on"),
        (of_picture, dict(list(of_caption.items())[:100]), "text.npy lacks 20 of the 120 caption ids, '100' for one"),
        (of_picture, of_caption | {120: 0, 121: 1}, "text.npy has 122 caption ids, and there are 120"),
        (
            of_picture | {first: 120},
            of_caption,
            f"for 1 of its 24 pictures .* the 120 pairs, 120 for '{first}'",
        ),
        (of_picture, of_caption | {5: -1, 9: 2.0}, "for 2 of its 120 captions something else .*, -1 for '5'"),
        (of_picture, of_caption | {5: True}, "for 1 of its 120 captions .*, True for '5'"),
        (of_picture | {str(first): 3}, of_caption, "1 of its 25 ids twice"),
    ):
        with pytest.raises(InputError, match=sentence) as error:
            read(pictures, captions)
        assert "\n" not in str(error.value)
    fewer = pairs.keep_pictures(np.arange(20))
    with pytest.raises(InputError, match="has 24 picture ids, and there are 20 .* not all training pairs"):
        read(of=fewer)


def test_a_file_that_is_no_dictionary_is_refused_by_name(published, tmp_path, pairs):
    published[2]()
    np.save(tmp_path / "vector.npy", np.arange(3))
    with pytest.raises(InputError, match=re.escape("vector.npy")):
        read_published_bank(tmp_path / "vector.npy", tmp_path / "text.npy", pairs)
    with pytest.raises(InputError, match="cannot be read"):
        read_published_bank(tmp_path / "image.npy", tmp_path / "gone.npy", pairs)
