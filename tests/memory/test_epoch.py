import torch

from hf_noisy_itm.memory.epoch import Epoch


def test_it_is_known_without_reading_the_device(monkeypatch):
    epoch = Epoch()
    epoch.begin(3)
    monkeypatch.setattr(torch.Tensor, "__int__", None)
    assert epoch.number == 3


def test_it_is_saved_and_loaded_also_over_a_known_one():
    epoch, other = Epoch(), Epoch()
    assert epoch.number == other.number == 0
    epoch.begin(2)
    other.load_state_dict(epoch.state_dict())
    assert other.number == 2
    other.reset()
    assert other.number == 0
