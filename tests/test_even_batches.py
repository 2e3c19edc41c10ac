"""What is left at an epoch's end, shared out among processes."""

import pytest
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import DataLoader

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.even_batches import EvenBatchSampler, evened


@pytest.mark.parametrize("rows", [0, 1, 5, 8, 21, 24, 31])
@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_gets_as_many_batches_as_long_and_no_row_twice(rows, processes):
    taken = []
    for process in range(processes):
        sampler = DataLoader(range(rows), batch_size=4).batch_sampler
        shard = BatchSamplerShard(sampler, processes, process)
        loader = evened(DataLoader(range(rows), batch_sampler=shard), processes)
        taken.append([batch.tolist() for batch in loader])
        assert len(loader) == len(taken[-1])
    sizes = [[len(batch) for batch in batches] for batches in taken]
    assert all(each == sizes[0] for each in sizes)
    together = [row for batches in zip(*taken) for batch in batches for row in batch]
    assert together == list(range(rows - rows % processes if rows % (4 * processes) else rows))


def test_what_is_left_is_shared_out():
    assert list(EvenBatchSampler(range(21), 8, 2)) == [[*range(8)], [*range(8, 16)], [16, 17], [18, 19]]
    assert list(EvenBatchSampler(range(17), 8, 2)) == [[*range(8)], [*range(8, 16)]]


def test_other_ways_of_sharing_out_are_refused():
    with pytest.raises(InputError, match="split_batches of accelerator_config .*: leave these out, or leave data"):
        evened(DataLoader(range(8), batch_size=4), 2)
    split = BatchSamplerShard(DataLoader(range(8), batch_size=4).batch_sampler, 2, 0, split_batches=True)
    with pytest.raises(InputError, match="leave dataloader_drop_last on"):
        evened(DataLoader(range(8), batch_sampler=split), 2)
