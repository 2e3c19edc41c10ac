"""One HTML page that needs nothing else: no network, no further files, and nothing in it that data could run.

Every text of others is escaped by the template; besides, the page's policy lets only the one script run whose hash it
names, and no connection be made. Its size does not grow with the data: some hundred pairs are shown, small.
"""

import base64
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from ..data import Pairs
from ..errors import InputError
from ..files import atomic_path
from .findings import TRAINING_WEIGHT, Findings

_HERE = Path(__file__).parent
_THUMBNAIL = 96  # pixels
_CAPTION = 300  # letters
_COUPLES = 12
_JOINERS = "\u200c\u200d"  # without them a family falls apart into persons, and Persian into other words


def write_page(
    path: str | Path,
    findings: Findings,
    pairs: Pairs,
    figures: dict,
    plots: dict[str, bytes],
    gallery: int = 200,
) -> None:
    """Writes the page.

    Args:
        path: of the HTML file.
        findings: of the pairs.
        pairs: that were looked at.
        figures: content of `report.json`.
        plots: PNG files by name.
        gallery: how many of the most suspicious pairs to show.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": _percent, "number": "{:,}".format}
    script, style = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    thumbnails = _Thumbnails(pairs)
    text = environment.get_template("page.html.j2").render(
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
        rows=list(_gallery(findings, pairs, thumbnails, gallery)),
        alike=_alike(findings, pairs, thumbnails),
        plots={name: _uri(content, "png") for name, content in plots.items()},
        has_weights=TRAINING_WEIGHT in findings.signals,
        knows_concepts=findings.concepts is not None,
        knows_truth=figures["truth"] is not None,
        **figures,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _gallery(findings: Findings, pairs: Pairs, thumbnails: "_Thumbnails", count: int) -> Iterable[dict]:
    is_known, suggested, weight = pairs.noise_is_known, findings.suggested, findings.signals.get(TRAINING_WEIGHT)
    signals = {name: findings.signals[name] for name in ("cosine", "loss", "agreement", "prediction")}
    for place, row in enumerate(findings.order[:count].tolist()):
        picture = int(pairs.image_row[row])
        yield {
            "rank": place + 1,
            "picture": thumbnails.of(picture),
            "image_id": str(pairs.name[picture]),
            "caption_id": str(pairs.caption_name[row]),
            "caption": _cut(pairs.captions[row]),
            "concepts": _concepts(findings, row, picture),
            "suggested": _cut(pairs.captions[suggested[row]]) if suggested[row] >= 0 else "",
            "probability": float(findings.probability[row]),
            "cosine": -float(signals["cosine"][row]),
            "loss": float(signals["loss"][row]),
            "agreement": -float(signals["agreement"][row]),
            "prediction": -float(signals["prediction"][row]),
            "weight": None if weight is None or np.isnan(weight[row]) else -float(weight[row]),
            "wrong": bool(pairs.is_noisy[row]) if is_known[row] else None,
        }


def _concepts(findings: Findings, row: int, picture: int) -> dict[str, list[tuple[str, float]]]:
    known = findings.concepts
    found = {} if known is None else {"picture": known.images.of(picture), "caption": known.texts.of(row)}
    return {what: [(_cut(word), share) for word, share in words] for what, words in found.items()}


def _alike(findings: Findings, pairs: Pairs, thumbnails: "_Thumbnails") -> dict[str, list[dict]]:
    alike = findings.alike
    foreign = alike.foreign[:, 0]

    def caption(row: int) -> str:
        return _cut(pairs.captions[row])

    return {
        "pictures": [
            {"one": thumbnails.of(one), "other": thumbnails.of(other), "cosine": float(cosine),
             "ids": (str(pairs.name[one]), str(pairs.name[other]))}
            for (one, other), cosine in zip(alike.pictures[:_COUPLES].tolist(), alike.picture_cosines)
        ],
        "captions": [
            {"one": caption(one), "other": caption(other), "cosine": float(cosine)}
            for (one, other), cosine in zip(alike.captions[:_COUPLES].tolist(), alike.caption_cosines)
        ],
        "matches": [
            {"picture": thumbnails.of(row), "image_id": str(pairs.name[row]), "caption": caption(int(foreign[row])),
             "cosine": float(alike.foreign_cosines[row, 0])}
            for row in alike.may_fit[:_COUPLES].tolist()
        ],
    }  # fmt: skip


class _Thumbnails:
    """Small pictures as data URIs, each made once; empty where a picture does not decode."""

    def __init__(self, pairs: Pairs):
        self.pairs, self.made = pairs, {}

    def of(self, row: int) -> str:
        """Of the picture in a row."""
        if row not in self.made:
            try:
                picture = self.pairs.picture(row)
            except InputError:
                self.made[row] = ""
                return ""
            picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
            file = io.BytesIO()
            picture.save(file, format="JPEG", quality=82)
            self.made[row] = _uri(file.getvalue(), "jpeg")
        return self.made[row]


def _cut(text: str) -> str:
    """A caption as one line, cut; letters that only steer (among them those that turn text around) are left out."""
    line = " ".join(text[: 4 * _CAPTION].split())
    line = "".join(letter for letter in line if letter.isprintable() or letter in _JOINERS)
    return line if len(line) <= _CAPTION else f"{line[:_CAPTION]}…"


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"
