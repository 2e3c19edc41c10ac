from collections import Counter

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hf_noisy_itm import InputError, NoisyITMArguments, NoisyITMTrainer
from hf_noisy_itm.data import DataArguments, PairCollator, StreamCollator, StreamedPairs, load_stream
from hf_noisy_itm.data.stream import _as_pairs
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, NPCConfig, NPCModel

from ..methods.test_contract import make
from .local_copies import karpathy, picture, write
from .test_sources import SIZE, csv, jsonl, pictures, record, tar, text

ROWS = 22


def numbers(stream, number=0):
    """Which rows the captions of one pass were."""
    return [int(pair["caption"]) for pair in stream.one_pass(number)]


def streamed(shards=1, size=ROWS, **arguments):
    cells = {
        "image": [{"bytes": picture(k), "path": None} for k in range(size)],
        "caption": [str(k) for k in range(size)],
    }
    rows = datasets.Dataset.from_dict({**cells, "image_id": list(range(size))}).cast_column("image", datasets.Image())
    return StreamedPairs(rows.to_iterable_dataset(shards), DataArguments("test", **{"shuffle_buffer": 8, **arguments}))


class OnePass(torch.utils.data.IterableDataset):
    """The first pass of a stream, as a worker sees it."""

    def __init__(self, stream):
        self.stream = stream

    def __iter__(self):
        yield from self.stream.one_pass()


@pytest.mark.parametrize("shards", [1, 2, 3, 6])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_processes_and_workers_together_see_each_row_once_a_pass(shards, processes, workers):
    stream = streamed(shards)
    seen = []
    for rank in range(processes):
        part = OnePass(stream.share(rank, processes))
        loader = DataLoader(part, batch_size=None, num_workers=workers)
        seen += [int(row["caption"]) for row in loader]
    assert Counter(seen) == Counter(range(ROWS))


def test_the_shuffle_comes_from_seed_and_pass():
    stream = streamed(3)
    assert numbers(stream) == numbers(stream)
    assert numbers(stream, 0) != numbers(stream, 1)
    assert sorted(numbers(stream, 1)) == list(range(ROWS))
    assert numbers(StreamedPairs(stream.rows, stream.args, seed=1)) != numbers(stream)
    assert numbers(streamed(3, shuffle_buffer=1)) == list(range(ROWS))


def test_passes_follow_each_other_without_end():
    stream = streamed()
    rows = [int(row["caption"]) for row, _ in zip(stream, range(2 * ROWS))]
    assert rows == numbers(stream, 0) + numbers(stream, 1)


def test_a_stream_of_nothing_ends_with_a_sentence():
    stream = streamed(where="x")
    empty = StreamedPairs(stream.rows.filter(lambda row: False), stream.args)
    with pytest.raises(InputError, match="not one usable pair for process 0"):
        next(iter(empty))


