"""In which precision matrices are multiplied."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products in float32: neither TF32 nor bfloat16, nor what autocast would make of them."""
    switches = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]
    before = [switch.fp32_precision for switch in switches]
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        for switch, precision in zip(switches, before):
            stack.callback(setattr, switch, "fp32_precision", precision)
            switch.fp32_precision = "ieee"
        yield
