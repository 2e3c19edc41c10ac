"""Paints a scene of `_scenes_world.py` as a picture: two groups of sprites on a coloured, textured ground."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from ._scenes_world import ABOVE, DOMAINS, LARGE, PAIR, SMALL, Domain

SIZE = 96  # pixels; every length below refers to it
_SPRITES = Path(__file__).parent.parent / "assets" / "scenes-sprites"
_EDGE = {SMALL: 26, LARGE: 44, PAIR: 30}
_TRIO_EDGE = 26


def paint(scene: np.ndarray, domain: str, rng: np.random.Generator) -> Image.Image:
    """Paints the scene, RGB, 96 x 96; places and tilts vary with `rng`, the facts do not."""
    look = DOMAINS[domain]
    first, second, first_kind, second_kind, layout, colour, texture = (int(fact) for fact in scene)
    picture = Image.fromarray(_ground(look.colours[colour][1], look.textures[texture][1], rng), "RGB").convert("RGBA")
    half = SIZE // 2
    for noun, kind, corner in ((first, first_kind, 0), (second, second_kind, half)):
        box = (0, corner, SIZE, corner + half) if layout == ABOVE else (corner, 0, corner + half, SIZE)
        _place(picture, noun, kind, box, look, rng)
    return picture.convert("RGB")


def _place(picture: Image.Image, noun: int, kind: int, box: tuple[int, int, int, int], look: Domain, rng) -> None:
    """Puts one, two or three sprites into a half of the picture, side by side along its longer edge."""
    left, top, right, bottom = box
    count = 1 if kind in (SMALL, LARGE) else 2 if kind == PAIR else 3
    edge = _EDGE.get(kind, _TRIO_EDGE)
    wide = right - left > bottom - top
    step = (right - left if wide else bottom - top) / count
    for i in range(count):
        x_room = step if wide else right - left
        y_room = bottom - top if wide else step
        x = left + (i * step if wide else 0) + rng.uniform(0, max(x_room - edge, 0) or 1e-9)
        y = top + (0 if wide else i * step) + rng.uniform(0, max(y_room - edge, 0) or 1e-9)
        sprite = _sprite(noun, edge)
        if not look.upright:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.integers(2) else sprite
            sprite = sprite.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR)
        picture.alpha_composite(sprite, (int(x), int(y)))


@cache
def _sheet() -> tuple[Image.Image, int, int]:
    layout = json.loads((_SPRITES / "sheet.json").read_text(encoding="utf-8"))
    return Image.open(_SPRITES / "sheet.png").convert("RGBA"), layout["edge"], layout["columns"]


@cache
def _sprite(noun: int, edge: int) -> Image.Image:
    sheet, cell, columns = _sheet()
    x, y = noun % columns * cell, noun // columns * cell
    return sheet.crop((x, y, x + cell, y + cell)).resize((edge, edge), Image.Resampling.LANCZOS)


def _ground(colour: tuple[int, int, int], texture: str, rng) -> np.ndarray:
    """A ground of two shades of one colour, uint8 (96, 96, 3)."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + rng.integers(0, 16, size=(2, 1, 1))
    marked = _TEXTURES[texture](x, y)
    light = np.asarray(colour, dtype=np.float64) + rng.uniform(-8, 8, size=3)
    shades = np.stack([light, light * 0.72]).clip(0, 255).astype(np.uint8)
    return shades[marked.astype(np.intp)]


_TEXTURES = {
    "plain": lambda x, y: np.zeros_like(x, dtype=bool),
    "striped": lambda x, y: x // 6 % 2 == 1,
    "dotted": lambda x, y: (x % 12 - 6) ** 2 + (y % 12 - 6) ** 2 < 10,
    "checked": lambda x, y: (x // 8 + y // 8) % 2 == 1,
    "slanted": lambda x, y: (x + y) // 8 % 2 == 1,
    "tiled": lambda x, y: (y % 12 < 2) | ((x + y // 12 * 8) % 16 < 2),
    "wavy": lambda x, y: (y + 4 * np.sin(x / 6)).astype(int) // 6 % 2 == 1,
}