def test_a_batch_is_that_of_the_same_pairs_in_memory(processor, pairs):
    cells = [{"image": pairs.pictures[row // 5]["image"], "caption": pairs.captions[row]} for row in (3, 4, 119)]
    rows = [{**cell, "image_id": image_id} for cell, image_id in zip(cells, (0, 0, 23))]
    batch = StreamCollator(processor, 24)(rows)
    expected = PairCollator(processor, pairs, max_length=24)([pairs[row] for row in (3, 4, 119)])
    assert batch.keys() == expected.keys() - {"index", "category"}  # rows of a stream have no place and no labels
    for name, tensor in batch.items():
        assert torch.equal(tensor, expected[name])


def test_pictures_without_ids_are_known_by_their_bytes():
    cells = [{"bytes": picture(k), "path": None} for k in (5, 5, 6)]
    rows = datasets.Dataset.from_dict({"image": cells, "caption": ["a", "b", "c"]}).cast_column(
        "image", datasets.Image()
    )
    stream = StreamedPairs(rows.to_iterable_dataset(), DataArguments(shuffle_buffer=1))
    ids = [pair["image_id"] for pair in stream.one_pass()]
    assert ids[0] == ids[1] != ids[2]
    assert np.array(ids).dtype == np.int64
    named = [
        pair["image_id"]
        for pair in StreamedPairs(
            rows.add_column("image_id", ["x", "y", "x"]).to_iterable_dataset(), stream.args
        ).one_pass()
    ]
    assert named[0] == named[2] != named[1]


def test_each_caption_of_a_list_is_a_pair():
    rows = datasets.Dataset.from_dict({"image": [{"bytes": picture(1), "path": None}], "captions": [["a", " ", "b"]]})
    stream = StreamedPairs(rows.cast_column("image", datasets.Image()).to_iterable_dataset(), DataArguments())
    assert [pair["caption"] for pair in stream.one_pass()] == ["a", "b"]


BAD = {
    "blank": {"caption": " "},
    "none": {"caption": None},
    "no picture": {"image": None},
    "broken": {"image": {"bytes": picture(3)[:45], "path": None}},
    "text": {"image": {"bytes": b"text", "path": None}},
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_stops_the_run_or_is_left_out(processor, kind):
    rows = [{"image": {"bytes": picture(k), "path": None}, "caption": str(k), "image_id": k} for k in range(4)]
    rows[2] |= BAD[kind]
    rows = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_iterable_dataset()
    stream = StreamedPairs(rows, DataArguments("test", shuffle_buffer=1))
    with pytest.raises(InputError, match="has no caption|has no picture|row of image_id 2 does not decode") as error:
        StreamCollator(processor)(list(stream.one_pass()))
    assert "\n" not in str(error.value)
    skipping = StreamedPairs(rows, DataArguments("test", shuffle_buffer=1, on_bad_row="skip"))
    assert numbers(skipping) == [0, 1, 3]


def sources(tmp_path):
    """Every form of `test_sources` with a split to evaluate on; row k has the caption 'caption k' and shade k."""
    folder = tmp_path / "folder"
    pictures(folder / "pictures")
    parquet = datasets.Dataset.from_list(
        [{"image": {"bytes": picture(k), "path": None}, "caption": f"caption {k}"} for k in range(SIZE)]
    ).cast_column("image", datasets.Image())
    for name in ("train", "test"):
        (tmp_path / "parquet").mkdir(exist_ok=True)
        parquet.to_parquet(str(tmp_path / "parquet" / f"{name}.parquet"))
        tar(tmp_path / "shards" / f"{name}.tar", range(SIZE), json=record)
        tar(tmp_path / "texts" / f"{name}.tar", range(SIZE), txt=text)
    datasets.DatasetDict(train=parquet, test=parquet).save_to_disk(tmp_path / "saved")
    for name in ("train", "test"):
        pictures(tmp_path / "images" / name)
        lines = ["file_name,caption", *(f"{k}.png,caption {k}" for k in range(SIZE))]
        write(tmp_path / "images" / name / "metadata.csv", "\n".join(lines))
    return {name: tmp_path / name for name in ("parquet", "shards", "texts", "saved", "images")}


@pytest.mark.parametrize("form", ["parquet", "shards", "texts", "saved", "images"])
def test_every_form_can_be_streamed(tmp_path, form):
    stream, evaluation = load_stream(DataArguments(str(sources(tmp_path)[form]), streaming=True, max_eval_pictures=4))
    shades = [shade_and_caption(pair) for pair in stream.one_pass()]
    assert sorted(shades) == [(k, f"caption {k}") for k in range(SIZE)]
    assert evaluation.captions == [f"caption {k}" for k in range(4)]
    assert evaluation.picture(3).getpixel((0, 0)) == (3, 3, 3)


def shade_and_caption(pair):
    return _as_pairs([pair]).picture(0).getpixel((0, 0))[0], pair["caption"]


@pytest.mark.parametrize("make_table", [csv, jsonl])
def test_tables_can_be_streamed_but_hold_nothing_to_evaluate_on(tmp_path, make_table):
    pictures(tmp_path / "pictures")
    file = make_table(tmp_path / f"pairs.{make_table.__name__}")
    with pytest.raises(InputError, match="Nothing can be held out of a stream"):
        load_stream(DataArguments(str(file), streaming=True))


def test_builders_can_be_streamed(tmp_path):
    folder = karpathy(tmp_path / "flickr", "dataset_flickr30k.json", ["train"] * 5 + ["test"])
    stream, evaluation = load_stream(DataArguments("flickr30k", data_dir=str(folder), streaming=True))
    assert sorted(pair["caption"] for pair in stream.one_pass()) == [f"{k} {word}" for k in range(5) for word in "ab"]
    assert evaluation.captions == ["5 a", "5 b"]


def test_paths_of_a_stream_do_not_lead_out(tmp_path):
    folder = sources(tmp_path)["images"]
    (folder / "train" / "3.png").unlink()
    (folder / "train" / "3.png").symlink_to(write(tmp_path / "secret.png", picture(3)))
    stream, _ = load_stream(DataArguments(str(folder), streaming=True))
    with pytest.raises(InputError, match=r"The picture path .*3.png' leaves its folder"):
        list(stream.one_pass())


def test_a_filter_and_a_limit_hold_for_a_stream(tmp_path):
    rows = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": picture(k), "path": None} for k in range(20)],
            "caption": [str(k) for k in range(20)],
            "kind": ["ab"[k % 2] for k in range(20)],
        }
    ).cast_column("image", datasets.Image())
    datasets.DatasetDict(train=rows, test=rows).save_to_disk(tmp_path / "saved")
    arguments = DataArguments(str(tmp_path / "saved"), streaming=True, where="kind=b", max_train_pictures=4)
    stream, evaluation = load_stream(arguments)
    assert sorted(numbers(stream)) == [1, 3, 5, 7]
    assert evaluation.captions == [str(k) for k in range(1, 20, 2)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"noise_rate": 0.4}, "shuffled among all pairs"),
        ({"noise_seed": 4}, "leave noise_rate and the like out"),
        ({"noise_kind": "partial"}, "leave noise_rate and the like out"),
        ({"max_train_pictures": -1}, "max_train_pictures must be at least 1, got -1"),
        ({"shuffle_buffer": 0}, "shuffle_buffer must be at least 1"),
        ({"train_split": "dev"}, "no split 'dev'; it has train, test"),
        ({"eval_split": "dev"}, "has no split 'dev' beside 'train'"),
        ({"caption_column": "legend"}, "no column 'legend' or 'txt' in the stream; there are image, caption"),
        ({"where": "kind"}, "--where is column=value"),
        ({"where": "kind=a"}, "no column 'kind'"),
        ({"dataset": "nothing.csv"}, "There is no file"),
    ],
)
def test_what_a_stream_cannot_give_is_refused(tmp_path, arguments, sentence):
    arguments = {"dataset": str(sources(tmp_path)["parquet"]), "streaming": True, **arguments}
    with pytest.raises(InputError, match=sentence):
        load_stream(DataArguments(**arguments))


