import hashlib
import io
import re

import datasets
import numpy as np
import pytest
from PIL import Image

from hf_noisy_itm.data import _scenes_world as world
from hf_noisy_itm.data.scenes import Scenes, ambiguity_ceiling, draw_row, true_pairs

SEED = (0, 1, 0)
GOLDEN_CAPTIONS = {"studio": "693468cd5dae6b1a", "street": "2943fb317aa04464"}
GOLDEN_COLOURS = {  # mean red, green, blue of the upper half, then of the lower half
    "studio": [
        [216.5, 94.0, 84.2, 210.4, 101.7, 90.9],
        [206.3, 139.8, 74.2, 203.7, 145.7, 75.6],
        [227.8, 158.4, 174.7, 231.3, 168.3, 174.1],
    ],
    "street": [
        [190.5, 87.9, 86.3, 194.5, 84.3, 79.6],
        [196.2, 127.6, 64.7, 191.5, 131.1, 64.2],
        [213.7, 139.1, 158.7, 218.6, 151.8, 158.3],
    ],
}


def written(domain, size, near_duplicates=0.25, seed=SEED):
    """Scenes and captions without pictures, which take most of the time."""
    rows = []
    for row in range(size):
        scene = world.draw_scene(seed, row, near_duplicates)
        captions, claims = world.write_captions(scene, domain, np.random.default_rng([*seed, 2, row]))
        rows.append({"captions": captions, "scene": scene.tolist(), "claims": claims.tolist()})
    return datasets.Dataset.from_list(rows)


def built(tmp_path, **config):
    builder = Scenes(cache_dir=str(tmp_path), config_name="street", **config)
    builder.download_and_prepare()
    return builder.as_dataset()


def pixels(row):
    with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
        return np.asarray(picture)


def test_the_same_seed_gives_the_same_bytes_row_by_row_whatever_the_size(tmp_path):
    sizes = {"validation_size": 2, "test_size": 3}
    small = built(tmp_path / "small", train_size=3, **sizes)
    large = built(tmp_path / "large", train_size=8, **sizes)
    assert {name: len(rows) for name, rows in large.items()} == {"train": 8, "validation": 2, "test": 3}
    small, large = (split["train"].cast_column("image", datasets.Image(decode=False)) for split in (small, large))
    for row in range(3):
        assert small[row] == large[row]
        drawn = draw_row("street", SEED, row)
        assert {key: small[row][key] for key in drawn if key != "image"} | {"image": drawn["image"]} == drawn
        assert small[row]["image"]["bytes"] == drawn["image"]["bytes"]


@pytest.mark.parametrize("other", [("studio", SEED), ("street", (1, 1, 0)), ("street", (0, 1, 2))])
def test_another_domain_seed_or_split_is_another_world(other):
    ours, theirs = [draw_row("street", SEED, row) for row in range(4)], [draw_row(*other, row) for row in range(4)]
    for key in ("captions", "image"):
        assert all(one[key] != two[key] for one, two in zip(ours, theirs))


def test_the_captions_of_the_first_rows_are_the_recorded_ones():
    for domain, golden in GOLDEN_CAPTIONS.items():
        captions = "\n".join(caption for row in range(40) for caption in draw_row(domain, SEED, row)["captions"])
        assert hashlib.sha256(captions.encode()).hexdigest()[:16] == golden, (
            f"{domain} has other words: raise _VERSION"
        )


def test_the_pictures_of_the_first_rows_look_like_the_recorded_ones():
    for domain, golden in GOLDEN_COLOURS.items():
        for row, colours in enumerate(golden):
            picture = pixels(draw_row(domain, SEED, row))
            assert picture.shape == (96, 96, 3)
            halves = picture.reshape(2, 48, 96, 3).mean(axis=(1, 2))
            # PNG decoders agree, but resampling may differ by a hair between versions of Pillow.
            assert halves.ravel() == pytest.approx(colours, abs=0.5), f"{domain}, row {row} looks different"


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_each_picture_has_five_different_captions(domain):
    for captions in written(domain, 300)["captions"]:
        assert len(set(captions)) == len(captions) == 5


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_articles_fit_the_word_that_follows(domain):
    for captions in written(domain, 300)["captions"]:
        for caption in captions:
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption), caption


def read(sentence, domain):
    """What a sentence says, read word by word; a claim as far as it can be told without the world's own code."""
    look = world.DOMAINS[domain]
    words = sentence.replace(",", "").replace(":", "").split()
    claim = np.full(7, world.ANY)
    names = {name: (noun, plural) for noun, forms in enumerate(world.NOUNS) for plural, name in enumerate(forms)}
    nouns = []
    for place, word in enumerate(words):
        if word in names:
            noun, plural = names[word]
            before = words[place - 1] if place else ""
            exact = {
                "small": world.SMALL,
                "large": world.LARGE,
                "big": world.LARGE,
                "two": world.PAIR,
                "three": world.TRIO,
            }
            nouns.append((noun, exact.get(before, world.SEVERAL if plural else world.ONE)))
            assert plural == (before not in ("small", "large", "big", "a", "an"))
    for layout, (forth, back) in {world.BESIDE: ("left", "right"), world.ABOVE: ("above", "below")}.items():
        if forth in words or back in words:
            claim[4] = layout
            nouns = nouns[:: 1 if forth in words else -1]
    claim[:4] = [nouns[0][0], nouns[1][0], nouns[0][1], nouns[1][1]]
    for fact, known in ((5, look.colours), (6, look.textures)):
        said = [number for number, (word, _) in enumerate(known) if word in words]
        assert len(said) <= 1
        claim[fact] = said[0] if said else world.ANY
    return claim


