"""`flickr30k`: Flickr30K from your own copy; see `_local.py` for how builders are used.

Young et al., From image descriptions to visual denotations, TACL 2014. Karpathy's split has 29,000 / 1,014 / 1,000
pictures with five captions each. The pictures are from Flickr, for research and teaching only, and not to be
redistributed: nothing of them is here. `--data_dir` holds

    dataset_flickr30k.json                    Karpathy's split (also looked for in annotations/)
    images/  or  flickr30k-images/            the pictures

or NPC's folders: annotations/scan_split/{train,dev,test}_caps.txt and _ids.txt, and images/.
"""

import datasets

from ._local import PairsBuilder, PairsConfig

_VERSION = datasets.Version("1.0.0")  # of the rows: raise it when the code makes others of the same files


class Flickr30k(PairsBuilder):
    """Flickr30K: one caption a row ("pairs"), or one picture with its captions ("pictures")."""

    VERSION = _VERSION
    BUILDER_CONFIGS = [PairsConfig(name=name, version=_VERSION) for name in ("pairs", "pictures")]
    JSON = "dataset_flickr30k.json"
    IMAGE_FOLDERS = ("images", "flickr30k-images", "flickr30k_images")
