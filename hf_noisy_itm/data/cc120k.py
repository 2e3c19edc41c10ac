"""`cc120k`: NPC's part of Conceptual Captions from your own copy; see `_local.py` for how builders are used.

Zhang et al., Negative Pre-aware for Noisy Cross-Modal Matching, AAAI 2024, made the selection; Sharma et al.,
Conceptual Captions, ACL 2018, the whole, of pictures and captions from the web, under Google's terms. 118,851 / 1,000
/ 1,000 pictures with one caption each. The authors take 3 to 20 % of the captions for wrong and nobody knows which, so
`is_noisy` and `noise_source` are empty. `--data_dir` holds NPC's folders: annotations/scan_split/ with
{train,dev,test}_caps.txt
and _ids.txt, and images/.
"""

import datasets

from ._local import PairsBuilder, PairsConfig

_VERSION = datasets.Version("1.0.0")  # of the rows: raise it when the code makes others of the same files


class CC120K(PairsBuilder):
    """CC120K: one caption a row ("pairs"), or the same as lists of one ("pictures")."""

    VERSION = _VERSION
    BUILDER_CONFIGS = [PairsConfig(name=name, version=_VERSION) for name in ("pairs", "pictures")]
    CAPTIONS_PER_PICTURE = 1
    NOISE_IS_KNOWN = False
