import datasets
import numpy as np

from hf_noisy_itm.data.provenance import provenance_table, write_provenance
from hf_noisy_itm.functional.noise import damage_captions, shuffle_captions


def test_the_table_says_which_text_stands_where_and_whose_it_is(tmp_path):
    for ids, kind in ((np.array([7, 7, 8, 9]), "int64"), (np.array(["x", "x", "y", "z"]), "string")):
        noise = shuffle_captions(ids, 1.0, np.random.Generator(np.random.PCG64(0)), keep_none=True)
        write_provenance(tmp_path / "noise.parquet", noise, np.array([10, 11, 12, 13]))
        table = datasets.Dataset.from_parquet(str(tmp_path / "noise.parquet"), cache_dir=str(tmp_path))
        kinds = {name: feature.dtype for name, feature in table.features.items()}
        assert kinds == {"caption_id": "int64", "is_noisy": "bool", "noise_source": kind}
        assert table["caption_id"] == [10 + row for row in noise.source]
        assert table["noise_source"] == [ids[row] for row in noise.source]
        assert table["is_noisy"] == (ids != np.array(table["noise_source"])).tolist()
        assert sum(table["is_noisy"]) == 4


def test_damaged_captions_keep_their_id_and_picture():
    table = provenance_table(damage_captions(["a b", "c"], [5, 6], "truncated", 1.0, 0))
    assert table.to_dict() == {"caption_id": [0, 1], "is_noisy": [True, False], "noise_source": [5, 6]}
