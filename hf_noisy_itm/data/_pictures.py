"""One picture from its file to RGB: every kind of file has a known outcome.

| file | outcome |
|---|---|
| wrong or no extension | the content decides |
| cut short within the pixels | refused: half a picture would teach something wrong |
| text, SVG, PDF: nothing that Pillow knows | refused; the first bytes are shown |
| longer than `PICTURE_SECONDS` in the decoder | refused, the limit is named (in main threads, as workers') |
| no bytes; no such file; no picture at all | refused |
| EPS | refused: Pillow would start Ghostscript on it |
| more than twice `PIL.Image.MAX_IMAGE_PIXELS` (179 million) pixels | refused, the limit is named; nothing is decoded |
| JPEG of more than 34 million pixels | decoded at a half, quarter or eighth, shorter side kept at 1024 or more |
| animation (GIF, WebP, APNG), several pages | the first |
| EXIF orientation | turned upright; broken EXIF is as none |
| transparent pixels, by alpha, palette or colour | on white |
| CMYK, YCbCr, LAB … | RGB by Pillow's plain formulas, no colour profile |
| 16 bits, grey or colour | the upper eight |
| 32-bit integers, floats | their own finite range becomes 0 to 255, cut off; NaN is black |

Reducing while decoding, which libjpeg does in the frequency domain, moves a pixel of the resized picture by 1 of 255
at most. recipes/benchmarks/collation.py measures that, and what a picture 20,000 pixels wide takes.
"""

import contextlib
import io
import os
import signal
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

PICTURE_SECONDS = float(os.environ.get("NOISY_ITM_PICTURE_SECONDS", "60"))  # 0 for no limit

RULES = 1  # of the table above; another number when an outcome changes, so that caches are not believed

_REDUCE_ABOVE = 2**25  # pixels, 128 MB decoded
_SHORTEST = 1024  # pixels, three times what a CLIP of 336 takes

# Large pictures, broken EXIF, odd palettes: the table says what becomes of them. Not by `catch_warnings` around each
# picture, which would also make Python forget which warnings of others it has shown once.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(source: bytes | str | None) -> Image.Image:
    """Decodes the content of a picture file, or the file of that name, to RGB.

    Raises:
        ValueError: the picture is refused; the text is a clause that says why.
        Exception: of any kind, by one of Pillow's decoders on a broken file.
    """
    if source is None:
        raise ValueError("there is none")
    if not source:
        raise ValueError("it is empty")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with _within(PICTURE_SECONDS), Image.open(file) as image:
            if image.format == "EPS":
                raise ValueError("EPS is a program, not pixels")
            if image.width * image.height > _REDUCE_ABOVE:
                shortest = min(image.size)
                image.draft(None, tuple(max(1, side * _SHORTEST // shortest) for side in image.size))  # JPEG only
            image.load()
            return _rgb(_upright(image))
    except Image.DecompressionBombError as error:
        limit = f"{2 * Image.MAX_IMAGE_PIXELS:,} pixels"
        raise ValueError(
            f"more than {limit}, twice PIL.Image.MAX_IMAGE_PIXELS, may be a decompression bomb"
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(f"no format that Pillow knows; the file begins with {_beginning(source)!r}") from error


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Ends what takes longer with a ValueError, as soon as it is back in Python, which Pillow's decoders are often.

    Workers of a data loader decode in their main thread. In other threads, and on Windows, there is no limit.
    """
    if not seconds or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    is_over = False

    def stop(*_):
        if not is_over:
            raise _TooLong(f"it took longer than {seconds:g} seconds, see NOISY_ITM_PICTURE_SECONDS")

    handler = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again: a destructor loses an exception
    try:
        yield
    except _TooLong as error:
        raise ValueError(str(error)) from None
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, left, interval)  # of somebody else, who waits the longer for it
        signal.signal(signal.SIGALRM, handler)


class _TooLong(BaseException):
    """No `Exception`: Pillow catches many of these where it tries one decoder after the other."""


def _beginning(source: bytes | str) -> bytes:
    if isinstance(source, bytes):
        return source[:16]
    with open(source, "rb") as file:
        return file.read(16)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # as with pixels, Pillow raises almost anything; but these are fine
        return image
    return image if orientation == 1 else ImageOps.exif_transpose(image)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey = (values >> 8).astype(np.uint8)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        return Image.fromarray(_by_own_range(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_own_range(values: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    grey = np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high)
    grey -= low
    grey /= (high - low) or 1.0
    grey *= 255
    return grey.astype(np.uint8)
