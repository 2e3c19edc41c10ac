"""From an RGB picture to what CLIP's image tower takes: the processor's own result, bit for bit, but faster."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL
import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers.models.clip import CLIPImageProcessorPil

from ..errors import InputError
from ._pictures import RULES

_LARGEST = 2**25  # pixels of a resized picture


class Pixels:
    """An image processor in two halves: `shrink` resizes and crops to bytes, `values` turns bytes into floats.

    What transformers' PIL processor of CLIP makes of a byte depends on that byte and its channel alone, so it is asked
    once for all 256, and pictures are looked up in that table. Resizing and cropping are Pillow's in both. Any other
    processor (torchvision's, another model's, one that pads) is called as it is: `shrink` then returns its floats, and
    `values` only stacks them.

    One difference: a strip so long that resizing would make more than 34 million pixels of it (1 x 700 becomes
    224 x 156,800) is resized within its crop only. Pillow may then take width and height in the other order, which
    shows by a level where a picture is smooth and by some at hard edges; memory stays bounded.

    Args:
        image_processor: read once; settings changed later have no effect.
    """

    def __init__(self, image_processor: Any):
        self.image_processor = image_processor
        self.table = _table(image_processor) if _is_plain(image_processor) else None

    @property
    def settings(self) -> str:
        """Hash of all that a decoded and shrunk picture depends on, beside its file."""
        versions = [RULES, PIL.__version__] + ([] if self.table is not None else [transformers.__version__])
        kind = type(self.image_processor).__name__
        content = json.dumps([kind, versions, self.image_processor.to_dict()], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def shrink(self, picture: Image.Image) -> np.ndarray:
        """Resizes and crops an RGB picture: uint8 (H, W, 3), or another processor's floats, (3, H, W)."""
        processor = self.image_processor
        if self.table is None:
            return np.asarray(processor(picture, return_tensors="pt")["pixel_values"][0])
        width, height = _resized(picture.size, processor.size) if processor.do_resize else picture.size
        crop = (processor.crop_size.width, processor.crop_size.height) if processor.do_center_crop else (width, height)
        if processor.do_resize and width * height <= _LARGEST:
            picture = picture.resize((width, height), processor.resample)
        elif processor.do_resize:
            kept = min(crop[0], width), min(crop[1], height)
            left, top = (width - kept[0]) // 2, (height - kept[1]) // 2
            across, down = picture.width / width, picture.height / height
            box = (left * across, top * down, (left + kept[0]) * across, (top + kept[1]) * down)
            picture = picture.resize(kept, processor.resample, box)
        if processor.do_center_crop:  # beyond its edges a picture is black
            left, top = (picture.width - crop[0]) // 2, (picture.height - crop[1]) // 2
            picture = picture.crop((left, top, left + crop[0], top + crop[1]))
        return np.asarray(picture)

    def fits(self, shrunk: np.ndarray) -> bool:
        """Whether an array may be what `shrink` returned: its type, its channels, and its size where that is known."""
        if self.table is None:
            return shrunk.dtype == np.float32 and shrunk.ndim == 3 and len(shrunk) == 3 and shrunk.size > 0
        processor, size = self.image_processor, None
        if processor.do_center_crop:
            size = (processor.crop_size.height, processor.crop_size.width)
        elif processor.do_resize and not processor.size.shortest_edge:
            size = (processor.size.height, processor.size.width)
        is_picture = shrunk.dtype == np.uint8 and shrunk.ndim == 3 and shrunk.shape[2] == 3 and shrunk.size > 0
        return is_picture and size in (None, shrunk.shape[:2])

    def values(self, shrunk: Sequence[np.ndarray]) -> Tensor:
        """Turns what `shrink` returned into a batch, (B, 3, H, W).

        Raises:
            InputError: the pictures differ in size, because the processor does not crop.
        """
        shapes = sorted({picture.shape for picture in shrunk})
        if len(shapes) > 1:
            raise InputError(
                f"The image processor leaves pictures of different sizes, {shapes[0]} and {shapes[1]}, which do not "
                f"fit into one batch; set its do_center_crop and crop_size."
            )
        if self.table is None:
            return torch.from_numpy(np.stack(shrunk))
        height, width, channels = shapes[0]
        batch = np.empty((len(shrunk), channels, height, width), self.table.dtype)
        for row, picture in enumerate(shrunk):
            for channel in range(channels):
                np.take(self.table[channel], picture[..., channel], out=batch[row, channel], mode="clip")
        return torch.from_numpy(batch)


def _is_plain(processor: Any) -> bool:
    """Whether a processor is CLIP's PIL one with settings that `shrink` knows."""
    if type(processor) is not CLIPImageProcessorPil or processor.do_pad:
        return False
    if not processor.do_resize:
        return True
    size = processor.size
    by_edge = size.shortest_edge and not size.longest_edge
    by_sides = size.height and size.width and not (size.shortest_edge or size.max_height or size.max_width)
    return isinstance(processor.resample, int) and bool(by_edge or by_sides)


def _table(processor: CLIPImageProcessorPil) -> np.ndarray:
    """What the processor makes of each byte in each channel, (3, 256)."""
    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
    return processor(ramp, do_resize=False, do_center_crop=False, return_tensors="np")["pixel_values"][0, :, 0]


def _resized(size: tuple[int, int], target: Any) -> tuple[int, int]:
    """Width and height after resizing; the longer side is cut off to a whole number, as in transformers."""
    if not target.shortest_edge:
        return target.width, target.height
    width, height = size
    long = int(target.shortest_edge * max(size) / min(size))
    return (target.shortest_edge, long) if width <= height else (long, target.shortest_edge)
