"""Noise on purpose, with a pedigree: what moved, what was damaged, and which picture each caption was written for.

| kind | function | row i depends on |
|---|---|---|
| captions permuted (NPC, NCR) | `shuffle_captions` | all rows |
| pictures permuted, captions follow (DECL, RCL) | `shuffle_images` | all rows |
| a near caption of another picture | `swap_semantic` | all rows and their embeddings |
| text damaged in place | `damage_captions` | seed, kind, number of the row, caption |
| class labels flipped (MRL) | `flip_labels_symmetric`, `flip_labels_asymmetric` | all rows |
| class labels flipped row by row | `flip_labels_by_row` | seed, number of the row, label |

`draw_noise` draws any of the first four by its name: "shuffle", "shuffle_images", "semantic", "partial", "truncated",
"duplicated"; `draw_label_noise` the last three: "label_symmetric", "label_asymmetric", "label_symmetric_by_row". The
same seed gives the same indices on every machine and with every version of NumPy (`draw.py` says how); only
`swap_semantic` also depends on floating point. Which words and letters `damage_captions` sees in a text depends on the
Unicode tables of Python, where these change from version to version.
"""

from .draw import hash_bits, hash_uniform, random_order
from .kinds import KINDS, LABEL_KINDS, draw_label_noise, draw_noise
from .labels import LabelNoise, flip_labels_asymmetric, flip_labels_by_row, flip_labels_symmetric
from .move import shuffle_captions, shuffle_images
from .result import Noise
from .semantic import nearest_of_other_pictures, similarity_to_source, swap_semantic
from .text import TEXT_KINDS, damage_captions

__all__ = [
    "KINDS",
    "LABEL_KINDS",
    "TEXT_KINDS",
    "LabelNoise",
    "Noise",
    "damage_captions",
    "draw_label_noise",
    "draw_noise",
    "flip_labels_asymmetric",
    "flip_labels_by_row",
    "flip_labels_symmetric",
    "hash_bits",
    "hash_uniform",
    "nearest_of_other_pictures",
    "random_order",
    "shuffle_captions",
    "shuffle_images",
    "similarity_to_source",
    "swap_semantic",
]
