import io

import datasets
import numpy as np
import pytest
from PIL import Image

from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.functional.noise import shuffle_captions

from .moving import moved_by


def shade(number):
    """A picture that says which row it is of."""
    file = io.BytesIO()
    Image.new("L", (2, 2), number).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": None}


def rows(size, **columns):
    """Row k has a picture of shade k and the captions 'k one' and 'k two'; columns are functions of k."""
    columns = {"image": shade, "captions": lambda k: [f"{k} one", f"{k} two"]} | columns
    table = [{name: cell(k) for name, cell in columns.items() if cell} for k in range(size)]
    return datasets.Dataset.from_list(table).cast_column("image", datasets.Image())


def parquet(tmp_path, table):
    path = tmp_path / "pairs.parquet"
    table.to_parquet(path)
    return str(path)


def shades(pairs):
    """Which rows the pictures of the pairs were."""
    return [pairs.picture(row).getpixel((0, 0))[0] for row in range(len(pairs.image_id))]


def whole(table, **arguments):
    return to_pairs(table, DataArguments(**arguments), "training")


def test_rows_of_caption_lists_become_pairs():
    pairs = whole(rows(3, captions=lambda k: [f"{k} {i}" for i in range(k + 1)]))
    assert pairs.captions == ["0 0", "1 0", "1 1", "2 0", "2 1", "2 2"]
    assert pairs.image_row.tolist() == [0, 1, 1, 2, 2, 2]
    assert pairs.image_id.tolist() == [0, 1, 2]
    assert pairs.caption_image_id.tolist() == [0, 1, 1, 2, 2, 2]
    assert shades(pairs) == [0, 1, 2]


@pytest.mark.parametrize("column", ["caption", "text", "captions"])
def test_a_parquet_file_of_caption_strings_is_read(tmp_path, column):
    table = rows(20, **{"captions": None, column: lambda k: f"caption {k}"})
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, table)))
    assert (len(train), len(held_out)) == (18, 2)
    for pairs in (train, held_out):
        assert pairs.captions == [f"caption {number}" for number in shades(pairs)]


def test_a_parquet_file_of_caption_lists_is_read(tmp_path):
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, rows(20))))
    assert (len(train), len(held_out)) == (36, 4)
    assert held_out.captions == [f"{number} {word}" for number in shades(held_out) for word in ("one", "two")]


def test_the_columns_may_have_other_names():
    table = rows(3, image=lambda k: shade(0), legend=lambda k: f"legend {k}", key=lambda k: "same")
    table = table.rename_column("image", "photo")
    pairs = whole(table, image_column="photo", caption_column="legend", image_id_column="key")
    assert pairs.captions == ["legend 0", "legend 1", "legend 2"]
    assert pairs.image_row.tolist() == [0, 0, 0]
    assert shades(pairs) == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_column": "photo"}, "no column 'photo'; there are image, captions"),
        ({"caption_column": "legend"}, "no column 'legend'; there are image, captions"),
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(arguments, message):
    with pytest.raises(InputError, match=message):
        whole(rows(3), **arguments)


def test_without_any_caption_column_all_that_would_do_are_named():
    with pytest.raises(InputError, match="no column 'captions' or 'caption' or 'text'; there are image, words"):
        whole(rows(3, captions=None, words=str))


