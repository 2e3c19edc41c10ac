"""Every row of the table in `_pictures.py`."""

import importlib.util
import io
import signal
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hf_noisy_itm.data import _pictures
from hf_noisy_itm.data._pictures import decode

pytestmark = pytest.mark.filterwarnings("ignore::Warning:PIL")  # pytest undoes the filter of `_pictures.py`


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def colours(source):
    picture = decode(source)
    assert picture.mode == "RGB"
    return np.asarray(picture).tolist()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width, height, bits, kind, pixels):
    """A PNG written by hand: Pillow writes neither 16-bit colours nor sizes that are not there."""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(pixels):
    """An uncompressed 16-bit TIFF, little-endian, one strip; pixels uint16 (H, W, C)."""
    height, width, channels = pixels.shape
    tags = [(256, width), (257, height), (258, 16), (259, 1), (262, 2 if channels == 3 else 1), (277, channels)]
    tags += [(279, pixels.nbytes), (273, 0)]
    after = 8 + 2 + 12 * len(tags) + 4
    extra = struct.pack("<3H", 16, 16, 16) if channels == 3 else b""
    entries = b""
    for tag, value in sorted(tags):
        if tag == 258 and extra:
            entries += struct.pack("<HHII", tag, 3, 3, after)
        else:
            entries += struct.pack("<HHII", tag, 4, 1, after + len(extra) if tag == 273 else value)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return head + extra + pixels.astype("<u2").tobytes()