def trainer_on(stream, cls, config_cls, fields, clip_config, processor, pairs, folder, **arguments):
    model, _ = make(cls, config_cls, fields, clip_config)
    settings = {"max_steps": 6, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "logging_steps": 1}
    settings |= {"save_strategy": "no", "disable_tqdm": True, "seed": 5, "output_dir": str(folder), **arguments}
    return NoisyITMTrainer(model, NoisyITMArguments(**settings), stream, pairs, processor)


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("workers", [0, 2])
def test_no_pass_over_parquet_waits_for_threads(tmp_path, monkeypatch, workers):
    """`datasets` sleeps after a pass that read several shards at once; to sleep for less than nothing fails."""
    for part in range(3):
        rows = [
            {"image": {"bytes": picture(k), "path": None}, "caption": str(k)} for k in range(6 * part, 6 * part + 6)
        ]
        table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
        for name in (f"train-{part}", f"test-{part}"):
            table.to_parquet(str(tmp_path / "shards" / f"{name}.parquet"))
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", -1)
    stream, _ = load_stream(DataArguments(str(tmp_path / "shards"), streaming=True, shuffle_buffer=5))
    for _ in range(2):
        seen = []
        for rank in range(2):
            loader = DataLoader(OnePass(stream.share(rank, 2)), batch_size=None, num_workers=workers)
            seen += [int(row["caption"]) for row in loader]
        assert sorted(seen) == list(range(18)) != seen


@pytest.mark.parametrize("workers", [0, 2])
def test_the_baseline_trains_on_a_stream_and_resumes_exactly(clip_config, processor, pairs, tmp_path, workers):
    """22 rows in batches of 8: the second pass begins within the third batch; the run resumes after the fourth."""
    common = (BaselineModel, BaselineConfig, {}, clip_config, processor, pairs)
    options = {"dataloader_num_workers": workers}
    saving = {"save_strategy": "steps", "save_steps": 4}
    whole = trainer_on(streamed(2), *common, tmp_path / "whole", **options, **saving)
    whole.train()
    assert whole.state.global_step == 6
    resumed = trainer_on(streamed(2), *common, tmp_path / "resumed", **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    assert losses_of(resumed) == losses_of(whole)
    assert len(losses_of(whole)) == 6
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert "eval_rsum" in whole.evaluate()


def test_what_a_stream_cannot_serve_is_refused_before_training(clip_config, processor, pairs, tmp_path):
    common = (clip_config, processor, pairs, tmp_path)
    with pytest.raises(InputError, match="NPCModel builds a memory bank of all training pairs.*leave --streaming out"):
        trainer_on(streamed(), NPCModel, NPCConfig, {}, *common)
    with pytest.raises(InputError, match="A stream has no end: say with --max_steps"):
        trainer_on(streamed(), BaselineModel, BaselineConfig, {}, *common, max_steps=-1)
