"""What cannot be ranked is refused, with its numbers."""

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Real
from operator import index

import numpy as np
import torch
from torch import Tensor

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INT64 = torch.iinfo(torch.int64)


def check_embeds(image_embeds: Tensor, text_embeds: Tensor, names: tuple[str, str] = ("image", "text")) -> None:
    """Two matrices of one width and finite values.

    Raises:
        ValueError: they are not.
    """
    for name, embeds in zip(names, (image_embeds, text_embeds)):
        check_tensor(embeds, f"The {name} embeddings")
        if embeds.dtype not in _FLOATS:
            raise ValueError(
                f"The {name} embeddings must be floating-point numbers of 16 to 64 bits, got {embeds.dtype}."
            )
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    if image_embeds.ndim != 2 or text_embeds.ndim != 2 or shapes[0][1] != shapes[1][1] or not shapes[0][1]:
        raise ValueError(
            f"{names[0].capitalize()} and {names[1]} embeddings must be two matrices of one width, "
            f"got {shapes[0]} and {shapes[1]}."
        )
    if not len(image_embeds) or not len(text_embeds):
        raise ValueError(
            f"Retrieval needs {names[0]} and {names[1]} embeddings, got {shapes[0][0]} and {shapes[1][0]}."
        )
    for name, embeds in zip(names, (image_embeds, text_embeds)):
        for start, rows in zip(range(0, len(embeds), 4096), embeds.split(4096)):
            finite = torch.isfinite(rows).all(dim=1)
            if not bool(finite.all()):
                row = start + int((~finite).nonzero()[0])
                raise ValueError(f"The {name} embedding of row {row} is not finite.")


def check_tensor(value: object, name: str) -> None:
    """A dense tensor that holds numbers.

    Raises:
        ValueError: it is something else; what turns it into one is named.
    """
    if not isinstance(value, Tensor):
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        way = "torch.from_numpy" if isinstance(value, np.ndarray) else "torch.tensor"
        raise ValueError(f"{name} must be a torch.Tensor, got {kind}: {way} makes one.")
    if value.layout != torch.strided or value.is_meta:
        raise ValueError(f"{name} must be a dense tensor in memory, got {value.layout} on {value.device}.")


def integers(values: object, name: str) -> Tensor:
    """Ids, labels or rows as an int64 tensor of their shape.

    Args:
        values: a tensor or array of any integer type, or a sequence of integers.
        name: what they are, for messages; plural.

    Raises:
        ValueError: a value is no integer (a bool is none), or beyond 64 bits; it is named.
    """
    if isinstance(values, Tensor):
        check_tensor(values, f"{name[:1].upper()}{name[1:]}")
        values = values.detach()
        if values.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch can do little with these
            values = values.cpu().numpy()
    if isinstance(values, Tensor):
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            first = f", {values.flatten()[0].item()} for one" if values.numel() else ""
            raise ValueError(f"{name} must be integers, got {values.dtype}{first}.")
        return values.long()
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        if values.size and int(values.max()) > _INT64.max:
            raise ValueError(f"{name} must be integers of at most {_INT64.max}, got {values.max()}.")
        return torch.from_numpy(np.array(values, dtype=np.int64))  # a copy: of any byte order and strides
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Sequence | np.ndarray):
        raise ValueError(f"{name} must be integers in a tensor, array or list, got {values!r:.80}.")
    return torch.tensor([_integer(value, name) for value in values], dtype=torch.int64)


def _integer(value: object, name: str) -> int:
    try:
        if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
            raise TypeError
        number = index(value)
    except (TypeError, ValueError, RuntimeError):  # the last two are what torch raises of tensors
        raise ValueError(f"{name} must be integers, got {value!r:.80} for one.") from None
    if not _INT64.min <= number <= _INT64.max:
        raise ValueError(f"{name} must be integers of at most 64 bits, got {number}.")
    return number


def checked_number(value: object, name: str, least: int) -> int:
    """An option that is a whole number.

    Raises:
        ValueError: it is none, or below `least`.
    """
    number = None if isinstance(value, bool | np.bool_ | Tensor) else value
    try:
        number = index(number)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r:.80}.") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}.")
    return number


def checked_level(level: object) -> float:
    """A level of confidence.

    Raises:
        ValueError: it is no number in (0, 1).
    """
    if isinstance(level, bool | np.bool_) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, like 0.95, got {level!r:.80}.")
    return float(level)


def checked_owner(image_of_caption: Tensor | Sequence[int], num_images: int, num_texts: int) -> Tensor:
    """One picture for each caption, and a caption for each picture: int64 (C,).

    Raises:
        ValueError: a caption lacks its picture or a picture its caption.
    """
    owner = integers(image_of_caption, "image_of_caption")
    if tuple(owner.shape) != (num_texts,):
        raise ValueError(
            f"image_of_caption must name one picture for each of {num_texts} captions, got shape {tuple(owner.shape)}."
        )
    low, high = int(owner.min()), int(owner.max())
    if low < 0 or high >= num_images:
        raise ValueError(f"Captions name pictures {low} to {high}, but there are pictures 0 to {num_images - 1}.")
    counts = torch.bincount(owner, minlength=num_images)
    if not bool((counts > 0).all()):
        lacking = int((counts == 0).sum())
        raise ValueError(
            f"Picture {int((counts == 0).nonzero()[0])} has no caption, so it can never be found"
            + (f"; nor have {lacking - 1} others." if lacking > 1 else ".")
        )
    return owner


def checked_ks(ks: Iterable[int], smallest: int, gallery: str = "the smaller gallery") -> list[int]:
    """Cut-offs that a gallery can fill, each once.

    Raises:
        ValueError: one is no integer, below 1, or above the gallery's size.
    """
    try:
        numbers = list(dict.fromkeys(index(k) for k in ks))
    except TypeError:
        raise ValueError(f"K must be a list of integers, got {ks!r}.") from None
    if not numbers or min(numbers) < 1 or max(numbers) > smallest:
        raise ValueError(f"Each K must be between 1 and {gallery} ({smallest}), got {numbers}.")
    return numbers
