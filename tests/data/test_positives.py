import json
from dataclasses import replace

import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError, Pairs, load_pairs
from hf_noisy_itm.data import DataArguments
from hf_noisy_itm.data._scenes_world import ANY
from hf_noisy_itm.data._splits import find_splits
from hf_noisy_itm.data.positives import known_positives, read_positives
from hf_noisy_itm.data.scenes import draw_row
from hf_noisy_itm.functional.noise import Noise
from hf_noisy_itm.functional.retrieval import NOT_IN_GALLERY


@pytest.fixture
def pairs():
    """Pictures 900 and 700 with captions 11, 12 and 21; caption 21 stands in two rows."""
    return Pairs(
        pictures=datasets.Dataset.from_dict({"image": [{"bytes": b"", "path": None}] * 2}),
        captions=["a", "b", "c", "c"],
        image_row=np.array([0, 0, 1, 1]),
        image_id=np.arange(2),
        caption_image_id=np.array([0, 0, 1, 1]),
        caption_id=np.array([11, 12, 21, 21]),
        name=np.array([900, 700]),
    )


def test_ids_become_rows(pairs, tmp_path):
    (tmp_path / "eccv.json").write_text(
        json.dumps(
            {"i2t": {"700": [21, 11, 11], "900": ["12", 5], "3": [11]}, "t2i": {"21": [900, 900], "12": [700, 42]}}
        )
    )
    found = read_positives(tmp_path / "eccv.json", pairs)
    assert {way: answers.rows for way, answers in found.items()} == {
        "i2t": [[1, NOT_IN_GALLERY], [2, 3, 0]],
        "t2i": [[], [1, NOT_IN_GALLERY], [0], [0]],
    }
    # Picture 3 is not in the gallery; caption 21 is, in two rows.
    assert found["i2t"].counts == {"answers": 5, "outside": 1, "file_queries": 3, "file_used": 2}
    assert found["t2i"].counts == {"answers": 4, "outside": 1, "file_queries": 2, "file_used": 2}


