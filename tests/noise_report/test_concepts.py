"""What a scorer that knows concepts names in the pairs of a report."""

import re

import pyarrow.parquet as pq
import pytest
import torch

from hf_noisy_itm.concepts import make_concepts, parse_concepts
from hf_noisy_itm.loading import load_model
from hf_noisy_itm.memory.concepts import ConceptShares
from hf_noisy_itm.noise_report import make_report, parse_report, write_report
from hf_noisy_itm.noise_report.concepts import PairConcepts

from .conftest import DATA, TOLD, run, small_world

pytestmark = pytest.mark.usefixtures("without_plots")
WORDS = ["cat", "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "\u202eturned"]


def shares(rows, first):
    """Two words of each row: one that goes on with it, and the next."""
    places = (torch.arange(rows) + first)[:, None] + torch.arange(2)
    return ConceptShares(WORDS, places % len(WORDS), torch.tensor([[0.75, 0.25]]).expand(rows, 2))


def test_page_and_table_name_the_concepts_of_each_pair_and_escape_them(tmp_path):
    pairs, encoded = small_world(pictures=40)
    concepts = PairConcepts(shares(40, 0), shares(len(pairs), 1))
    findings, _ = write_report(tmp_path, pairs, encoded, 30.0, TOLD, concepts=concepts)
    rows = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    for row, picture in enumerate(pairs.image_row.tolist()):
        assert rows["image_concepts"][row] == [WORDS[(picture + place) % 5] for place in (0, 1)]
        assert rows["caption_concepts"][row] == [WORDS[(row + 1 + place) % 5] for place in (0, 1)]
    page = (tmp_path / "report.html").read_text()
    told = re.findall(r'<span class="concepts">(.*?)</span>', page)
    shown = ["cat", "&lt;script&gt;alert(1)&lt;/script&gt;", "&#34;&gt;&lt;img src=x onerror=alert(2)&gt;",
             "{{ 7 * 7 }}", "turned"]  # fmt: skip
    assert len(told) == 2 * len(pairs)
    for place, row in enumerate(findings.order.tolist()):
        picture = pairs.image_row[row]
        assert told[2 * place] == f"picture: {shown[picture % 5]} 75 %, {shown[(picture + 1) % 5]} 25 %"
        assert told[2 * place + 1] == f"caption: {shown[(row + 1) % 5]} 75 %, {shown[(row + 2) % 5]} 25 %"
    assert page.count("<script>") == 1
    assert "\u202e" not in page


def test_a_scorer_without_concepts_names_none(small):
    assert 'class="concepts"' not in (small.folder / "report.html").read_text()
    assert "strongest concepts" not in (small.folder / "report.html").read_text()
    assert "image_concepts" not in pq.read_schema(small.folder / "scores.parquet").names
    model, _ = load_model("scenes-clip")
    assert PairConcepts.of(model, small.encoded) is None


def test_a_trained_model_s_concepts_stand_in_its_own_report_and_in_one_that_it_scores(monkeypatch, tmp_path):
    path = tmp_path / "concepts.safetensors"
    make_concepts(*parse_concepts(["scenes-clip", *DATA[:6], "--max_concepts", "20", "--output", str(path)]))
    words = ["recipes/coder/scenes_noise40.yaml", *DATA, "--max_steps", "2", "--per_device_train_batch_size", "16"]
    words += ["--disable_tqdm", "true", "--report", "true", "--output_dir", tmp_path / "run", "--concepts", path]
    run("train.py", *words, monkeypatch=monkeypatch)
    make_report(*parse_report([str(tmp_path / "run"), *DATA, "--output", str(tmp_path / "report")]))
    one, other = (
        pq.read_table(tmp_path / folder / "scores.parquet").to_pydict() for folder in ("run/noise_report", "report")
    )
    assert one["image_concepts"] == other["image_concepts"]
    model, processor = load_model(str(tmp_path / "run"))
    tokens = processor.tokenizer(one["caption"][:3], padding=True, return_tensors="pt")
    found = model.eval().concepts(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    assert one["caption_concepts"][:3] == [[word for word, _ in row] for row in found]
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('<span class="concepts">picture: ') == page.count('<span class="concepts">caption: ') == 200
