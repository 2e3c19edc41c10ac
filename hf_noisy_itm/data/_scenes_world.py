"""What a scene is, what can truly be said of it, and in which words: the specification behind `scenes`.

A scene is seven small integers (`FACTS`); a caption is a sentence together with the facts it states, a *claim*, in
which `ANY` stands for what the sentence leaves open. Whether a caption describes a picture is therefore a matter of
integers, not of judgement, and the natural false negatives of the world (captions of other pictures that are true
here too) are known exactly: `describes`. Painting is in `_scenes_paint.py`, the `datasets` builder in `scenes.py`.
"""

from dataclasses import dataclass

import numpy as np

# (noun, plural). The order is that of the sprite sheet in assets/scenes-sprites; append only.
NOUNS = (
    ("fox", "foxes"), ("panda", "pandas"), ("frog", "frogs"), ("pig", "pigs"), ("lion", "lions"),
    ("penguin", "penguins"), ("owl", "owls"), ("octopus", "octopuses"), ("crab", "crabs"), ("fish", "fishes"),
    ("turtle", "turtles"), ("butterfly", "butterflies"), ("bee", "bees"), ("whale", "whales"),
    ("apple", "apples"), ("banana", "bananas"), ("pineapple", "pineapples"), ("watermelon", "watermelons"),
    ("strawberry", "strawberries"), ("grape", "grapes"), ("pizza", "pizzas"), ("doughnut", "doughnuts"),
    ("balloon", "balloons"), ("umbrella", "umbrellas"), ("guitar", "guitars"), ("key", "keys"),
    ("crown", "crowns"), ("rocket", "rockets"), ("bus", "buses"), ("sailboat", "sailboats"), ("house", "houses"),
    ("tree", "trees"), ("cactus", "cacti"), ("sunflower", "sunflowers"), ("rose", "roses"),
    ("mushroom", "mushrooms"), ("star", "stars"), ("moon", "moons"), ("robot", "robots"), ("teapot", "teapots"),
)  # fmt: skip

FACTS = ("first", "second", "first_kind", "second_kind", "layout", "colour", "texture")
ANY = -1  # in a claim: the sentence does not say

# How a noun occurs in a scene; a claim holds a bit mask over these four.
SMALL, LARGE, PAIR, TRIO = 1, 2, 4, 8
KINDS = (SMALL, LARGE, PAIR, TRIO)
ONE, SEVERAL, SOME = SMALL | LARGE, PAIR | TRIO, SMALL | LARGE | PAIR | TRIO

BESIDE, ABOVE = 0, 1  # `first` is to the left of `second`, or above it


@dataclass(frozen=True)
class Domain:
    """Looks and words of one of the two worlds; colours and textures are shared by index, not by appearance."""

    colours: tuple[tuple[str, tuple[int, int, int]], ...]
    textures: tuple[tuple[str, str], ...]  # word, and which painter makes it
    kind_words: dict[int, str]
    templates: tuple[tuple[str, ...], ...]  # one group a caption slot; each picture gets one caption of each group
    upright: bool  # sprites stand as they are, or are mirrored, tilted and tinted


# In a template, {first} and {second} state the exact kind, {a first} says singular or plural only; a caption claims
# exactly what its placeholders show. {either} and {other} come in any order and state no layout.
_STUDIO = Domain(
    colours=(
        ("red", (222, 92, 84)), ("orange", (240, 164, 82)), ("yellow", (246, 222, 110)), ("green", (126, 190, 116)),
        ("blue", (102, 152, 222)), ("purple", (160, 120, 204)), ("pink", (244, 172, 200)), ("grey", (172, 176, 182)),
    ),
    textures=(("plain", "plain"), ("striped", "striped"), ("dotted", "dotted"), ("checked", "checked")),
    kind_words={SMALL: "a small {noun}", LARGE: "a large {noun}", PAIR: "two {nouns}", TRIO: "three {nouns}"},
    templates=(
        ("{first} {layout} {second} on a {texture} {colour} background",
         "a {texture} {colour} background with {first} {layout} {second}"),
        ("{either} and {other} on {colour}", "a {colour} picture of {either} and {other}"),
        ("{second} {inverse} {first}, {texture} ground", "{texture} ground and {second} {inverse} {first}"),
        ("{first} {layout} {a second} on {colour}", "on {colour}: {a first} {layout} {second}"),
        ("{either} with {an other}, {texture} {colour}", "{texture} {colour} with {an either} and {other}"),
    ),
    upright=True,
)  # fmt: skip

_STREET = Domain(
    colours=(
        ("red", (200, 79, 80)), ("orange", (225, 146, 68)), ("yellow", (231, 209, 93)), ("green", (104, 168, 109)),
        ("blue", (86, 129, 197)), ("purple", (141, 101, 180)), ("pink", (233, 154, 185)), ("grey", (148, 152, 159)),
    ),
    textures=(("plain", "plain"), ("striped", "slanted"), ("tiled", "tiled"), ("wavy", "wavy")),
    kind_words={SMALL: "a small {noun}", LARGE: "a big {noun}", PAIR: "two {nouns}", TRIO: "three {nouns}"},
    templates=(
        ("we saw {first} {layout} {second}, a {texture} {colour} wall",
         "a {texture} {colour} wall with {first} {layout} {second}"),
        ("{either} and {other}, all in {colour}", "a {colour} wall and {either} and {other}"),
        ("{second} {inverse} {first}, {texture} wall", "{texture} wall and {second} {inverse} {first}"),
        ("{first} seen {layout} {a second} on {colour}", "on {colour} street: {a first} {layout} {second}"),
        ("{either} with {an other}, {texture} and {colour}", "look, {texture} {colour} with {an either} and {other}"),
    ),
    upright=False,
)  # fmt: skip

