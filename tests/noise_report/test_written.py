"""What a report of embedded pairs holds, and what it replaces."""

import re
from dataclasses import replace

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hf_noisy_itm import InputError
from hf_noisy_itm.data import DataArguments, load_pairs
from hf_noisy_itm.data.groups import column_of
from hf_noisy_itm.noise_report import make_report, parse_report, told, write_report
from hf_noisy_itm.noise_report.findings import examine
from hf_noisy_itm.noise_report.suggestions import right_suggestions
from hf_noisy_itm.noise_report.summary import told_first

from .conftest import DATA, HOSTILE, TOLD, png, small_world, unit


def test_a_suggestion_is_a_suspicious_caption_that_fits_and_the_page_has_the_same(small):
    findings, pairs = small.findings, small.pairs
    rows = pq.read_table(small.folder / "scores.parquet").to_pydict()
    of_id = dict(zip(rows["caption_id"], zip(rows["caption"], rows["is_flagged"])))
    offered = np.array([text is not None for text in rows["suggested_caption"]])
    for row in np.flatnonzero(offered):
        text, flagged = of_id[rows["suggested_caption_id"][row]]
        assert flagged
        assert rows["is_flagged"][row]
        assert text == rows["suggested_caption"][row]
        other = findings.suggested[row]
        fits = small.encoded.image_embeds[pairs.image_row[row]] @ small.encoded.text_embeds[other]
        assert fits > rows["cosine"][row]
        assert fits > rows["cosine"][other]
    assert 0 < offered.sum() < findings.flagged.sum()
    page = (small.folder / "report.html").read_text()
    assert page.count('class="suggested"') == offered[findings.order[:200]].sum()


def test_most_suggestions_are_right_and_a_poor_scorer_has_none():
    """Of the nearest captions less than half were written for the picture."""
    pairs, encoded = small_world(pictures=500, width=16, noise=0.3)
    findings, keys = examine(encoded, 30.0, pairs.captions), list(range(500))
    offered = right_suggestions(findings.suggested, pairs, keys)
    nearest = np.where(findings.flagged, findings.alike.foreign[pairs.image_row, 0], -1)
    assert offered["right"] > right_suggestions(nearest, pairs, keys)["right"] + 0.1
    assert offered["offered"] > 20
    dim = unit(encoded.text_embeds + 0.6 * torch.randn(1500, 16, generator=torch.Generator().manual_seed(0)))
    poor = examine(replace(encoded, text_embeds=dim), 30.0, pairs.captions)
    assert (poor.suggested == -1).all()


def test_suggestions_are_counted_by_hand():
    """Pictures 0 and 1 are equal; captions 0 and 2 have changed places, and 3 reads like 0."""
    pairs, _ = small_world(pictures=4, captions=1, noise=0.0)
    pairs = replace(pairs, captions=["c", "b", "a", " A"], caption_image_id=np.array([2, 1, 0, 3]))
    found = right_suggestions(np.array([3, 2, 0, 1]), pairs, ["x", "x", "y", "z"])
    assert found == {"offered": 4, "right": 0.75}  # " A" for 0 and "a" for 1, as "x" has it; "c" for 2; not "b" for 3
    assert right_suggestions(np.full(4, -1), pairs, ["x", "x", "y", "z"]) == {"offered": 0, "right": None}


@pytest.mark.usefixtures("without_plots")
def test_equal_captions_of_other_pictures_are_listed(small, tmp_path):
    pairs, encoded = small.pairs, small.encoded
    captions = [*pairs.captions[:-1], f" {pairs.captions[0].upper()}"]
    write_report(tmp_path / "report", replace(pairs, captions=captions), encoded, 30.0, TOLD)
    rows = pq.read_table(tmp_path / "report" / "alike.parquet").to_pylist()
    (found,) = [row for row in rows if row["what"] == "equal captions"]
    assert (found["image_id"], found["other_image_id"], found["cosine"]) == (0, 119, 1.0)
    assert found["caption_id"] == pairs.caption_id[0]
    assert found["other_caption_id"] == pairs.caption_id[-1]


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("kind", ["float", "bool", "half a letter"])
def test_ids_of_any_kind_are_written(kind, tmp_path):
    pairs, encoded = small_world(pictures=40)
    number = np.arange(len(pairs))
    ids = {"float": number + 0.5, "bool": number % 2 == 0, "half a letter": np.array([f"\ud800{n}" for n in number])}[
        kind
    ]
    write_report(tmp_path / "report", replace(pairs, name=ids[:40], caption_name=ids), encoded, 30.0, TOLD)
    rows = pq.read_table(tmp_path / "report" / "scores.parquet").to_pydict()
    assert rows["caption_id"] == [str(each).replace("\ud800", "?") for each in ids.tolist()]


def test_groups_of_empty_cells_and_of_lists(tmp_path):
    cells = [png(row) for row in range(12)]
    table = {"image": [{"bytes": cell, "path": None} for cell in cells], "caption": [f"a {row}" for row in range(12)]}
    table |= {"source": ["x", None, ""] * 4, "year": [1.0, float("nan"), 3.0] * 4, "tags": [["a", "b"]] * 12}
    rows = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    rows.to_parquet(tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4)
    pairs, _ = load_pairs(data)
    assert set(column_of(data, pairs, "source")) == {"x", "(empty)"}
    assert set(column_of(data, pairs, "year")) == {"1", "3", "(empty)"}
    with pytest.raises(InputError, match="'tags' holds list in row"):
        column_of(data, pairs, "tags")


