"""Random numbers that belong to rows, not to a generator: the same on every device and in any order."""

import zlib

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # the odd number nearest 2**64 / golden ratio, as int64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


def uniform(seed: int, name: str, step: Tensor | int, index: Tensor) -> Tensor:
    """One number in [0, 1) for each row, a function of the arguments alone.

    So forward can draw without writing a generator's state, a resumed run draws what it would have drawn, and a row
    gets the same number whichever process holds it. The numbers are those of SplitMix64 (Steele et al., Fast
    Splittable Pseudorandom Number Generators, OOPSLA 2014) at a position made of the arguments: independent
    enough for any use here, not for cryptography.

    Args:
        seed: of the run.
        name: what is drawn, so that draws for different purposes differ.
        step: of training, an integer or an int64 tensor of one element, which is not read from its device.
        index: number of each row in the data, int64, any shape.

    Returns:
        float32 of the shape of `index`, multiples of 2**-24.
    """
    start = zlib.crc32(name.encode()) + (seed << 32)
    position = _mix(torch.as_tensor(step, device=index.device).long() * _GOLDEN + _wrapped(start))
    bits = _mix(index.long() * _GOLDEN + position)
    return (bits >> 40 & 0xFFFFFF).float() * 2.0**-24


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finalizer: each bit of the result depends on each bit of the argument."""
    for shift, factor in _MIX:
        bits = (bits ^ _shifted(bits, shift)) * factor  # int64 wraps around, as the generator's arithmetic does
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, shift: int) -> Tensor:
    """A shift to the right that brings zeros along, which torch has not for int64."""
    return bits >> shift & (1 << 64 - shift) - 1


def _wrapped(number: int) -> int:
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number
