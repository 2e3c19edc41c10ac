"""Opens what stands beside the weights of somebody's model, its processor, and runs no code of it."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPProcessor
from transformers.utils import logging

from .errors import InputError, last_line

_LARGEST = 4  # times the side of the model's pictures that a picture may have on its way


def open_processor(place: str | Path, name: str, image_size: int) -> CLIPProcessor:
    """CLIP's processor, if it fits the model.

    Args:
        place: a folder, or a name on the Hub.
        name: for messages.
        image_size: side of the pictures that the model takes, in pixels.

    Raises:
        InputError: it is damaged, is not there, comes with code of its own, cannot spell, or makes pictures of
            another size.
    """
    with one_sentence(f"{name} cannot be loaded with its processor"):
        # Left to itself, transformers asks on the terminal whether code that lies beside is to be run.
        processor = CLIPProcessor.from_pretrained(place, trust_remote_code=False)
    tokens = processor.tokenizer("two words")["input_ids"]
    if len(set(tokens) - set(processor.tokenizer.all_special_ids)) < 2:
        raise InputError(f"The tokenizer of {name} cannot spell a word: its tokenizer.json may be missing.")
    pictures = processor.image_processor
    steps = [("resize", "size"), ("pad", "pad_size"), ("center_crop", "crop_size")]  # in this order
    sides = [_sides(getattr(pictures, size, None)) for do, size in steps if getattr(pictures, f"do_{do}", False)]
    if sides and set(sides[-1]) != {image_size}:
        raise InputError(
            f"The processor of {name} makes pictures of {sides[-1]} pixels, and the model takes {image_size}: they do "
            f"not belong together."
        )
    if any(side > _LARGEST * image_size for each in sides for side in each):
        raise InputError(
            f"The processor of {name} makes pictures larger than {_LARGEST} times the {image_size} pixels that the "
            f"model takes: it is damaged, or meant to harm."
        )
    return processor


def _sides(size: object) -> tuple[int, ...]:
    """Those that are set, in pixels."""
    names = ("height", "width", "shortest_edge", "longest_edge", "max_height", "max_width", "max_pixels")
    return tuple(side for name in names if (side := getattr(size, name, None)) is not None)


@contextlib.contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Makes one sentence of what the libraries raise where a file is not what it should be.

    What transformers says when a method's config meets a plain CLIP checkpoint is held back; it is meant to.
    """
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:  # nonsense in a config.json raises whatever stands where transformers stumbles over it
        reason = last_line(error).split("Error: ")[-1].strip()
        if not isinstance(error, OSError | ValueError | RuntimeError | StrictDataclassError):
            reason = f"its files are damaged, or of another version ({type(error).__name__}: {reason})"
        raise InputError(f"{what}: {reason}") from error
    finally:
        logging.set_verbosity(level)
