"""What is left at the end of an epoch, shared out among processes."""

from collections.abc import Iterator
from itertools import islice

from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, DataLoader, Sampler

from .errors import InputError


class EvenBatchSampler(BatchSampler):
    """Batches that processes take in turn, of which each process gets as many, and as long ones.

    Where no process gets a whole batch any more, what is left is shared out: 2 processes with batches of 8 take 21
    pairs as 8 and 8, then 2 and 2. Only fewer pairs than there are processes are left out. `accelerate` would repeat
    pairs of the first batches instead, or leave the last processes without a batch, for which the others would wait.

    Args:
        sampler: order of the pairs, of known length.
        batch_size: pairs of one process.
        num_processes: that take the batches.
    """

    def __init__(self, sampler: Sampler[int], batch_size: int, num_processes: int):
        super().__init__(sampler, batch_size, drop_last=False)
        self.num_processes = num_processes

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[list[int]]:
        rows = iter(self.sampler)
        for size in self._sizes:
            yield list(islice(rows, size))

    @property
    def _sizes(self) -> list[int]:
        whole, left = divmod(len(self.sampler), self.batch_size * self.num_processes)
        last = left // self.num_processes
        return [self.batch_size] * self.num_processes * whole + [last] * self.num_processes * (last > 0)


def evened(loader: DataLoader, num_processes: int) -> DataLoader:
    """The loader that accelerate prepared for one of several processes, with even batches up to the last.

    Raises:
        InputError: accelerate was told to share out batches in another way.
    """
    shard = loader.batch_sampler
    if not isinstance(shard, BatchSamplerShard) or shard.split_batches:
        raise InputError(
            "With dispatch_batches or split_batches of accelerator_config a last, smaller batch would be filled up "
            "with pairs seen before: leave these out, or leave dataloader_drop_last on."
        )
    shard.batch_sampler = EvenBatchSampler(shard.batch_sampler.sampler, shard.batch_size, num_processes)
    shard.even_batches = False  # they are
    return loader