@pytest.mark.parametrize("cell", [lambda k: "ab"[k // 2], lambda k: k // 2])
def test_rows_of_equal_image_id_are_the_same_picture(cell):
    pairs = whole(rows(4, image=lambda k: shade(k // 2 * 2), image_id=cell))
    assert pairs.image_row.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert shades(pairs) == [0, 2]
    # Captions change places within a picture (rows 0 and 1), and between pictures (rows 2 and 1).
    assert moved_by(pairs, np.array([2, 1, 0, 3, 4, 5, 6, 7])).is_noisy.sum() == 0
    assert moved_by(pairs, np.array([0, 1, 4, 3, 2, 5, 6, 7])).is_noisy.tolist() == [0, 0, 1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("name", ["missing.parquet", "missing"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"There is no file .*{tmp_path / name}"):
        load_pairs(DataArguments(str(tmp_path / name)))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "pairs.xlsx").write_text("image,caption\n")
    with pytest.raises(InputError, match=r"pairs\.xlsx is no kind of file that can be read: \.parquet, \.csv"):
        load_pairs(DataArguments(str(tmp_path / "pairs.xlsx")))


def test_a_parquet_file_that_is_none_is_refused_by_name(tmp_path):
    (tmp_path / "pairs.parquet").write_text("not a table")
    with pytest.raises(InputError, match=r"pairs\.parquet"):
        load_pairs(DataArguments(str(tmp_path / "pairs.parquet")))


def test_a_file_name_may_hold_brackets(tmp_path):
    (tmp_path / "run [1]").mkdir()
    train, _ = load_pairs(DataArguments(parquet(tmp_path / "run [1]", rows(10))))
    assert len(train) == 18


def test_a_name_that_the_hub_cannot_give_is_refused():
    with pytest.raises(InputError, match="'nobody/nothing' is no local file, nor can the Hub give it"):
        load_pairs(DataArguments("nobody/nothing"))


def saved(tmp_path, **splits):
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    return str(tmp_path / "saved")


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ({}, (8, 3)),  # test comes before validation
        ({"eval_split": "validation"}, (8, 5)),
        ({"train_split": "validation"}, (5, 3)),
        ({"train_split": "test"}, (3, 5)),
    ],
)
def test_a_saved_folder_with_splits_is_read(tmp_path, arguments, sizes):
    folder = saved(tmp_path, train=rows(8), validation=rows(5), test=rows(3))
    pairs = load_pairs(DataArguments(folder, **arguments))
    assert tuple(len(each.image_id) for each in pairs) == sizes


def test_a_saved_folder_without_splits_is_read(tmp_path):
    rows(10).save_to_disk(tmp_path / "saved")
    train, held_out = load_pairs(DataArguments(str(tmp_path / "saved")))
    assert (len(train.image_id), len(held_out.image_id)) == (9, 1)


def test_a_folder_of_picture_files_is_read(tmp_path):
    lines = ["file_name,caption"]
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(shade(number)["bytes"])
        lines.append(f"{number}.png,caption {number}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    train, _ = load_pairs(DataArguments(str(tmp_path)))
    assert len(train) == 9
    assert train.captions == [f"caption {number}" for number in shades(train)]


@pytest.mark.parametrize("arguments", [{"train_split": "dev"}, {"eval_split": "dev"}])
def test_an_unknown_split_is_named_with_those_that_are_there(tmp_path, arguments):
    with pytest.raises(InputError, match="no split 'dev'; it has train, test"):
        load_pairs(DataArguments(saved(tmp_path, train=rows(3), test=rows(3)), **arguments))


@pytest.mark.parametrize("cell", [lambda k: k % 3, lambda k: "012"[k % 3]])
def test_where_keeps_the_rows_of_one_value(tmp_path, cell):
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, rows(30, group=cell)), where="group=1"))
    assert sorted(shades(train) + shades(held_out)) == list(range(1, 30, 3))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("group=7", "No row has group=7; there are 0, 1, 2"),
        ("color=1", "no column 'color'; there are image, captions, group"),
        ("group", "--where is column=value, got 'group'"),
    ],
)
def test_a_filter_that_keeps_nothing_is_refused(tmp_path, where, message):
    with pytest.raises(InputError, match=message):
        load_pairs(DataArguments(parquet(tmp_path, rows(9, group=lambda k: k % 3)), where=where))


def test_cells_that_are_lists_can_be_compared_but_not_held_out_by(tmp_path):
    path = parquet(tmp_path, rows(6, tags=lambda k: ["x"] * (k % 3)))
    train, held_out = load_pairs(DataArguments(path, where="tags=['x', 'x']", holdout_every=2))
    assert sorted([*train.row, *held_out.row]) == [2, 5]
    with pytest.raises(InputError, match=r"No row has tags=y; there are \['x', 'x'\], \['x'\], \[\]"):
        load_pairs(DataArguments(path, where="tags=y"))
    with pytest.raises(InputError, match="'tags' holds list in row 0, not a text or a number"):
        load_pairs(DataArguments(path, holdout_by="tags"))


def test_where_asks_nothing_of_splits_that_are_not_used(tmp_path):
    french, german = rows(5, language=lambda k: "fr"), rows(5, language=lambda k: "de")
    folder = saved(tmp_path, train=french, validation=german, test=french)
    train, held_out = load_pairs(DataArguments(folder, where="language=fr"))
    assert (len(train), len(held_out)) == (10, 10)


def test_every_nth_picture_is_held_out_with_all_its_rows(tmp_path):
    # Three rows to a picture, in no order.
    table = rows(60, image=lambda k: shade(k % 20), image_id=lambda k: k * 7 % 20).remove_columns("captions")
    table = table.add_column("caption", [f"picture {k * 7 % 20}" for k in range(60)])
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, table), holdout_every=5))
    assert set(held_out.captions) == {"picture 4", "picture 9", "picture 14", "picture 19"}
    assert not set(train.captions) & set(held_out.captions)
    assert (len(train), len(held_out)) == (48, 12)


