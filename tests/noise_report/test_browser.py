"""The page in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from .. import chromium
from .conftest import HOSTILE

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.WHY_NOT)
SHOWN = "Array.from(document.querySelectorAll('#gallery tbody tr')).filter(row => !row.hidden)"


@pytest.fixture(scope="module")
def page(hostile, tmp_path_factory):
    with chromium.Page((hostile[0] / "report.html").as_uri(), tmp_path_factory.mktemp("profile")) as page:
        yield page


def click(page, key):
    page.run(f"document.querySelector('#gallery th[data-key={key}] button').click()")


def column(page, key):
    return page.run(f"{SHOWN}.map(row => row.dataset.{key})")


def search(page, words):
    page.run(f"search.value = {words!r}; search.dispatchEvent(new Event('input'))")
    return page.run("document.querySelector('#count').textContent")


def test_it_renders_without_a_word_from_outside(page):
    assert page.run("document.querySelector('h1').textContent") == "Which captions are wrong?"
    assert page.run("document.title") == "Noise report: a & <i>b</i>"
    assert len(column(page, "rank")) == 50
    broken = "Array.from(document.images).filter(image => !image.complete || !image.naturalWidth).length"
    assert page.run("document.images.length") > 50
    assert page.run(broken) == 0
    asked = [
        event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [
        url for url in asked if url.endswith("report.html")
    ]
    picture = Image.open(io.BytesIO(base64.b64decode(page.call("Page.captureScreenshot")["data"])))
    assert len(np.unique(np.asarray(picture.convert("L")))) > 30  # not a blank page


def test_texts_of_others_stay_texts(page):
    told = page.run("Array.from(document.querySelectorAll('#gallery q')).map(each => each.textContent)")
    for text in HOSTILE[:5]:
        assert " ".join(text.split()) in told
    assert any("turned around" in text and "\u202e" not in text for text in told)
    assert page.run("document.querySelector('#planted')") is None
    assert page.run("document.scripts.length") == 1
    assert page.run("Array.from(document.images).every(image => image.src.startsWith('data:image/'))")
    assert page.run("document.title").startswith("Noise report")
    told = {event["method"] for event in page.events}
    assert not told & {"Page.javascriptDialogOpening", "Runtime.exceptionThrown"}
    assert "<b>scorer</b>" in page.run("document.querySelector('header').textContent")


def test_the_policy_stops_a_script_that_got_in_all_the_same(page):
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=`taken`\">')")
    page.run(
        "const s = document.createElement('script'); s.textContent = 'document.title=`taken`'; document.body.append(s)"
    )
    page.run("new Promise(done => setTimeout(done, 200))")
    assert page.run("document.title").startswith("Noise report")
    page.run("document.body.lastChild.remove(); document.body.lastChild.remove()")


@pytest.mark.parametrize("key", ["probability", "cosine", "loss", "agreement", "prediction", "wrong"])
def test_a_click_sorts_and_another_one_turns_around(page, key):
    click(page, key)
    up = [float(value) for value in column(page, key)]
    assert up == sorted(up)
    assert page.run(f"document.querySelector('th[data-key={key}]').getAttribute('aria-sort')") == "ascending"
    click(page, key)
    down = [float(value) for value in column(page, key)]
    assert down == sorted(up, reverse=True)
    click(page, "rank")
    assert [int(rank) for rank in column(page, "rank")] == list(range(1, 51))


def test_captions_are_sorted_as_texts(page):
    click(page, "caption")
    captions = column(page, "caption")
    assert page.run(f"{SHOWN}.map(row => row.dataset.caption).sort((a, b) => a.localeCompare(b))") == captions
    click(page, "rank")


def test_searching_finds_words_in_any_order_and_ids(page, hostile):
    assert search(page, "") == "50 pairs"
    assert search(page, "ONERROR <img") == "1 of 50 pairs"
    assert column(page, "caption") == [HOSTILE[1]]
    assert search(page, "no such words") == "0 of 50 pairs"
    assert search(page, "may belong here") == "0 of 50 pairs"  # which the page says, not the data
    pairs = hostile[1]
    rows = page.run(f"{SHOWN}.length") or 0
    assert rows == 0
    search(page, "")
    first = page.run("document.querySelector('#gallery .ids').textContent")
    assert first.startswith("picture ")
    assert search(page, first.split(",")[1]).endswith("of 50 pairs")
    assert len(pairs) == 360
    search(page, "")
