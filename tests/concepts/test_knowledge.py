import gzip

import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.concepts.knowledge import read_knowledge

WORDS = ["cat", "animal", "dog", "wall"]
LINES = """/r/IsA\t/c/en/cat\t/c/en/animal\t{"weight": 1.0}
/r/RelatedTo\t/c/en/animal/n\t/c/en/cat/n/wn/animal\t{"dataset": "/d/wordnet", "weight": 2.0}
/r/RelatedTo\t/c/en/dog\t/c/en/animal
/r/Antonym\t/c/en/cat\t/c/en/dog\t{"weight": 9.0}
/r/NotCapableOf\t/c/en/wall\t/c/en/dog\t{"weight": 9.0}
/r/RelatedTo\t/c/en/cat\t/c/en/kitten\t{"weight": 1.0}
/r/RelatedTo\t/c/fr/chat\t/c/en/animal\t{"weight": 1.0}
/r/RelatedTo\t/c/en/hot_dog\t/c/en/dog\t{"weight": 1.0}
/r/RelatedTo\t/c/en/dog\t/c/en/dog\t{"weight": 1.0}
/r/Synonym\t/c/en/wall\thttp://example.org/wall\t{"weight": 1.0}

"""


def written(tmp_path, text, name="edges.csv"):
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["edges.csv", "edges.tsv.gz"])
def test_edges_between_concepts_by_hand(tmp_path, name):
    found = read_knowledge(written(tmp_path, LINES, name), WORDS)
    assert (found.edges, found.unknown, found.apart) == (3, 4, 2)
    # cat - animal: 1 + 2 = 3, so 3/4; dog - animal: 1, so 1/2; nothing else is tied.
    assert found.strength.tolist() == [[0, 0.75, 0, 0], [0.75, 0, 0.5, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]]


def test_a_whole_assertion_of_conceptnet_is_taken_and_so_are_spaces(tmp_path):
    text = '/a/[/r/IsA/,/c/en/cat/,/c/en/animal/]\t/r/IsA\t/c/en/cat\t/c/en/animal\t{"weight": 1.0, "x": "a b"}\n'
    text += '/r/IsA /c/en/dog /c/en/animal {"weight": 1.0, "x": "a b"}\n'
    assert read_knowledge(written(tmp_path, text), WORDS).edges == 2


def test_another_language(tmp_path):
    found = read_knowledge(written(tmp_path, "/r/IsA\t/c/fr/chat\t/c/fr/bête\n"), ["chat", "bête"], "fr")
    assert found.edges == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "/r/IsA\t/c/en/lion\t/c/en/beast\n" * 3,
            r"No edge of .* is between two of the 4 concepts and weighs more than 0 \(3 have other nodes\)",
        ),
        ('/r/IsA\t/c/en/cat\t/c/en/animal\t{"weight": 0}\n', "No edge of .* weighs more than 0"),
        ("", r"No edge of .* \(0 have other nodes\)"),
        (LINES + "cat,animal,1\n", r"Line 12 of .* is no edge: .*; got 'cat,animal,1'\."),
        ("/r/IsA\t/c/en/cat\n", "Line 1 of .* is no edge"),
        ("/r/IsA\t/c/en/cat\t/c/en/animal\t{weight}\n", "Line 1 of .* is no edge"),
        ("/r/IsA\t/c/en/cat\t/c/en/animal\t[1]\n", "Line 1 of .* is no edge"),
        ('/r/IsA\t/c/en/cat\t/c/en/animal\t{"weight": -1}\n', "Line 1 of .* is no edge"),
        *(
            (
                f'/r/IsA\t/c/en/cat\t/c/en/animal\t{{"weight": {weight}}}\n',
                "Line 1 of .* is no edge: .*from 0 to 1,000,000",
            )
            for weight in (
                "NaN",
                "-Infinity",
                "1e400",
                f"1{'0' * 400}",
                "1e7",
                "true",
                '"1"',
                "null",
                "[1]",
                "1" * 5000,
            )
        ),
    ],
)
def test_what_is_no_graph_of_these_concepts_ends_with_one_sentence(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        read_knowledge(written(tmp_path, text), WORDS)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bad.gz").write_bytes(b"no gzip")
    whole = bytearray(gzip.compress(LINES.encode() * 9))
    whole[10] ^= 255  # of the packed content
    (tmp_path / "damaged.gz").write_bytes(whole)
    (tmp_path / "cut.gz").write_bytes(whole[:40])
    (tmp_path / "latin.csv").write_bytes("/r/IsA\t/c/en/\xe9".encode("latin-1"))
    for name in ("gone.csv", "bad.gz", "damaged.gz", "cut.gz", "latin.csv", "."):
        with pytest.raises(InputError, match="cannot be read"):
            read_knowledge(tmp_path / name, WORDS)