def test_groups_of_a_column_are_held_out_whole(tmp_path):
    table = rows(30, author=lambda k: f"author {k % 6}", image_id=lambda k: k)
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, table), holdout_by="author", holdout_every=3))
    assert {number % 6 for number in shades(held_out)} == {2, 5}
    assert {number % 6 for number in shades(train)} == {0, 1, 3, 4}
    assert len(train.image_id) + len(held_out.image_id) == 30


def test_other_pictures_are_held_out_to_choose_on(tmp_path):
    path = parquet(tmp_path, rows(15))
    held = {}
    for offset in (0, 1, 4):
        train, held_out = load_pairs(DataArguments(path, holdout_every=5, holdout_offset=offset))
        held[offset] = set(shades(held_out))
        assert held[offset].isdisjoint(shades(train))
        assert len(shades(train)) == 12
    assert len(held[0] | held[1] | held[4]) == 9
    with pytest.raises(InputError, match=r"holdout_offset must be at least 0 and below holdout_every \(5\), got 5"):
        load_pairs(DataArguments(path, holdout_every=5, holdout_offset=5))


@pytest.mark.parametrize(
    ("size", "every", "message"),
    [(30, 1, "holdout_every must be at least 2, got 1"), (3, 10, "Of 3 groups .* --holdout_every 10")],
)
def test_a_hold_out_that_cannot_be_made_is_refused(tmp_path, size, every, message):
    with pytest.raises(InputError, match=message):
        load_pairs(DataArguments(parquet(tmp_path, rows(size)), holdout_every=every))


def test_only_the_first_pictures_are_used_if_so_many_are_asked_for(tmp_path):
    arguments = DataArguments(parquet(tmp_path, rows(40)), max_train_pictures=5, max_eval_pictures=2)
    train, held_out = load_pairs(arguments)
    assert (shades(train), shades(held_out)) == ([0, 1, 2, 3, 4], [9, 19])


def test_asking_for_more_pictures_than_there_are_gives_all():
    assert len(to_pairs(rows(3), DataArguments(), "training", limit=7)) == 6


