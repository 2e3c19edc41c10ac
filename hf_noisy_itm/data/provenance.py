"""The table that says of each row whether it is noisy and which picture its caption was written for."""

from pathlib import Path

import datasets
import numpy as np

from ..files import atomic_path
from ..functional.noise import Noise


def provenance_table(noise: Noise, caption_id: np.ndarray | None = None) -> datasets.Dataset:
    """Makes the columns `caption_id`, `is_noisy` and `noise_source` of the rows after a draw.

    Args:
        noise: the draw, over N rows.
        caption_id: of each row's caption before the draw, int64 (N,); 0..N-1 if left out. It travels with the text.
    """
    caption_id = np.arange(len(noise.source)) if caption_id is None else np.asarray(caption_id)
    return datasets.Dataset.from_dict(
        {
            "caption_id": caption_id[noise.source],
            "is_noisy": noise.is_noisy,
            "noise_source": noise.noise_source.tolist()
            if noise.noise_source.dtype.kind == "U"
            else noise.noise_source,
        }
    )


def write_provenance(path: str | Path, noise: Noise, caption_id: np.ndarray | None = None) -> None:
    """Writes `provenance_table` as Parquet, atomically."""
    with atomic_path(path) as temporary:
        provenance_table(noise, caption_id).to_parquet(temporary)
