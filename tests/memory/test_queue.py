import pytest
import torch

from hf_noisy_itm.memory.queue import NO_PICTURE, NO_ROW, PairQueue


def rows(*numbers):
    """Pairs of width 2 whose embeddings tell their number."""
    number = torch.tensor(numbers)
    embeds = number[:, None].float().expand(-1, 2)
    return embeds, -embeds, number // 5, number


def content(queue):
    there = ~queue.is_empty
    assert torch.equal(queue.image_keys, -queue.text_keys)
    assert queue.image_keys[there, 0].tolist() == queue.row[there].tolist()
    assert queue.image_id[there].tolist() == (queue.row[there] // 5).tolist()
    return queue.row.tolist()


def test_it_starts_empty():
    queue = PairQueue(3, 2)
    assert queue.is_empty.all()
    assert content(queue) == [NO_ROW] * 3
    assert (queue.image_id == NO_PICTURE).all()


@pytest.mark.parametrize(
    ("name", "value"), [("filled", 6), ("pointer", 5), ("pointer", -1), ("image_keys", float("nan"))]
)
def test_a_state_that_is_none_is_refused(name, value):
    queue = PairQueue(5, 2)
    state = {key: tensor.clone() for key, tensor in queue.state_dict().items()}
    queue.load_state_dict(state)
    state[name].fill_(value)
    with pytest.raises(ValueError, match="queue"):
        queue.load_state_dict(state)


def test_order_wrap_around_and_fill():
    queue = PairQueue(5, 2)
    queue.push(*rows(10, 11))
    assert content(queue) == [10, 11, NO_ROW, NO_ROW, NO_ROW]
    assert queue.is_empty.tolist() == [False, False, True, True, True]
    queue.push(*rows(12, 13))
    assert (queue.pointer, queue.filled) == (4, 4)
    queue.push(*rows(14, 15))  # the second over the oldest
    assert content(queue) == [15, 11, 12, 13, 14]
    assert (queue.pointer, queue.filled) == (1, 5)
    queue.push(*rows(16))
    assert content(queue) == [15, 16, 12, 13, 14]


def test_of_more_than_there_is_room_for_the_last_stay():
    queue = PairQueue(3, 2)
    queue.push(*rows(10))
    queue.push(*rows(*range(20, 27)))
    assert sorted(content(queue)) == [24, 25, 26]
    assert queue.filled == 3
    queue.push(*rows(30))
    assert sorted(content(queue)) == [25, 26, 30]  # the oldest went


def test_saved_and_loaded_it_goes_on_alike():
    queue, other = PairQueue(5, 2), PairQueue(5, 2)
    queue.push(*rows(1, 2, 3, 4))
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.push(*rows(5, 6, 7))
    assert content(queue) == content(other) == [6, 7, 3, 4, 5]


def test_reset_forgets():
    queue = PairQueue(3, 2)
    queue.push(*rows(1, 2, 3, 4))
    queue.reset()
    assert queue.is_empty.all()
    queue.push(*rows(9))
    assert content(queue)[0] == 9


def test_nothing_waits_for_the_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("read from the device")

    queue, pairs = PairQueue(3, 2), rows(1, 2)
    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    queue.push(*pairs)
    assert queue.is_empty.shape == (3,)