def smooth(height, width):
    """Waves in each colour, 0 to 255."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / (40 + 30 * k) + k) * np.cos(y / (60 - 10 * k)) for k in range(3)]
    return Image.fromarray(((np.stack(waves, -1) + 1) * 127).astype(np.uint8))


PALETTE = Image.new("RGB", (2, 2), (10, 200, 30)).quantize(4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.new("RGB", (2, 2), (10, 200, 30))), [10, 200, 30]),
        (encoded(Image.new("L", (2, 2), 70)), [70, 70, 70]),
        (encoded(Image.new("1", (2, 2), 1)), [255, 255, 255]),
        (encoded(Image.new("RGBA", (2, 2), (10, 200, 30, 255))), [10, 200, 30]),
        (encoded(Image.new("RGBA", (2, 2), (10, 200, 30, 0))), [255, 255, 255]),
        (encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 51))), [204, 204, 204]),  # a fifth of black on white
        (encoded(Image.new("LA", (2, 2), (10, 0))), [255, 255, 255]),
        (encoded(PALETTE), [10, 200, 30]),
        (encoded(PALETTE, transparency=0), [255, 255, 255]),
        (encoded(PALETTE, transparency=b"\0\0\0\0"), [255, 255, 255]),
        (encoded(PALETTE, "GIF", transparency=0), [255, 255, 255]),
        (encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3)), [255, 255, 255]),
        (encoded(Image.new("L", (2, 2), 70), transparency=70), [255, 255, 255]),
        (encoded(PALETTE, "GIF"), [10, 200, 30]),
        (encoded(Image.new("RGBA", (2, 2), (10, 200, 30, 0)), "WEBP", lossless=True, exact=True), [255, 255, 255]),
    ],
)
def test_any_mode_becomes_rgb(content, expected):
    assert colours(content) == [[expected] * 2] * 2


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((100, 0, 50, 51), (124, 204, 164)),  # (255 - ink) * (255 - black) / 255
    ],
)
def test_cmyk_keeps_its_colours(format, cmyk, rgb):
    picture = colours(encoded(Image.new("CMYK", (8, 8), cmyk), format))
    np.testing.assert_allclose(picture, np.broadcast_to(rgb, (8, 8, 3)), atol=3)


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("YCbCr", (100, 128, 128), (100, 100, 100)),
        ("YCbCr", (76, 85, 255), (255, 0, 0)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
        ("LAB", (0, 128, 128), (0, 0, 0)),
    ],
)
def test_other_colour_spaces_keep_their_colours(mode, colour, rgb):
    picture = colours(encoded(Image.new(mode, (8, 8), colour), "TIFF"))
    np.testing.assert_allclose(picture, np.broadcast_to(rgb, (8, 8, 3)), atol=3)


# Upper eight bits: 40000 = 156 * 256 + 64, 20000 = 78 * 256 + 32.
DEEP = np.array([[0, 40000], [20000, 65535]], dtype=np.uint16)
EIGHT = [[[shade] * 3 for shade in row] for row in ((0, 156), (78, 255))]


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.fromarray(DEEP)),
        png(2, 2, 16, 2, np.repeat(DEEP.astype(">u2"), 3, axis=1)),
        encoded(Image.fromarray(DEEP), "TIFF"),
        tiff16(DEEP[..., None]),
        tiff16(np.repeat(DEEP[..., None], 3, axis=2)),
    ],
    ids=["PNG grey", "PNG colour", "TIFF grey by Pillow", "TIFF grey", "TIFF colour"],
)
def test_of_sixteen_bits_the_upper_eight_are_kept(content):
    assert colours(content) == EIGHT


def test_sixteen_bits_with_transparency_stand_on_white():
    grey_alpha = np.array([[0, 65535, 40000, 0], [20000, 65535, 65535, 0]], dtype=">u2")
    assert colours(png(2, 2, 16, 4, grey_alpha)) == [[[0] * 3, [255] * 3], [[78] * 3, [255] * 3]]
    transparent_shade = encoded(Image.fromarray(DEEP), transparency=20000)
    assert colours(transparent_shade) == [[[0] * 3, [156] * 3], [[255] * 3, [255] * 3]]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_without_a_bound_are_scaled_by_their_range(kind):
    # (20 - -30) / (70 - -30) * 255 = 127.5, (69.9999 - -30) / … = 254.99 and (69 - -30) / … = 252.45, cut off
    values = np.array([[-30, 20, 70, 69]], dtype=kind)
    assert [pixel[0] for pixel in colours(encoded(Image.fromarray(values), "TIFF"))[0]] == [0, 127, 255, 252]
    assert colours(encoded(Image.fromarray(np.full((1, 1), 7, dtype=kind)), "TIFF")) == [[[0, 0, 0]]]


def test_what_is_not_finite_does_not_spoil_the_range():
    values = np.array([[-1.0, 1.0, np.nan, np.inf, -np.inf]], dtype=np.float32)
    assert [pixel[0] for pixel in colours(encoded(Image.fromarray(values), "TIFF"))[0]] == [0, 255, 0, 255, 0]
    assert colours(encoded(Image.fromarray(np.full((1, 1), np.nan, dtype=np.float32)), "TIFF")) == [[[0, 0, 0]]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF", "JPEG2000", "PPM"])
def test_every_usual_format_is_read_down_to_a_single_pixel(format):
    for size in ((1, 1), (37, 20)):
        picture = decode(
            encoded(Image.new("RGB", size, (250, 250, 250)), format, **({"sizes": [size]} if format == "ICO" else {}))
        )
        assert (picture.mode, picture.size) == ("RGB", size)
        np.testing.assert_allclose(np.asarray(picture.resize((2, 2))), 250, atol=6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF"])
def test_a_picture_cut_short_is_refused(format, share):
    whole = encoded(Image.effect_noise((64, 64), 60).convert("RGB"), format)
    decode(whole)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        decode(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_png_cut_within_its_pixels_is_refused(share):
    whole = encoded(Image.effect_noise((64, 64), 60))
    with pytest.raises((OSError, SyntaxError)):
        decode(whole[: int(len(whole) * share)])


def test_a_png_without_its_last_chunk_has_all_its_pixels():
    picture = Image.effect_noise((16, 16), 60)
    assert np.array_equal(decode(encoded(picture)[:-12]), picture.convert("RGB"))


@pytest.mark.parametrize(
    ("source", "clause"),
    [
        (None, "there is none"),
        (b"", "it is empty"),
        ("", "it is empty"),
        (b"not a picture, but words", "begins with b'not a picture, b'"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no format that Pillow knows; .* b'<svg xmlns="),
        (b"%PDF-1.7\n", "no format that Pillow knows; .* b'%PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS is a program"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(source, clause):
    with pytest.raises(ValueError, match=clause):
        decode(source)


def test_a_file_is_named_by_its_content_too(tmp_path):
    (tmp_path / "page.jpg").write_text("<html><body>404</body></html>")
    with pytest.raises(ValueError, match="begins with b'<html><body>404<'"):
        decode(str(tmp_path / "page.jpg"))
    with pytest.raises(FileNotFoundError, match="missing"):
        decode(str(tmp_path / "missing.jpg"))


@pytest.mark.parametrize("name", ["picture.png", "picture.txt", "picture"])
def test_the_content_decides_and_not_the_name(name, tmp_path):
    (tmp_path / name).write_bytes(encoded(Image.new("RGB", (8, 8), (200, 10, 10)), "JPEG"))
    picture = decode(str(tmp_path / name))
    (tmp_path / name).unlink()
    np.testing.assert_allclose(np.asarray(picture), np.broadcast_to((200, 10, 10), (8, 8, 3)), atol=4)


def test_a_decompression_bomb_is_refused_before_anything_is_decoded(monkeypatch):
    bomb = png(30000, 6000, 8, 0, np.zeros((1, 1), dtype=np.uint8))
    assert len(bomb) < 100
    with pytest.raises(ValueError, match=r"more than 178,956,970 pixels, twice PIL.Image.MAX_IMAGE_PIXELS"):
        decode(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    with pytest.raises(ValueError, match="more than 16 pixels"):
        decode(encoded(Image.new("L", (17, 1))))
    assert decode(encoded(Image.new("L", (16, 1)))).size == (16, 1)


def test_a_picture_20000_pixels_wide_is_read_whole():
    assert decode(encoded(Image.new("L", (20000, 1500), 90), "JPEG")).size == (20000, 1500)
    assert decode(encoded(Image.new("1", (20000, 1500)))).size == (20000, 1500)


def test_a_large_jpeg_is_reduced_while_it_is_decoded(monkeypatch):
    content = encoded(smooth(2100, 3000), "JPEG")
    whole = decode(content)
    assert whole.size == (3000, 2100)
    monkeypatch.setattr(_pictures, "_REDUCE_ABOVE", 3000 * 2100 - 1)
    reduced = decode(content)
    assert reduced.size == (1500, 1050)  # a quarter would have less than 1024
    small, expected = (np.asarray(each.resize((320, 224), 3)).astype(int) for each in (reduced, whole))
    assert np.abs(small - expected).max() <= 1
    assert decode(encoded(smooth(1100, 3000), "JPEG")).size == (3000, 1100)
    monkeypatch.setattr(_pictures, "_REDUCE_ABOVE", 3000 * 1100 - 1)
    assert decode(encoded(smooth(1100, 3000), "JPEG")).size == (3000, 1100)  # a half would have 550
    assert decode(encoded(smooth(1100, 3000))).size == (3000, 1100)  # a PNG cannot be reduced


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_picture_counts(format):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 3
    np.testing.assert_allclose(colours(content), np.broadcast_to((250, 0, 0), (4, 4, 3)), atol=4)


# What a camera stored, by orientation, for the upright picture 0 1 2 / 3 4 5 (EXIF 2.3, table of tag 274).
STORED = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[2, 5], [1, 4], [0, 3]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[3, 0], [4, 1], [5, 2]],
}


@pytest.mark.parametrize("orientation", [*STORED, 9, 0])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_rotated_picture_is_turned_upright(format, orientation, tmp_path):
    shades = np.array(STORED.get(orientation, STORED[1]), dtype=np.uint8) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} | ({"lossless": True} if format == "WEBP" else {})
    large = Image.fromarray(shades).resize((shades.shape[1] * 16, shades.shape[0] * 16), Image.Resampling.NEAREST)
    (tmp_path / "picture").write_bytes(encoded(large.convert("RGB"), format, **options))
    for source in (str(tmp_path / "picture"), (tmp_path / "picture").read_bytes()):
        picture = decode(source)
        assert picture.size == (48, 32)
        np.testing.assert_allclose(np.asarray(picture)[8::16, 8::16, 0], [[0, 40, 80], [120, 160, 200]], atol=2)


def with_exif(jpeg, content):
    content = b"Exif\0\0" + content
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content + jpeg[2:]


@pytest.mark.parametrize("exif", [b"garbage", b"", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x05\x01\x12"])
def test_broken_exif_is_as_none(exif):
    jpeg = encoded(smooth(16, 32), "JPEG")
    assert np.array_equal(decode(with_exif(jpeg, exif)), decode(jpeg))


@pytest.fixture
def fresh_decode():
    """`decode` of a module imported anew under Python's usual filters: pytest has its own while a test runs."""
    spec = importlib.util.spec_from_file_location("fresh", _pictures.__file__)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        spec.loader.exec_module(module)
        yield module.decode, seen


