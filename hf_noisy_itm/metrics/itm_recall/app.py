"""The metric as a page: a file of three arrays or JSON in, a table of figures out. Runs as a Space on the Hub.

Everything but the page itself works without `gradio`, which is no dependency of the package.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import safetensors
import safetensors.torch

FOLDER = Path(__file__).parent
NAMES = ("image_embeds", "text_embeds", "image_id")
COLUMNS = ("figure", "value", "low", "high")
EXAMPLE = """{
  "image_embeds": [[1, 0], [1, 0], [0, 1]],
  "text_embeds": [[1, 0.1], [0.2, 1], [0, 1]],
  "image_id": [7, 7, 8]
}"""
_MOST_BYTES = 2**29  # of the three arrays: MSCOCO's 25,000 rows of width 512 are 10**8
_MOST_ROWS = 50_000  # the work grows with their square
_MOST_SAMPLES = 10_000


def answer(
    path: str | None = None,
    text: str = "",
    ks: str = "1, 5, 10",
    folds: float = 1,
    bootstrap: float = 0,
    level: float = 0.95,
    seed: float = 0,
) -> tuple[str, list[list]]:
    """What the page shows.

    Args:
        path: a .safetensors or .npz file with the arrays `image_embeds`, `text_embeds` and `image_id`; or
        text: the same as a JSON object.
        ks: cut-offs with commas between them.
        folds: 1 for the whole gallery.
        bootstrap: samples, 0 for no intervals.
        level: of confidence.
        seed: of the bootstrap.

    Returns:
        One sentence, and rows of `COLUMNS`; no rows if the sentence says what is wrong.
    """
    try:
        if level is None:
            raise ValueError("level must be a number between 0 and 1.")
        options = {"ks": _cut_offs(ks), "level": level}
        for name, value in (("folds", folds), ("bootstrap", bootstrap), ("seed", seed)):
            options[name] = _whole(name, value)
        if options["bootstrap"] > _MOST_SAMPLES:
            raise ValueError(f"At most {_MOST_SAMPLES} bootstrap samples are drawn here, not {options['bootstrap']}.")
        if options["folds"] == 1:
            del options["folds"]
        arrays = _arrays(path, text)
        # A metric of its own, in memory: requests are answered side by side and leave nothing behind.
        metric = evaluate.load(str(FOLDER / "itm_recall.py"), keep_in_memory=True)
        figures = metric.compute(**arrays, **options)
    except ValueError as error:
        return f"**Not computed.** {error}", []
    names = [name for name in figures if not name.endswith(("_low", "_high"))]
    rows = [
        [name] + [round(figures[key], 2) if key in figures else None for key in (name, f"{name}_low", f"{name}_high")]
        for name in names
    ]
    images, captions = len(np.unique(np.asarray(arrays["image_id"]))), len(arrays["image_id"])
    return f"{images} pictures, {captions} captions. Recall and rSum in percent; ranks begin at 1.", rows


def page() -> Any:
    """The page, a `gradio.Blocks`."""
    import gradio

    card = FOLDER / "README.md"  # of a Space; a clone has none
    with gradio.Blocks(title="Recall of image-text matching") as blocks:
        gradio.Markdown("# Recall of image-text matching")
        path = gradio.File(label="Arrays", file_types=[".safetensors", ".npz"], type="filepath")
        text = gradio.Code(label="or JSON", language="json", value=EXAMPLE)
        with gradio.Row():
            ks = gradio.Textbox(label="K", value="1, 2")
            folds = gradio.Number(label="Folds", value=1, precision=0, minimum=1)
            bootstrap = gradio.Number(label="Bootstrap samples", value=0, precision=0, minimum=0)
            level = gradio.Number(label="Confidence level", value=0.95)
            seed = gradio.Number(label="Seed", value=0, precision=0, minimum=0)
        button = gradio.Button("Compute", variant="primary")
        sentence = gradio.Markdown()
        table = gradio.Dataframe(headers=list(COLUMNS), interactive=False)
        button.click(answer, [path, text, ks, folds, bootstrap, level, seed], [sentence, table], api_name="recall")
        if card.exists():
            gradio.Markdown(card.read_text(encoding="utf-8").split("\n---\n", 1)[1])
    return blocks


def _arrays(path: str | None, text: str) -> dict[str, Any]:
    if path:
        arrays = _READERS.get(Path(path).suffix.lower(), _unknown)(path)
    elif len(text) > _MOST_BYTES:
        raise ValueError("The JSON is too long: send a file.")
    else:
        try:
            arrays = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"The text is not JSON: {error}.") from None
    if not isinstance(arrays, dict) or set(arrays) != set(NAMES):
        found = ", ".join(sorted(arrays)) if isinstance(arrays, dict) else type(arrays).__name__
        raise ValueError(f"Three arrays are needed, {', '.join(NAMES)}; found {found or 'none'}.")
    lacking = [name for name in NAMES if not np.iterable(arrays[name]) or isinstance(arrays[name], (str, dict))]
    if lacking:
        raise ValueError(f"{lacking[0]} must be an array.")
    if max(len(array) for array in arrays.values()) > _MOST_ROWS:
        raise ValueError(f"At most {_MOST_ROWS} captions are compared here; use the package for more.")
    return arrays


def _safetensors(path: str) -> dict[str, Any]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"The file is not a whole .safetensors file: {error}.") from None


def _npz(path: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"The arrays would take {size} bytes of memory; {_MOST_BYTES} are the limit.")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, MemoryError, NotImplementedError, zlib.error) as error:
        raise ValueError(f"The file is not a whole .npz file: {error}.") from None


def _unknown(path: str) -> dict[str, Any]:
    raise ValueError(f"{Path(path).name} is neither a .safetensors nor an .npz file.")


_READERS = {".safetensors": _safetensors, ".npz": _npz}


def _cut_offs(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"K must be whole numbers with commas between them, like 1, 5, 10; got {text!r}.") from None


def _whole(name: str, value: float) -> int:
    if value is None or not float(value).is_integer() or value < 0:
        raise ValueError(f"{name} must be a whole number, got {value}.")
    return int(value)


if __name__ == "__main__":
    page().launch(max_file_size=_MOST_BYTES)
