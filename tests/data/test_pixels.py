"""The lean path against transformers' own processor."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPImageProcessor, SiglipImageProcessor, ViTImageProcessor
from transformers.models.clip import CLIPImageProcessorPil
from transformers.utils import is_torchvision_available

from hf_noisy_itm.data import _pixels
from hf_noisy_itm.data._pictures import decode
from hf_noisy_itm.data._pixels import Pixels
from hf_noisy_itm.errors import InputError


def noise(width, height, mode="RGB", seed=0):
    rng = np.random.default_rng([width, height, seed])
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width) if bands == 1 else (height, width, bands)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).convert(mode)


def own(processor, picture):
    return processor(picture, return_tensors="pt")["pixel_values"]


def ours(processor, *pictures):
    pixels = Pixels(processor)
    assert pixels.table is not None
    return pixels.values([pixels.shrink(picture) for picture in pictures])


SETTINGS = {
    "CLIP": {},
    "scenes-clip": {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    "336": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "crop smaller than the edge": {"size": {"shortest_edge": 61}, "crop_size": {"height": 32, "width": 45}},
    "crop larger than the edge": {"size": {"shortest_edge": 20}, "crop_size": {"height": 33, "width": 28}},
    "both sides": {"size": {"height": 31, "width": 46}, "crop_size": {"height": 24, "width": 24}},
    "squeezed, no crop": {"size": {"height": 40, "width": 40}, "do_center_crop": False},
    "no resize": {"do_resize": False, "crop_size": {"height": 20, "width": 21}},
    "bilinear": {"resample": 2, "size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    "nearest": {"resample": 0, "size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}},
    "other values": {"rescale_factor": 1 / 127.5, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.7, 1.3, 2.0]},
    "one mean": {"image_mean": 0.45, "image_std": 0.3},
    "not normalised": {"do_normalize": False},
    "not rescaled": {"do_rescale": False},
    "bytes": {"do_normalize": False, "do_rescale": False},
    "no conversion": {"do_convert_rgb": False},
}
SIZES = [(1, 1), (1, 9), (9, 1), (3, 2), (20, 21), (47, 48), (48, 48), (224, 224), (223, 225), (500, 375), (375, 500)]
SIZES += [(640, 427), (33, 1000), (1000, 33), (61, 61), (336, 335)]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_lean_path_is_the_processor_bit_for_bit(name):
    processor = CLIPImageProcessorPil(**SETTINGS[name])
    for size in SIZES:
        picture = noise(*size)
        result, expected = ours(processor, picture), own(processor, picture)
        assert result.dtype == expected.dtype, size
        assert torch.equal(result, expected), size


@given(
    st.tuples(st.integers(1, 120), st.integers(1, 120)),
    st.integers(1, 70),
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.sampled_from([0, 1, 2, 3, 4, 5]),
)
@settings(max_examples=150)
def test_any_size_edge_crop_and_filter(size, edge, crop, resample):
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": edge}, crop_size={"height": crop[0], "width": crop[1]}, resample=resample
    )
    assert torch.equal(ours(processor, noise(*size)), own(processor, noise(*size)))


MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"],
    "WEBP": ["RGB", "RGBA"],
    "GIF": ["L", "P", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
}


@pytest.mark.parametrize(("format", "mode"), [(format, mode) for format, modes in MODES.items() for mode in modes])
def test_from_the_file_on_it_is_what_the_processor_makes_of_the_opened_picture(mode, format):
    file = io.BytesIO()
    noise(100, 70, mode).save(file, format)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    assert torch.equal(ours(processor, decode(file.getvalue())), own(processor, Image.open(file)))


def test_a_batch_is_its_pictures():
    processor = CLIPImageProcessorPil(**SETTINGS["scenes-clip"])
    pictures = [noise(*size) for size in SIZES]
    assert torch.equal(ours(processor, *pictures), torch.cat([own(processor, picture) for picture in pictures]))


class Doubled(CLIPImageProcessorPil):
    def normalize(self, *args, **kwargs):
        return 2 * super().normalize(*args, **kwargs)


@pytest.mark.parametrize(
    "processor",
    [
        Doubled(**SETTINGS["scenes-clip"]),
        ViTImageProcessor(size={"height": 48, "width": 48}),
        SiglipImageProcessor(size={"height": 48, "width": 48}),
        CLIPImageProcessorPil(size={"shortest_edge": 20, "longest_edge": 60}),
        CLIPImageProcessorPil(do_pad=True, pad_size={"height": 300, "width": 300}),
    ],
    ids=["subclass", "ViT", "SigLIP", "longest edge", "padding"],
)
def test_any_other_processor_is_called(processor):
    pixels = Pixels(processor)
    assert pixels.table is None
    pictures = [noise(60, 40), noise(50, 70)]
    result = pixels.values([pixels.shrink(picture) for picture in pictures])
    assert torch.equal(result, torch.cat([own(processor, picture) for picture in pictures]))


@pytest.mark.skipif(is_torchvision_available(), reason="CLIP's processor is then torchvision's")
def test_the_processor_of_this_installation_takes_the_lean_path():
    assert Pixels(CLIPImageProcessor()).table is not None


@pytest.mark.parametrize("name", ["CLIP", "crop larger than the edge", "crop smaller than the edge", "bilinear"])
@pytest.mark.parametrize("size", [(900, 7), (7, 900), (1500, 20), (20, 1500)])
def test_a_long_strip_is_resized_within_its_crop(name, size, monkeypatch):
    pixels = Pixels(CLIPImageProcessorPil(**SETTINGS[name]))
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = np.sin(np.stack([across, down, across + down], axis=-1) / 2)
    picture = Image.fromarray((127 + 100 * waves).astype(np.uint8))
    whole = pixels.shrink(picture).astype(int)
    monkeypatch.setattr(_pixels, "_LARGEST", 1000)
    within = pixels.shrink(picture).astype(int)
    assert within.shape == whole.shape
    assert np.ptp(whole) > 100
    assert np.abs(within - whole).max() <= 1


def test_a_strip_that_would_fill_the_memory_is_resized():
    assert Pixels(CLIPImageProcessorPil()).shrink(noise(20000, 1)).shape == (224, 224, 3)  # 1 billion pixels whole


def test_pictures_that_stay_of_different_sizes_are_refused():
    pixels = Pixels(CLIPImageProcessorPil(do_center_crop=False))
    with pytest.raises(InputError, match=r"different sizes, \(224, 224, 3\) and \(224, 336, 3\).*do_center_crop"):
        pixels.values([pixels.shrink(noise(30, 20)), pixels.shrink(noise(20, 20))])


def test_settings_tell_processors_apart(monkeypatch):
    hashes = [Pixels(CLIPImageProcessorPil(**each)).settings for each in SETTINGS.values()]
    assert len(set(hashes)) == len(hashes)
    assert Pixels(Doubled()).settings != Pixels(CLIPImageProcessorPil()).settings
    assert Pixels(CLIPImageProcessorPil()).settings == hashes[0]
    monkeypatch.setattr(_pixels, "RULES", 0)
    assert Pixels(CLIPImageProcessorPil()).settings not in hashes