def test_pillow_warns_of_nothing(fresh_decode):
    decode, seen = fresh_decode
    large = png(10000, 9000, 1, 0, np.zeros((1, 1), dtype=np.uint8))  # 90 million pixels that are not there
    with pytest.raises(OSError, match="truncated"):
        decode(large)
    decode(with_exif(encoded(smooth(16, 32), "JPEG"), b"MM\0*\0\0\0\x08\0\x05\x01\x12"))
    decode(encoded(PALETTE, transparency=b"\0\1\2\3"))
    assert not seen
    with pytest.warns(Image.DecompressionBombWarning):  # so there was something to be silent of
        Image.open(io.BytesIO(large))


def test_decoding_does_not_make_others_repeat_their_warnings(fresh_decode):
    decode, seen = fresh_decode
    for _ in range(3):
        warnings.warn("once", UserWarning, stacklevel=1)
        decode(encoded(PALETTE))
    assert [str(each.message) for each in seen] == ["once"]


def endless(*args, **kwargs):
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # as Pillow does, where it tries one decoder after the other
            continue


def test_a_decoder_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(_pictures, "PICTURE_SECONDS", 0.2)
    monkeypatch.setattr(Image, "open", endless)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(ValueError, match="it took longer than 0.2 seconds, see NOISY_ITM_PICTURE_SECONDS"):
        decode(b"anything")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_loses_the_alarm_in_a_destructor_is_stopped_by_the_next(monkeypatch):
    class Slow:
        def __del__(self):
            endless()

    def open_and_hang(*_):
        Slow()
        endless()

    monkeypatch.setattr(_pictures, "PICTURE_SECONDS", 0.1)
    monkeypatch.setattr(Image, "open", open_and_hang)
    with pytest.raises(ValueError, match="it took longer than 0.1 seconds"):
        decode(b"anything")


def test_a_timer_that_somebody_else_set_goes_on(monkeypatch):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 50, 7)
        decode(encoded(PALETTE))
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 40 < left <= 50
        assert interval == 7
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.raise_signal(signal.SIGALRM)
        assert rung == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_decode_without_a_limit():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(decode, encoded(Image.new("RGB", (2, 2)))).result().size == (2, 2)
