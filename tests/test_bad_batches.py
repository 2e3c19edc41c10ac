import pytest
import torch
from torch import nn

from hf_noisy_itm import InputError
from hf_noisy_itm.bad_batches import LossWatch, is_left_out, refuse_no_numbers
from hf_noisy_itm.exchange import Exchange


class BesideABadOne(Exchange):
    """Two processes, of which the other has a loss that is no number."""

    def mean(self, tensors):
        return [(tensor + 1) / 2 for tensor in tensors]

    def gather(self, tensor):
        return torch.cat([tensor, torch.full_like(tensor, 3)])


def trained(loss_of=lambda rows: rows.sum()):
    model = nn.Linear(3, 2)
    model(torch.ones(1, 3)).sum().backward()
    return model, loss_of(torch.ones(2))


@pytest.mark.parametrize("spoilt", ["loss", "gradient", "nothing"])
def test_a_step_of_a_bad_batch_changes_nothing(spoilt):
    model, loss = trained()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    before = model.weight.detach().clone()
    if spoilt == "gradient":
        model.weight.grad[0, 0] = torch.inf
    assert is_left_out(model, loss * torch.nan if spoilt == "loss" else loss, Exchange()) == (spoilt != "nothing")
    optimizer.step()
    assert torch.equal(model.weight, before) == (spoilt != "nothing")


def test_all_processes_leave_out_what_one_does():
    model, loss = trained()
    assert is_left_out(model, loss, BesideABadOne())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_first_step_is_named_and_later_ones_do_not_mend_it():
    watch = LossWatch()
    watch.check(Exchange())
    for step, loss in enumerate([1.0, float("inf"), float("nan"), 1.0], start=1):
        watch.add(torch.tensor(loss), step)
    with pytest.raises(InputError, match="The loss is not finite from step 2 on"):
        watch.check(Exchange())


def test_all_processes_end_where_one_has_a_loss_that_is_no_number():
    watch = LossWatch()
    watch.add(torch.tensor(1.0), 1)
    watch.check(Exchange())
    with pytest.raises(InputError, match="The loss is not finite from step 3 on"):
        watch.check(BesideABadOne())


def test_weights_are_looked_at_on_every_process():
    model, _ = trained()
    refuse_no_numbers(model, Exchange(), 3)
    with pytest.raises(InputError, match="Weights are not finite after step 3"):
        refuse_no_numbers(model, BesideABadOne(), 3)
    model.bias.data[0] = torch.nan
    with pytest.raises(InputError, match="Weights are not finite after step 4"):
        refuse_no_numbers(model, Exchange(), 4)


def test_a_loss_that_rises_far_is_told_once():
    watch, losses = LossWatch(), [4.9, 2.0, 6.9, 0.0, 1.8, 6.3, 6.5, 9.0]
    told = [watch.rise(loss, 10 * step) for step, loss in enumerate(losses, start=1)]
    assert [place for place, each in enumerate(told) if each] == [6]
    assert told[6].startswith("The loss rises: 6.5 at step 70, and 1.8 at step 50.")


def test_a_batch_below_where_it_began_is_no_rise():
    watch = LossWatch()
    assert [watch.rise(loss, step) for step, loss in enumerate([2.5, 0.1, 2.2], start=1)] == [None] * 3
    assert watch.rise(2.6, 4)


def test_ten_bad_batches_in_a_row_are_no_bad_batches():
    watch = LossWatch()
    for step, is_bad in enumerate([True] * 9 + [False] + [True] * 9, start=1):
        watch.leave_out(is_bad, step)
    with pytest.raises(InputError, match="The last 10 batches up to step 20 were left out"):
        watch.leave_out(True, 20)