DOMAINS = {"studio": _STUDIO, "street": _STREET}
CAPTIONS_PER_PICTURE = 5
_LAYOUT_WORDS = {BESIDE: ("left of", "right of"), ABOVE: ("above", "below")}


FAMILY_SIZE = 4


def draw_scene(seed: tuple[int, ...], row: int, near_duplicates: float = 0.25) -> np.ndarray:
    """Draws the scene of one row; it depends on nothing but the arguments, so a world has no end and no order.

    Args:
        seed: non-negative integers that name the world (its domain and split among them).
        row: which picture of that world.
        near_duplicates: chance, 0 to 1, that the scene is that of its family (`FAMILY_SIZE` neighbouring rows) with
            one of the last five facts drawn anew, as the web shows one motif in many shots.

    Returns:
        Facts, int8 (7,), in the order of `FACTS`; the two nouns differ.
    """
    rng = np.random.default_rng([*seed, 0, row])
    if rng.random() >= near_duplicates:
        return _draw_facts(rng)
    scene = _draw_facts(np.random.default_rng([*seed, 1, row // FAMILY_SIZE]))
    fact = rng.integers(2, len(FACTS))
    scene[fact] = _draw_facts(rng)[fact]
    return scene


def _draw_facts(rng: np.random.Generator) -> np.ndarray:
    nouns = rng.choice(len(NOUNS), size=2, replace=False)
    return np.array([*nouns, *rng.choice(KINDS, size=2), *rng.integers((2, 8, 4))], dtype=np.int8)


def write_captions(scene: np.ndarray, domain: str, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Writes five different true captions of a scene.

    Args:
        scene: facts, int8 (7,).
        domain: a key of `DOMAINS`.
        rng: decides the wording.

    Returns:
        The captions, and what each of them claims, int8 (5, 7), in the order of `FACTS` (kinds as bit masks).
    """
    captions, claims = zip(*(_write(scene, DOMAINS[domain], group, rng) for group in DOMAINS[domain].templates))
    return list(captions), np.stack(claims)


def _write(scene, domain: Domain, group: tuple[str, ...], rng) -> tuple[str, np.ndarray]:
    template = group[rng.integers(len(group))]
    colour, texture = int(scene[5]), int(scene[6])
    swap = bool(rng.integers(2)) and "either" in template  # only captions that state no layout may name either first
    nouns, kinds = scene[:2], scene[2:4]
    order = (1, 0) if swap else (0, 1)
    slots = ("either", "other") if "either" in template else ("first", "second")

    claim = np.full(len(FACTS), ANY, dtype=np.int8)
    words = {}
    for slot, who in zip(slots, order, strict=True):
        noun, kind = NOUNS[nouns[who]], int(kinds[who])
        vague = f"{{a {slot}}}" in template or f"{{an {slot}}}" in template
        claim[who] = nouns[who]
        claim[2 + who] = kind if not vague else ONE if kind & ONE else SEVERAL
        words[slot] = domain.kind_words[kind].format(noun=noun[0], nouns=noun[1])
        words[f"a {slot}"] = words[f"an {slot}"] = _article(noun[0]) if kind & ONE else noun[1]
    words["layout"], words["inverse"] = _LAYOUT_WORDS[int(scene[4])]
    words["colour"], words["texture"] = domain.colours[colour][0], domain.textures[texture][0]
    if "{layout}" in template or "{inverse}" in template:
        claim[4] = scene[4]
    if "{colour}" in template:
        claim[5] = colour
    if "{texture}" in template:
        claim[6] = texture
    return template.format(**words).replace("a orange", "an orange"), claim


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def describes(claims: np.ndarray, scenes: np.ndarray, block: int = 4096) -> np.ndarray:
    """Tells which captions are true of which pictures.

    A claim without a layout names its nouns in no order, so it also holds where first and second change places.

    Args:
        claims: int8 (C, 7) from `write_captions`.
        scenes: int8 (P, 7) from `draw_scene`.
        block: captions per block; memory is about `block` x P bytes.

    Returns:
        Pairs (caption row, picture row) that are true, int64 (M, 2), sorted by caption, then picture.
    """
    swapped = scenes[:, [1, 0, 3, 2, 4, 5, 6]]
    found = []
    for start in range(0, len(claims), block):
        part = claims[start : start + block]
        true = _holds(part, scenes) | ((part[:, None, 4] == ANY) & _holds(part, swapped))
        rows = np.argwhere(true)
        rows[:, 0] += start
        found.append(rows)
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _holds(claims: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    true = (claims[:, None, 0] == scenes[:, 0]) & (claims[:, None, 1] == scenes[:, 1])
    for kind in (2, 3):
        true &= (claims[:, None, kind] & scenes[:, kind]) != 0
    for fact in (4, 5, 6):
        true &= (claims[:, None, fact] == ANY) | (claims[:, None, fact] == scenes[:, fact])
    return true
