import torch

from hf_noisy_itm.memory.gradient_moments import GradientMoments

BETAS = (0.9, 0.98)


def parameters():
    return {"a.weight": torch.zeros(2, 3), "b": torch.zeros(())}


def gradients(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(like.shape, generator=generator) for name, like in parameters().items()}


def see(moments, *batches):
    for batch in batches:
        for name, gradient in batch.items():
            moments.note(name, gradient, BETAS)
    moments.update()


def test_two_steps_by_hand():
    # Gradients 1 and 3: 0.1 * 1 = 0.1, then 0.9 * 0.1 + 0.1 * 3 = 0.39; 0.02 * 1, then 0.98 * 0.02 + 0.02 * 9 = .1996.
    moments = GradientMoments({"b": torch.zeros(())})
    for gradient in (1.0, 3.0):
        see(moments, {"b": torch.tensor(gradient)})
    torch.testing.assert_close(torch.stack(moments.of("b")), torch.tensor([0.39, 0.1996]))
    assert moments.steps.count == 2


def test_they_are_the_state_of_an_adamw_that_takes_every_step():
    twins = {name: torch.nn.Parameter(like) for name, like in parameters().items()}
    optimizer = torch.optim.AdamW(twins.values(), lr=0.1, betas=BETAS)
    moments = GradientMoments(parameters())
    for step in range(4):
        batch = gradients(step)
        for name, twin in twins.items():
            twin.grad = batch[name]
        optimizer.step()
        see(moments, batch)
    for name, twin in twins.items():
        for moment, key in zip(moments.of(name), ("exp_avg", "exp_avg_sq")):
            torch.testing.assert_close(moment, optimizer.state[twin][key])


def test_parts_of_a_batch_count_as_one_and_noting_alone_changes_nothing():
    whole, parts = GradientMoments(parameters()), GradientMoments(parameters())
    one, two = gradients(1), gradients(2)
    see(whole, gradients(0))
    see(parts, gradients(0))
    before = {name: tensor.clone() for name, tensor in parts.state_dict().items()}
    for name, gradient in one.items():
        parts.note(name, gradient, BETAS)
    assert all(torch.equal(before[name], tensor) for name, tensor in parts.state_dict().items())
    see(parts, two)
    see(whole, {name: (one[name] + two[name]) / 2 for name in one})
    assert parts.steps.count == 2
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor)
    parts.update()  # nothing was noted
    assert parts.steps.count == 2


def test_a_parameter_that_comes_later_starts_from_zero():
    moments = GradientMoments({})
    assert moments.of("a.weight") == (None, None)
    see(moments, {"a.weight": torch.ones(2)})
    torch.testing.assert_close(moments.of("a.weight")[0], torch.full((2,), 0.1))


def test_state_is_saved_by_name_and_reset_forgets_it():
    moments = GradientMoments(parameters())
    see(moments, gradients(0))
    other = GradientMoments(parameters())
    other.load_state_dict(moments.state_dict())
    for name in parameters():
        assert all(torch.equal(*pair) for pair in zip(other.of(name), moments.of(name)))
    for module in (other, other.steps):
        module.reset()
    assert not any(tensor.any() for tensor in other.state_dict().values())


def test_what_was_given_is_kept_by_nobody():
    moments, like, gradient = GradientMoments({}), torch.ones(2), torch.ones(2)
    moments.note("a", gradient, BETAS)
    gradient.zero_()
    moments.update()
    assert moments.of("a")[0].tolist() == [0.10000000149011612] * 2
    assert GradientMoments({"a": like}).of("a")[0].tolist() == [0, 0]
    assert like.tolist() == [1, 1]