def test_groups_are_of_the_pair_s_own_row_and_caption(tmp_path):
    """Rows 2k and 2k + 1 share a picture; their sites differ, and so do the writers of their captions."""
    cells = [{"bytes": png(row // 2), "path": None} for row in range(16)]
    table = {"image": cells, "image_id": [row // 2 for row in range(16)], "site": [f"s{row}" for row in range(16)]}
    table |= {"captions": [[f"a {row}", f"b {row}"] for row in range(16)]}
    table |= {"writer": [[f"x{row}", None] if row % 3 else None for row in range(16)]}
    rows = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    rows.to_parquet(tmp_path / "p.parquet")
    data = DataArguments(dataset=str(tmp_path / "p.parquet"), holdout_every=4, noise_rate=0.5)
    clean, _ = load_pairs(replace(data, noise_rate=None))
    pairs, _ = load_pairs(data)
    own = [text.split() for text in clean.captions]
    assert column_of(data, pairs, "site").tolist() == [f"s{row}" for _, row in own]
    writers = [f"x{row}" if word == "a" and int(row) % 3 else "(empty)" for word, row in own]
    assert column_of(data, pairs, "writer").tolist() == writers


@pytest.mark.usefixtures("without_plots")
def test_long_captions_and_pictures_that_do_not_decode_are_borne(tmp_path):
    pairs, encoded = small_world(pictures=40)
    captions = ["word " * 10_000, *pairs.captions[1:]]
    cells = [{"bytes": b"no picture", "path": None}] * 40
    broken = datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image(decode=False))
    write_report(tmp_path, replace(pairs, captions=captions, pictures=broken), encoded, 30.0, TOLD)
    page = (tmp_path / "report.html").read_text()
    assert "not readable" in page
    assert len(page) < 2e6


def test_hostile_captions_are_escaped_in_every_place(hostile):
    folder, _ = hostile
    page = (folder / "report.html").read_text()
    assert "<script>document" not in page
    assert '"><img' not in page
    assert "&lt;script&gt;document.title" in page
    assert "<b>scorer</b>" not in page
    assert "<b>column</b>" not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert "\u202e" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    rows = pq.read_table(folder / "scores.parquet").to_pydict()
    assert {text for text in HOSTILE[:5]} <= set(rows["caption"])
    assert any("half a letter" in text for text in rows["caption"])


def test_the_same_data_give_the_same_report(small, tmp_path):
    pairs, encoded = small_world()
    write_report(tmp_path / "again", pairs, encoded, 30.0, TOLD)
    for file in ("scores.parquet", "alike.parquet", "report.html", "report.json"):
        assert (small.folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


@pytest.mark.usefixtures("without_plots")
def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    pairs, encoded = small_world(pictures=40)
    folder = tmp_path / "report"
    write_report(folder, pairs, encoded, 30.0, TOLD, None, {"parity": np.arange(len(pairs)) % 2})
    assert (folder / "plots" / "groups_1.png").exists()
    write_report(folder, pairs, encoded, 30.0, TOLD)
    assert not (folder / "plots" / "groups_1.png").exists()
    (folder / "plots" / "mine.png").write_text("dear")
    with pytest.raises(InputError, match="plots/mine.png is no part of a report: name another folder"):
        write_report(folder, pairs, encoded, 30.0, TOLD)
    assert (folder / "plots" / "mine.png").read_text() == "dear"
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.json").write_text('{"accuracy": 1}')
    with pytest.raises(InputError, match="holds no report.json of a report"):
        make_report(*parse_report(["./no-such-model", *DATA, "--output", str(other)]))  # before any work
    assert [path.name for path in other.iterdir()] == ["report.json"]


@pytest.mark.usefixtures("without_plots")
def test_a_report_that_is_cut_short_leaves_the_one_before(monkeypatch, tmp_path):
    pairs, encoded = small_world(pictures=40)
    write_report(tmp_path / "report", pairs, encoded, 30.0, TOLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")}

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_noisy_itm.noise_report.make.write_page", cut)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "report", pairs, encoded, 10.0, TOLD)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").rglob("*.*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.usefixtures("without_plots")
def test_a_scorer_that_knows_nothing_is_doubted(small, tmp_path):
    pairs, encoded = small.pairs, small.encoded
    stranger = replace(encoded, image_embeds=encoded.image_embeds.roll(1, dims=0))
    _, figures = write_report(tmp_path, pairs, stranger, 30.0, TOLD)
    assert re.search("random partners poorly|Nearly all pairs look like random ones", " ".join(figures["doubts"]))
    page = (tmp_path / "report.html").read_text()
    assert 0 < page.index('class="doubt"') < page.index('class="tile"')
    summary = told(figures)
    assert 0 < summary.index("note: ") < summary.index("wrong, estimated")
    assert not small.figures["doubts"]


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_poor_scorer_s_share_is_called_an_upper_bound(noise, tmp_path):
    """It sees a little of clean data, and takes some for wrong."""
    pairs, encoded = small_world(pictures=500, noise=noise)
    dim = unit(encoded.text_embeds + 0.6 * torch.randn(1500, 24, generator=torch.Generator().manual_seed(0)))
    _, figures = write_report(tmp_path, pairs, replace(encoded, text_embeds=dim), 30.0, TOLD)
    assert figures["estimate"]["rate"] < 0.6
    assert "an upper bound at best" in figures["doubts"][0]
    assert told_first(figures).startswith("note: This scorer tells right pairs")


@pytest.mark.usefixtures("without_plots")
def test_too_few_pairs_are_told(tmp_path):
    pairs, encoded = small_world(pictures=30, noise=0.5)
    _, figures = write_report(tmp_path, pairs, encoded, 30.0, TOLD)
    assert "too few pairs" in " ".join(figures["doubts"])
    assert figures["estimate"]["high"] - figures["estimate"]["low"] > 0.15
