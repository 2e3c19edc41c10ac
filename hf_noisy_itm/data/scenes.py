"""`scenes`: an embedded world of pictures and captions, drawn from a seed, with nothing to download.

    from hf_noisy_itm.data.scenes import Scenes

    builder = Scenes(config_name="street")
    builder.download_and_prepare()
    pairs = builder.as_dataset(split="train")

Two domains: `studio` to pre-train on and `street`, with other hues, textures, tilts and words, to fine-tune on;
`crowded` is a street of many near-duplicates, where a third of the captions fit another picture too. Each picture has
five different true captions. What it shows and what each caption claims are columns too, so the captions of other
pictures that are true of it (natural false negatives) are known: `true_pairs`.
"""

import io
from dataclasses import dataclass

import datasets
import numpy as np

from . import _scenes_world as world
from ._scenes_paint import paint

_VERSION = datasets.Version("1.1.0")  # of the pictures and words: raise it when either changes
_SPLITS = {datasets.Split.TRAIN: 0, datasets.Split.VALIDATION: 1, datasets.Split.TEST: 2}


@dataclass
class ScenesConfig(datasets.BuilderConfig):
    """Which world, and how much of it.

    Args:
        domain: "studio" or "street"; the config's name if left out.
        seed: of all pictures and captions; another seed is another world of the same kind.
        train_size: pictures in the training split, likewise the next two.
        validation_size: see above.
        test_size: see above.
        near_duplicates: chance that a picture is its family's motif with one fact drawn anew, in [0, 1].
    """

    domain: str | None = None
    seed: int = 0
    train_size: int = 2000
    validation_size: int = 500
    test_size: int = 500
    near_duplicates: float = 0.25

    def __post_init__(self):
        super().__post_init__()
        self.domain = self.domain or self.name


class Scenes(datasets.GeneratorBasedBuilder):
    """Builder of the embedded world; the same seed gives the same pixels and words, row by row, at any size."""

    VERSION = _VERSION
    BUILDER_CONFIG_CLASS = ScenesConfig
    BUILDER_CONFIGS = [
        *(ScenesConfig(name=name, version=_VERSION) for name in world.DOMAINS),
        ScenesConfig(name="crowded", version=_VERSION, domain="street", near_duplicates=0.9),
    ]
    DEFAULT_CONFIG_NAME = "street"

    def _info(self) -> datasets.DatasetInfo:
        if self.config.domain not in world.DOMAINS:  # here, since `datasets` sets fields after `__post_init__`
            raise ValueError(f"scenes has the domains {', '.join(world.DOMAINS)}; there is no {self.config.domain!r}.")
        facts = datasets.List(datasets.Value("int8"), length=len(world.FACTS))
        return datasets.DatasetInfo(
            description=__doc__,
            license="Apache-2.0 (pictures contain Noto Emoji sprites, Apache-2.0)",
            features=datasets.Features(
                {
                    "image": datasets.Image(),
                    "captions": datasets.List(datasets.Value("string")),
                    "image_id": datasets.Value("int64"),
                    "scene": facts,
                    "claims": datasets.List(facts),
                }
            ),
        )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        sizes = (self.config.train_size, self.config.validation_size, self.config.test_size)
        return [
            datasets.SplitGenerator(split, gen_kwargs={"split": number, "size": size})
            for (split, number), size in zip(_SPLITS.items(), sizes)
        ]

    def _generate_examples(self, split: int, size: int):
        seed = (self.config.seed, list(world.DOMAINS).index(self.config.domain), split)
        for row in range(size):
            yield row, draw_row(self.config.domain, seed, row, self.config.near_duplicates)


def draw_row(domain: str, seed: tuple[int, ...], row: int, near_duplicates: float = 0.25) -> dict:
    """Draws one row of a world: picture (PNG bytes), captions, facts and claims; depends on its arguments alone."""
    scene = world.draw_scene(seed, row, near_duplicates)
    rng = np.random.default_rng([*seed, 2, row])
    captions, claims = world.write_captions(scene, domain, rng)
    file = io.BytesIO()
    paint(scene, domain, rng).save(file, format="PNG", compress_level=1)
    return {
        "image": {"bytes": file.getvalue(), "path": None},
        "captions": captions,
        "image_id": row,
        "scene": scene.tolist(),
        "claims": claims.tolist(),
    }


def true_pairs(dataset: datasets.Dataset) -> np.ndarray:
    """All true (caption, picture) pairs of a split, beyond the given ones too.

    Args:
        dataset: a split of `Scenes`.

    Returns:
        int64 (M, 2): row of the caption, counted through all captions in order, and row of the picture.
    """
    claims = np.asarray(dataset["claims"], dtype=np.int8).reshape(-1, len(world.FACTS))
    return world.describes(claims, np.asarray(dataset["scene"], dtype=np.int8))


def ambiguity_ceiling(dataset: datasets.Dataset) -> dict[str, float]:
    """Expected R@1, in percent, of a reader who understands everything and guesses among equals.

    Text-to-image: among all pictures that a caption describes. Image-to-text: among all captions that are true of a
    picture, its own five and others.
    """
    pairs = true_pairs(dataset)
    of_caption = np.bincount(pairs[:, 0])
    of_picture = np.bincount(pairs[:, 1], minlength=len(dataset))
    return {
        "i2t_r@1": 100 * float(np.mean(world.CAPTIONS_PER_PICTURE / of_picture)),
        "t2i_r@1": 100 * float(np.mean(1 / of_caption)),
    }
