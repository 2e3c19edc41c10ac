"""`mscoco`: MSCOCO 2014 from your own copy; see `_local.py` for how builders are used.

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; Chen et al., Microsoft COCO Captions, 2015,
https://arxiv.org/abs/1504.00325. Karpathy's split has 113,287 / 5,000 / 5,000 pictures with five captions or a few
more. Annotations: CC BY 4.0; pictures: under Flickr's terms, nothing of them is here. `--data_dir` holds

    dataset_coco.json                         Karpathy's split (also looked for in annotations/)
    images/train2014/, images/val2014/        the pictures; also without images/, or all in images/

or NPC's folders: annotations/scan_split/{train,dev,test}_caps.txt and _ids.txt, and images/.

From the JSON, `image_id` and `caption_id` are COCO's own (`cocoid`, `sentid`), as ECCV Caption and CxC use them.
"""

from dataclasses import dataclass

import datasets

from ._layouts import SPLITS
from ._local import PairsBuilder, PairsConfig

_VERSION = datasets.Version("1.0.0")  # of the rows: raise it when the code makes others of the same files


@dataclass
class MSCOCOConfig(PairsConfig):
    """Which rows to make.

    Args:
        restval: count the 30,504 pictures of `restval` as training pictures (113,287 in all), as the field does, or
            leave them out (82,783).
    """

    restval: bool = True


class MSCOCO(PairsBuilder):
    """MSCOCO: one caption a row ("pairs"), or one picture with its captions ("pictures")."""

    VERSION = _VERSION
    BUILDER_CONFIG_CLASS = MSCOCOConfig
    BUILDER_CONFIGS = [MSCOCOConfig(name=name, version=_VERSION) for name in ("pairs", "pictures")]
    JSON = "dataset_coco.json"
    IMAGE_ID = "cocoid"

    def _splits(self) -> dict[str, str]:
        return {**SPLITS, "restval": "train"} if self.config.restval else SPLITS