def is_true(claim, scene):
    orders = [(0, 1), (1, 0)] if claim[4] == world.ANY else [(0, 1)]
    facts = all(claim[fact] in (world.ANY, scene[fact]) for fact in (4, 5, 6))
    return facts and any(
        claim[0] == scene[first]
        and claim[1] == scene[second]
        and claim[2] & scene[2 + first] != 0
        and claim[3] & scene[2 + second] != 0
        for first, second in orders
    )


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_a_claim_is_what_its_sentence_says(domain):
    for row in written(domain, 300):
        for sentence, claim in zip(row["captions"], np.array(row["claims"])):
            if claim[4] == world.ANY and claim[0] != read(sentence, domain)[0]:
                claim = claim[[1, 0, 3, 2, 4, 5, 6]]  # such a sentence names its nouns in either order
            assert read(sentence, domain).tolist() == claim.tolist(), sentence


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_every_caption_is_true_of_its_own_picture(domain):
    found = {tuple(pair) for pair in true_pairs(written(domain, 200)).tolist()}
    assert {(caption, caption // 5) for caption in range(1000)} <= found


@pytest.mark.parametrize("near_duplicates", [0.25, 1.0])
def test_describes_equals_a_loop_whatever_the_block(near_duplicates):
    rows = written("street", 60, near_duplicates)
    scenes, claims = np.array(rows["scene"]), np.array(rows["claims"]).reshape(-1, 7)
    expected = [[c, p] for c in range(len(claims)) for p in range(len(scenes)) if is_true(claims[c], scenes[p])]
    assert len(expected) > (300 if near_duplicates < 1 else 400)
    for block in (1, 7, 4096):
        assert world.describes(claims, scenes, block).tolist() == expected


def test_describes_by_hand():
    fox, panda = 0, 1
    scene = np.array([[fox, panda, world.SMALL, world.TRIO, world.BESIDE, 2, 3]])
    claims = [
        [fox, panda, world.SMALL, world.TRIO, world.BESIDE, 2, 3],  # all of it
        [fox, panda, world.ONE, world.SEVERAL, world.ANY, world.ANY, world.ANY],  # less, but true
        [panda, fox, world.TRIO, world.SMALL, world.ANY, 2, world.ANY],  # the other way round, no layout said
        [panda, fox, world.TRIO, world.SMALL, world.BESIDE, 2, 3],  # the other way round, with a layout: wrong
        [fox, panda, world.LARGE, world.TRIO, world.ANY, 2, 3],  # not large
        [fox, panda, world.SMALL, world.TRIO, world.BESIDE, 4, 3],  # other colour
    ]
    assert world.describes(np.array(claims), scene).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert world.describes(np.empty((0, 7)), scene).shape == (0, 2)


@pytest.mark.parametrize("domain", ["studio", "street"])
def test_a_reader_who_understands_everything_has_little_to_guess_among_500_pictures(domain):
    ceiling = ambiguity_ceiling(written(domain, 500, seed=(0, 1, 2)))
    assert all(90 < figure < 100 for figure in ceiling.values())


def test_the_ceiling_by_hand():
    # Two pictures alike: every caption is true of both, and ten captions are true of each.
    rows = written("street", 1)
    assert ambiguity_ceiling(datasets.concatenate_datasets([rows, rows])) == {"i2t_r@1": 50, "t2i_r@1": 50}
    assert ambiguity_ceiling(rows) == {"i2t_r@1": 100, "t2i_r@1": 100}


def test_near_duplicates_share_the_motif_of_their_family():
    alike = np.array([world.draw_scene(SEED, row, near_duplicates=1.0) for row in range(80)]).reshape(20, 4, 7)
    assert (alike[:, :, :2] == alike[:, :1, :2]).all()
    # Each differs from the family's scene in at most one fact, so any two in at most two.
    differing = (alike[:, :, None] != alike[:, None, :]).sum(axis=-1)
    assert 0 < differing.max() <= 2
    assert len({tuple(family[0, :2]) for family in alike}) > 15
    alone = np.array([world.draw_scene(SEED, row, near_duplicates=0.0) for row in range(80)]).reshape(20, 4, 7)
    assert (alone[:, 1:, :2] == alone[:, :1, :2]).all(axis=-1).mean() < 0.1


def test_scenes_hold_nothing_but_facts_of_the_world():
    scenes = np.array([world.draw_scene(SEED, row) for row in range(2000)])
    assert scenes.dtype == np.int8
    assert (scenes[:, 0] != scenes[:, 1]).all()
    expected = [set(range(40)), set(range(40)), {1, 2, 4, 8}, {1, 2, 4, 8}, {0, 1}, set(range(8)), set(range(4))]
    assert [set(facts) for facts in scenes.T.tolist()] == expected


@pytest.mark.parametrize("arguments", [{"config_name": "moon"}, {"domain": "moon"}])
def test_an_unknown_domain_is_refused_with_the_known_ones(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"moon.*studio.*street|studio.*street.*moon"):
        Scenes(cache_dir=str(tmp_path), **arguments)