def test_noise_is_for_the_training_pairs_alone_and_comes_from_its_seed(tmp_path):
    path = parquet(tmp_path, rows(40))
    clean, clean_eval = load_pairs(DataArguments(path))
    noisy, noisy_eval = load_pairs(DataArguments(path, noise_rate=0.5))
    assert noisy_eval.captions == clean_eval.captions
    assert sorted(noisy.captions) == sorted(clean.captions)
    wrong = [caption.split()[0] != str(number) for caption, number in zip(noisy.captions, np.repeat(shades(noisy), 2))]
    assert noisy.is_noisy.tolist() == wrong
    assert 25 <= sum(wrong) <= 36  # 36 of 72 captions are picked, and a few return to their own picture
    assert load_pairs(DataArguments(path, noise_rate=0.5))[0].captions == noisy.captions
    assert load_pairs(DataArguments(path, noise_rate=0.5, noise_seed=1))[0].captions != noisy.captions
    draw = shuffle_captions(np.arange(72) // 2, 0.5, np.random.Generator(np.random.PCG64(0)))
    assert noisy.captions == draw.apply(clean.captions)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_noise_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(InputError, match=f"between 0 and 1, got {rate}"):
        load_pairs(DataArguments(noise_rate=rate))


BAD_CAPTIONS = [["good", " \n"], ["", "good"], ["good", None]]


@pytest.mark.parametrize("cell", [*BAD_CAPTIONS, [], None])
def test_an_empty_caption_stops_with_its_row_named(cell):
    table = rows(6, captions=lambda k: cell if k == 4 else ["good"])
    with pytest.raises(InputError, match=r"1 empty caption\(s\) among the training rows, first in row 4; .*skip"):
        whole(table)


@pytest.mark.parametrize("cell", BAD_CAPTIONS)
def test_an_empty_caption_is_left_out_if_so_asked(cell):
    pairs = whole(rows(6, captions=lambda k: cell if k == 4 else ["good"]), on_bad_row="skip")
    assert pairs.captions == ["good"] * 6
    assert shades(pairs) == [0, 1, 2, 3, 4, 5]
    assert pairs.report.found == {"empty": [4]}


@pytest.mark.parametrize("cell", [["", " "], [], None])
def test_a_picture_without_a_caption_is_left_out_if_so_asked(cell):
    pairs = whole(rows(6, captions=lambda k: cell if k == 4 else [f"{k}"]), on_bad_row="skip")
    assert pairs.captions == ["0", "1", "2", "3", "5"]
    assert shades(pairs) == [0, 1, 2, 3, 5]
    assert pairs.image_row.tolist() == [0, 1, 2, 3, 4]
    assert pairs.report.found == {"empty": [4] * (2 if cell else 1)}


def test_the_first_of_several_empty_captions_is_named():
    cells = {1: [], 3: [" "]}
    with pytest.raises(InputError, match=r"2 empty caption\(s\) .* first in row 1"):
        whole(rows(6, captions=lambda k: cells.get(k, ["good"])))


def test_a_bad_row_is_named_by_its_number_in_the_file(tmp_path):
    # Of 30 rows, 9, 19 and 29 are held out, so row 15 is the fifteenth of what remains, counted from 0: 14.
    path = parquet(tmp_path, rows(30, captions=lambda k: [" " if k == 15 else "good"]))
    with pytest.raises(InputError, match="row 15"):
        load_pairs(DataArguments(path))


def cut_short(number):
    """A picture whose head is whole."""
    return {"bytes": shade(number)["bytes"][:45], "path": None}


def with_broken_pictures(*numbers, **columns):
    return rows(6, image=lambda k: cut_short(k) if k in numbers else shade(k), **columns)


def test_a_broken_picture_stops_with_its_row_named():
    pairs = whole(with_broken_pictures(4))
    with pytest.raises(InputError, match="picture in row 4 does not decode"):
        shades(pairs)


def test_broken_pictures_are_left_out_if_so_asked():
    pairs = whole(with_broken_pictures(1, 4), on_bad_row="skip")
    assert shades(pairs) == [0, 2, 3, 5]
    assert pairs.captions == [f"{k} {word}" for k in (0, 2, 3, 5) for word in ("one", "two")]
    assert pairs.report.found == {"broken": [1, 4]}
    assert (pairs.report.rows, pairs.report.pictures, pairs.report.captions) == (6, 4, 8)


def test_broken_pictures_are_named_right_beside_empty_captions():
    table = with_broken_pictures(4, captions=lambda k: [] if k == 2 else ["good"])
    pairs = whole(table, on_bad_row="skip")
    assert shades(pairs) == [0, 1, 3, 5]
    assert pairs.report.found == {"empty": [2], "broken": [4]}


@pytest.mark.parametrize("broken", [with_broken_pictures(*range(6)), rows(6, captions=lambda k: [""])])
def test_without_one_usable_pair_there_is_nothing_to_train_on(broken):
    with pytest.raises(InputError, match="not one usable pair to use for training"):
        whole(broken, on_bad_row="skip")


def test_scenes_are_drawn_in_the_sizes_asked_for():
    train, test = load_pairs(DataArguments("scenes", max_train_pictures=3, max_eval_pictures=2))
    assert (len(train), len(test)) == (15, 10)
    assert train.picture(0).size == (96, 96)
    assert not set(train.captions) & set(test.captions)


def test_an_unknown_world_of_scenes_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="'moon'.*studio.*street"):
        load_pairs(DataArguments("scenes", dataset_config="moon"))


