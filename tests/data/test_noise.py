"""Noise at training time: from `DataArguments` to `Pairs` and their pedigree."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from transformers.utils import logging

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, load_pairs, load_stream, table
from hf_noisy_itm.data.caption_lines import save_caption_lines
from hf_noisy_itm.data.draws import save_draw
from hf_noisy_itm.data.load import to_pairs
from hf_noisy_itm.functional.noise import TEXT_KINDS, draw_noise

from .moving import moved_by
from .test_load import parquet, rows

CAPTIONS = {"captions": lambda k: [f"a black dog beside picture {k}", f"two white cats under table {k}"]}


@pytest.fixture
def path(tmp_path):
    return parquet(tmp_path, rows(40, image_id=lambda k: f"p{k}", **CAPTIONS))


@pytest.mark.parametrize("kind", ["shuffle", "shuffle_images", *TEXT_KINDS])
def test_every_kind_of_noise_can_be_trained_on(path, kind):
    clean, _ = load_pairs(DataArguments(path))
    noisy, held_out = load_pairs(DataArguments(path, noise_rate=0.5, noise_kind=kind, noise_seed=7))
    draw = draw_noise(kind, 0.5, 7, np.arange(72) // 2, clean.captions)
    assert noisy.captions == draw.apply(clean.captions)
    assert noisy.is_noisy.tolist() == draw.is_noisy.tolist()
    assert 0.3 < noisy.is_noisy.mean() < 0.7
    assert not held_out.is_noisy.any()
    text = kind in TEXT_KINDS
    assert noisy.damaged.tolist() == (draw.is_noisy.tolist() if text else [False] * 72)
    expected = {"kind": kind, "nominal": 0.5, "realised": draw.realised, "seed": 7, "family": None, "captions": 72}
    expected |= {"sha256": draw.sha256} | ({} if text else {"keep_none": False})
    assert noisy.pedigree == expected
    assert clean.pedigree is None
    names = np.repeat(clean.name, 2)
    assert noisy.noise_source.tolist() == (names if text else names[draw.source]).tolist()


def test_no_picked_caption_stays_if_so_asked(path):
    noisy, _ = load_pairs(DataArguments(path, noise_rate=0.5, noise_keep_none=True))
    assert noisy.is_noisy.sum() == 36
    assert noisy.pedigree["keep_none"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_kind": "semantic", "noise_file": "x.npy"}, "not of the kind semantic"),
        ({"noise_kind": "mirror"}, "no noise_kind 'mirror'; there are shuffle, shuffle_images, semantic, partial"),
        ({"noise_kind": "partial", "noise_keep_none": True}, "not for partial; leave it out"),
        ({"noise_kind": "partial", "noise_file": "x.npy"}, "not of the kind partial"),
        ({"noise_keep_none": True, "noise_file": "x.npy"}, "leave noise_keep_none out"),
        ({"noise_file": "no/such.npy"}, "no/such.npy cannot be read"),
        ({"noise_file": "no/such.txt"}, "no/such.txt cannot be read"),
        ({"noise_seed": 3, "noise_file": "x.npy"}, "leave noise_seed out"),
    ],
)
def test_noise_that_cannot_be_drawn_is_refused(path, arguments, message):
    with pytest.raises(InputError, match=message):
        load_pairs(DataArguments(path, noise_rate=0.4, **arguments))


@pytest.mark.parametrize("kind", ["shuffle", "shuffle_images"])
def test_a_published_draw_pairs_captions_as_its_file_says(path, tmp_path, kind):
    noise = draw_noise(kind, 0.5, 1, np.arange(72) // 2)
    save_draw(tmp_path / "draw.npy", noise, 2)
    clean, _ = load_pairs(DataArguments(path))
    noisy, _ = load_pairs(DataArguments(path, noise_file=str(tmp_path / "draw.npy"), noise_kind=kind))
    index = np.load(tmp_path / "draw.npy")  # caption i is paired with picture index[i]
    paired = {(caption, int(picture)) for caption, picture in zip(noisy.captions, noisy.image_row)}
    assert paired == {(caption, int(picture)) for caption, picture in zip(clean.captions, index)}
    assert noisy.pedigree["kind"] == kind
    assert noisy.pedigree["seed"] is noisy.pedigree["family"] is None
    assert noisy.pedigree["file"] == "draw.npy"
    assert noisy.pedigree["realised"] == noise.realised == noisy.is_noisy.mean()


@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("keyed", [False, True])
def test_the_captions_that_npc_published_are_those_trained_on(tmp_path, c, keyed):
    table = rows(40, image_id=lambda k: f"p{k}", captions=lambda k: CAPTIONS["captions"](k)[:c])
    path = parquet(tmp_path, table)
    clean, _ = load_pairs(DataArguments(path))
    noise = draw_noise("shuffle", 0.5, 1, np.arange(36 * c) // c, keep_none=True)  # of the rate in the file's name
    file = tmp_path / "0.5_noise_train_caps.txt"
    noisy_lines = noise.apply(clean.captions)
    save_caption_lines(file, noisy_lines, [f"k{n}" for n in range(36 * c)] if keyed else None)
    noisy, held_out = load_pairs(DataArguments(path, noise_file=str(file)))
    assert noisy.captions == noisy_lines
    assert noisy.is_noisy.tolist() == noise.is_noisy.tolist()
    assert noisy.caption_id.tolist() == noise.source.tolist()
    assert not held_out.is_noisy.any()
    expected = {"kind": "shuffle", "nominal": 0.5, "realised": noise.realised, "seed": None, "family": None}
    expected |= {"captions": 36 * c, "file": file.name, "ambiguous": 0}
    assert noisy.pedigree == expected | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_published_captions_must_be_those_of_the_pairs(path, tmp_path):
    clean, _ = load_pairs(DataArguments(path))
    file = tmp_path / "1.0_noise_train_caps.txt"
    save_caption_lines(file, clean.captions[2:] + clean.captions[:2])
    noisy, _ = load_pairs(DataArguments(path, noise_file=str(file), noise_kind="shuffle_images"))
    assert noisy.is_noisy.all()
    assert noisy.pedigree["nominal"] == 1.0
    other = tmp_path / "0.2_noise_train_caps.txt"
    other.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="has 100.00% of wrong captions, but a rate of 20.00% is in its name; is it "):
        load_pairs(DataArguments(path, noise_file=str(other)))
    with pytest.raises(InputError, match=r"has 100.00% of wrong captions, but a rate of 40.00% is claimed"):
        load_pairs(DataArguments(path, noise_file=str(file), noise_rate=0.4))
    file = tmp_path / "caps.txt"
    save_caption_lines(file, clean.captions[1:] + clean.captions[:1])
    with pytest.raises(InputError, match="of caption level, not of image level"):
        load_pairs(DataArguments(path, noise_file=str(file), noise_kind="shuffle_images"))
    save_caption_lines(file, ["another"] + clean.captions[1:])
    with pytest.raises(InputError, match="in line 1 a caption that the data set does not have"):
        load_pairs(DataArguments(path, noise_file=str(file)))
    save_caption_lines(file, clean.captions[1:])
    with pytest.raises(InputError, match="has 71 captions, but 36 pictures with 2 each need 72"):
        load_pairs(DataArguments(path, noise_file=str(file)))


def test_a_published_draw_must_fit_the_pairs(path, tmp_path):
    file = str(tmp_path / "draw.npy")
    save_draw(file, draw_noise("shuffle", 0.5, 1, np.arange(40) // 2), 2)
    with pytest.raises(InputError, match="is for 40 captions, 2 to a picture, but there are 72 to train on"):
        load_pairs(DataArguments(path, noise_file=file))
    with pytest.raises(InputError, match="a rate of 90.00% is claimed"):
        load_pairs(DataArguments(path, noise_file=file, noise_rate=0.9))
    with pytest.raises(InputError, match="caption level, not of image level"):
        load_pairs(DataArguments(path, noise_file=file, noise_kind="shuffle_images"))
    uneven = parquet(tmp_path, rows(40, captions=lambda k: ["a", "b", "c"] if k == 3 else ["a", "b"]))
    with pytest.raises(InputError, match="the picture in row 3 has 3 and the first one 2"):
        load_pairs(DataArguments(uneven, noise_file=file))
    single = parquet(tmp_path, rows(40, captions=lambda k: ["a"]))
    with pytest.raises(InputError, match="pictures of one caption"):
        load_pairs(DataArguments(single, noise_file=file))
    table = rows(40, captions=lambda k: ["a"], image_id=lambda k: k % 20, image=lambda k: rows(20)[k % 20]["image"])
    with pytest.raises(InputError, match="those of a picture lie apart"):
        load_pairs(DataArguments(parquet(tmp_path, table), noise_file=file))


def test_a_stream_names_the_way_to_noise(path):
    for arguments in ({"noise_rate": 0.4}, {"noise_file": "x.npy"}):
        with pytest.raises(InputError, match="make_noise.py and stream that"):
            load_stream(DataArguments(path, streaming=True, **arguments))


def test_noise_on_noise_keeps_both_pedigrees(path):
    once, _ = load_pairs(DataArguments(path, noise_rate=0.5))
    second = draw_noise("truncated", 0.5, 0, once.image_id[once.image_row], once.captions)
    twice = once.with_noise(second, {"kind": "truncated"})
    assert twice.pedigree == {"kind": "truncated", "before": once.pedigree}
    assert twice.is_noisy.tolist() == (once.is_noisy | second.is_noisy).tolist()
    assert once.with_noise(second).pedigree is None  # better nothing than half of it


@pytest.mark.parametrize("cell", [lambda k: k * 7, lambda k: f"{k:03}"])
def test_the_ids_of_the_source_are_kept(cell):
    pairs = to_pairs(rows(4, image_id=cell), DataArguments(), "training")
    assert pairs.name.tolist() == [cell(k) for k in range(4)]
    assert pairs.image_id.tolist() == [0, 1, 2, 3]
    moved = moved_by(pairs, [2, 1, 0, 3, 7, 5, 6, 4])
    assert moved.noise_source.tolist() == [cell(k) for k in (1, 0, 0, 1, 3, 2, 3, 2)]
    part = moved.keep_pictures(np.array([0, 3]))
    assert part.noise_source.tolist() == [cell(k) for k in (1, 0, 3, 2)]  # two of them are gone
    assert part.keep_captions(np.array([0])).noise_source.tolist() == [cell(1)]


def test_pictures_without_ids_are_named_by_their_rows():
    assert to_pairs(rows(3), DataArguments(), "training").name.tolist() == [0, 1, 2]


def test_sources_that_are_not_here_keep_their_names():
    table = rows(3, captions=lambda k: [f"{k}"], image_id=lambda k: 10 + k, noise_source=lambda k: (10, 99, 12)[k])
    pairs = to_pairs(table, DataArguments(), "training")
    assert pairs.noise_source.tolist() == [10, 99, 12]
    assert pairs.is_noisy.tolist() == [False, True, False]


def test_captions_known_to_be_wrong_are_not_evaluated_on(tmp_path):
    some = rows(20, is_noisy=lambda k: [k in (9, 12), False])
    train, held_out = load_pairs(DataArguments(parquet(tmp_path, some)))  # rows 9 and 19 are held out
    assert held_out.captions == ["9 two", "19 one", "19 two"]
    assert held_out.report.found["noisy"] == [9]
    assert train.report.found["noisy"] == [12]
    line = next(line for line in table([train.report, held_out.report]).splitlines() if "known to be wrong" in line)
    assert line.split()[5:] == "1 1 trained on, not evaluated on training 12; evaluation 9".split()
    assert train.is_noisy.sum() == 1
    gone = rows(20, is_noisy=lambda k: k == 9)
    assert load_pairs(DataArguments(parquet(tmp_path, gone)))[1].captions == ["19 one", "19 two"]
    with pytest.raises(InputError, match="All captions to evaluate on are known to be wrong"):
        load_pairs(DataArguments(parquet(tmp_path, rows(20, is_noisy=lambda k: True))))


def test_keep_captions_keeps_only_their_pictures(pairs):
    kept = pairs.keep_captions(np.array([1, 5, 6, 119]))
    assert kept.captions == [pairs.captions[row] for row in (1, 5, 6, 119)]
    assert kept.image_row.tolist() == [0, 1, 1, 2]
    assert kept.image_id.tolist() == pairs.image_id[[0, 1, 23]].tolist()
    assert replace(kept, pedigree={"kind": "x"}).keep_captions(np.array([0])).pedigree == {"kind": "x"}


@pytest.mark.parametrize("given", [{"noise_kind": "partial"}, {"noise_seed": 3}, {"noise_keep_none": True}])
def test_noise_without_a_rate_is_refused_and_a_rate_of_zero_is_a_clean_control(path, given):
    with pytest.raises(InputError, match=f"{next(iter(given))} is given but no noise_rate, so nothing would be made"):
        load_pairs(DataArguments(path, **given))
    control, _ = load_pairs(DataArguments(path, noise_rate=0.0, **given))
    assert control.pedigree is None
    assert not control.is_noisy.any()
    assert DataArguments(path).noise_rate is None


def test_a_buffer_is_for_streams(path):
    with pytest.raises(InputError, match="shuffle_buffer is of a stream, .*; leave it out"):
        load_pairs(DataArguments(path, shuffle_buffer=7))


def test_noise_that_finds_nothing_to_do_is_warned_of(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.get_logger("transformers"), "propagate", True)
    german = {"captions": lambda k: [f"ein schwarzer Hund, Bild {k}"]}
    load_pairs(DataArguments(parquet(tmp_path, rows(40, **german)), noise_rate=0.5, noise_kind="partial"))
    assert "Noise of the kind partial at rate 0.5 made" in caplog.text
    assert "it replaces English words" in caplog.text
    caplog.clear()
    load_pairs(DataArguments(parquet(tmp_path, rows(40, **german)), noise_rate=0.5))
    assert not caplog.text
