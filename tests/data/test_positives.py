import json

import datasets
import numpy as np
import pytest

from hf_noisy_itm import InputError, Pairs
from hf_noisy_itm.data.positives import read_positives
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
    assert read_positives(tmp_path / "eccv.json", pairs) == {
        "i2t": [[1, NOT_IN_GALLERY], [2, 3, 0]],
        "t2i": [[], [1, NOT_IN_GALLERY], [0], [0]],
    }


@pytest.mark.parametrize(
    "content",
    [
        '{"i2t": {"700": 12}, "t2i": {}}',
        '{"i2t": {"700": [0.9]}, "t2i": {}}',
        '{"i2t": {"700": [11]}}',
        '{"i2t": [[11]], "t2i": [[700]]}',
        "[]",
        "no",
    ],
)
def test_files_of_another_form_are_refused(content, pairs, tmp_path):
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(InputError, match="own.json cannot be read as lists of right answers"):
        read_positives(tmp_path / "own.json", pairs)


def test_files_for_other_data_are_refused(pairs, tmp_path):
    (tmp_path / "own.json").write_text('{"i2t": {"1": [11]}, "t2i": {"11": [700]}}')
    with pytest.raises(
        InputError, match="no answers for any of the 2 pictures: its ids are like 1, those of the data l"
    ):
        read_positives(tmp_path / "own.json", pairs)