def test_rows_of_one_picture_share_it_and_are_no_rivals():
    table = datasets.Dataset.from_list(
        [{"image": shade(k), "caption": f"{k} {i}", "image_id": f"p{k}"} for i in (0, 1) for k in (2, 0, 1)]
    )
    pairs = whole(table)
    assert pairs.captions == ["2 0", "0 0", "1 0", "2 1", "0 1", "1 1"]
    assert pairs.image_row.tolist() == [0, 1, 2, 0, 1, 2]
    assert shades(pairs) == [2, 0, 1]


def test_columns_of_another_kind_are_refused():
    with pytest.raises(InputError, match="holds int in row 0"):
        whole(rows(3, captions=lambda k: k))
    with pytest.raises(InputError, match="'image' .* holds no pictures"):
        whole(datasets.Dataset.from_list([{"image": 1, "caption": "one"}]))


@pytest.mark.parametrize("weight", [lambda k: k / 10, lambda k: [k / 10] * 2])
def test_weights_of_rows_or_of_captions_are_read_where_asked_for(tmp_path, weight):
    path = parquet(tmp_path, rows(10, weight=weight))
    assert load_pairs(DataArguments(dataset=path, holdout_every=5))[0].weight is None
    pairs, _ = load_pairs(DataArguments(dataset=path, weight_column="weight", holdout_every=5))
    expected = np.repeat([np.float32(number / 10) for number in shades(pairs)], 2)
    assert pairs.weight.dtype == np.float32
    assert pairs.weight.tolist() == expected.tolist()
    kept = pairs.keep_captions(np.array([1, 4]))
    assert kept.weight.tolist() == expected[[1, 4]].tolist()
    noisy = moved_by(pairs, np.roll(np.arange(len(pairs)), 1))
    assert noisy.weight.tolist() == expected.tolist()  # of the place, whatever caption stands there


@pytest.mark.parametrize("cell", [1.5, -0.1, float("nan"), None])
def test_a_weight_that_is_none_is_named_with_its_row(tmp_path, cell):
    path = parquet(tmp_path, rows(10, weight=lambda k: cell if k == 2 else 0.5))
    with pytest.raises(InputError, match=r"'weight' holds .* in row 2, and a weight is a number from 0 to 1"):
        load_pairs(DataArguments(dataset=path, weight_column="weight"))


def test_a_column_of_weights_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no column 'trust'; there are image, captions"):
        load_pairs(DataArguments(dataset=parquet(tmp_path, rows(10)), weight_column="trust"))