@pytest.mark.parametrize("content", ['{"i2t": {"700": [11]}}', '{"i2t": {"700": [11]}, "t2i": {"11": []}}'])
def test_one_direction_will_do(content, pairs, tmp_path):
    (tmp_path / "own.json").write_text("\ufeff" + content, encoding="utf-8")
    found = read_positives(tmp_path / "own.json", pairs)
    assert {way: answers.rows for way, answers in found.items()} == {"i2t": [[], [0]]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"i2t": {"700": 12}, "t2i": {}}', "TypeError 12 is no list of ids"),
        ('{"i2t": {"700": [0.9]}, "t2i": {}}', r"TypeError \[0.9\] is no list of ids"),
        ('{"i2t": {"700": [true]}, "t2i": {}}', r"TypeError \[True\] is no list of ids"),
        ('{"i2t": {"700": [11]}, "T2I": {"11": [700]}}', "ValueError there is 'T2I' in it"),
        ('{"i2t": [[11]], "t2i": [[700]]}', "AttributeError"),
        ("[]", "AttributeError"),
        ("no", "JSONDecodeError"),
        ("[" * 100_000, "ValueError it is nested too deeply"),
    ],
)
def test_files_of_another_form_are_refused(content, reason, pairs, tmp_path):
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(InputError, match=f"own.json cannot be read as lists of right answers, .*: {reason}"):
        read_positives(tmp_path / "own.json", pairs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"i2t": {"1": [11]}, "t2i": {"11": [700]}},
            "no answers for any of the 2 pictures: its ids are like 1, those of the data like 900, 700",
        ),
        (
            {"t2i": {"1": [700]}},
            "no answers for any of the 3 captions: its ids are like 1, those of the data like 11,",
        ),
        (
            {"i2t": {"700": [1, 2], "900": [3]}},
            "answers of 2 pictures, but none is among the 3 captions: its ids are like 1, 2, 3, those of the data l",
        ),
        ({"i2t": {"700": []}, "t2i": {}}, "has no right answers; it should hold"),
        ({}, "has no right answers; it should hold"),
    ],
)
def test_files_for_other_data_are_refused(content, message, pairs, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_positives(tmp_path / "own.json", pairs)


def loaded(rows, folder, **options):
    """The pairs to evaluate on of a data set of these rows, every second picture held out."""
    rows = datasets.Dataset.from_list(rows)
    rows.cast_column("image", datasets.Image()).to_parquet(folder / "rows.parquet")
    return load_pairs(DataArguments(dataset=str(folder / "rows.parquet"), holdout_every=2, **options))[1]


SCENES = [draw_row("street", (0, 1, 0), row) for row in range(8)]


@pytest.mark.parametrize("kind", ["digits", "words", "integers", "lists of digits"])
def test_captions_keep_the_ids_of_their_source(kind, tmp_path):
    """Text of digits that runs backwards: taken for the order of rows it names wrong captions, and nobody notices."""
    ids = [39 - number for number in range(40)]
    ids = ids if kind == "integers" else [f"{'caption ' if kind == 'words' else ''}{number}" for number in ids]
    if kind.startswith("lists"):
        rows = [
            {"image": row["image"], "captions": row["captions"], "image_id": n, "caption_id": ids[5 * n : 5 * n + 5]}
            for n, row in enumerate(SCENES)
        ]
    else:
        rows = [
            {"image": row["image"], "caption": caption, "image_id": n, "caption_id": ids[5 * n + place]}
            for n, row in enumerate(SCENES)
            for place, caption in enumerate(row["captions"])
        ]
    pairs = loaded(rows, tmp_path)
    assert pairs.name.tolist() == [1, 3, 5, 7]
    assert pairs.caption_name.tolist() == [ids[5 * n + place] for n in (1, 3, 5, 7) for place in range(5)]
    own = {str(n): ids[5 * n : 5 * n + 5] for n in range(8)}
    (tmp_path / "own.json").write_text(
        json.dumps({"i2t": own, "t2i": {str(answer): [n] for n in own for answer in own[n]}})
    )
    found = read_positives(tmp_path / "own.json", pairs)
    assert found["i2t"].rows == [list(range(5 * row, 5 * row + 5)) for row in range(4)]
    assert found["t2i"].rows == [[row // 5] for row in range(20)]
    assert (found["i2t"].in_file, found["i2t"].used) == (8, 4)


@pytest.mark.parametrize("kind", ["one caption a row", "lists"])
@pytest.mark.parametrize("where", [None, "kept=yes"])
def test_without_ids_pictures_and_captions_are_numbered_as_loaded(kind, where, tmp_path):
    """Whatever has been held out, selected or left out: both are counted through all rows."""
    lists = [row["captions"][: 1 + n % 3] for n, row in enumerate(SCENES)] if kind == "lists" else None
    rows = [
        {"image": row["image"], "kept": "no" if n in (0, 5) else "yes"}
        | ({"captions": lists[n]} if lists else {"caption": row["captions"][0]})
        for n, row in enumerate(SCENES)
    ]
    texts = [text for captions in lists for text in captions] if lists else [row["caption"] for row in rows]
    pairs = loaded(rows, tmp_path, where=where)
    # Of rows 0 to 7, or of 1, 2, 3, 4, 6 and 7, every second one is held out.
    assert pairs.name.tolist() == ([1, 3, 5, 7] if where is None else [2, 4, 7])
    assert [texts[number] for number in pairs.caption_name] == pairs.captions
    if not lists:
        assert pairs.caption_name.tolist() == pairs.name.tolist()


def test_names_of_captions_move_with_noise_and_selection(pairs):
    names = np.array(["a", "b", "c", "d"])
    source = np.array([2, 1, 0, 3])
    moved = replace(pairs, caption_name=names).with_noise(
        Noise(source, source != np.arange(4), pairs.name[[1, 0, 0, 1]], None)
    )
    assert moved.caption_name.tolist() == ["c", "b", "a", "d"]
    assert moved.keep_captions(np.array([0, 3])).caption_name.tolist() == ["c", "d"]
    assert moved.keep_pictures(np.array([1])).caption_name.tolist() == ["a", "d"]
    assert pairs.caption_name.tolist() == pairs.caption_id.tolist()


@pytest.mark.parametrize("options", [{}, {"eval_split": "validation"}, {"where": "image_id=7"}])
def test_of_scenes_the_captions_of_other_pictures_are_known_too(options):
    data = DataArguments(dataset="scenes", max_train_pictures=10, max_eval_pictures=60, **options)
    if "where" in options:
        data.max_eval_pictures = None
    pairs, rows = load_pairs(data)[1], find_splits(data)[1]
    rows = [row for row in rows.remove_columns("image") if row["image_id"] in pairs.name]
    claims = [claim for row in rows for claim in row["claims"]]
    expected = [[p for p, row in enumerate(rows) if is_true(claim, row["scene"])] for claim in claims]
    known = known_positives(data, pairs)
    assert known["t2i"].rows == expected
    assert known["i2t"].rows == [[c for c, found in enumerate(expected) if p in found] for p in range(len(rows))]
    if len(rows) == 60:
        assert known["t2i"].counts["answers"] > 300  # more than the given ones
    assert known_positives(DataArguments(dataset="pairs.parquet"), pairs) is None


def is_true(claim, scene):
    """A claim of two nouns in either order where it has no layout, else as they stand."""
    orders = [scene] if claim[4] != ANY else [scene, [*scene[1::-1], *scene[3:1:-1], *scene[4:]]]
    return any(
        claim[:2] == scene[:2]
        and all(mask & kind for mask, kind in zip(claim[2:4], scene[2:4]))
        and all(fact in (ANY, own) for fact, own in zip(claim[4:], scene[4:]))
        for scene in orders
    )
