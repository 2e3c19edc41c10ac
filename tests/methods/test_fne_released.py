"""Four steps of FNE's released loss, recorded as tests/fixtures/README.md says, done again here."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hf_noisy_itm.functional.false_negatives import hardest, triplet_hinge
from hf_noisy_itm.functional.similarity import inner_products
from hf_noisy_itm.methods import FNEConfig, FNEModel, fne

from .test_contract import make, make_batch

RECORDED = load_file(Path(__file__).parent.parent / "fixtures" / "fne_reference.safetensors")
CLOSE = {"atol": 1e-6, "rtol": 1e-5}


def recorded(step):
    prefix = f"step{step}."
    return {name.removeprefix(prefix): value for name, value in RECORDED.items() if name.startswith(prefix)}


@pytest.fixture
def replay(clip_config, processor, pairs, monkeypatch):
    """One step of the model on recorded embeddings: losses per pair, weights before the draw, gradients."""
    clip_config.projection_dim = 24
    fields = {"variant": "released", "queue_size": 96, "min_right_pairs": 10}
    model, _ = make(FNEModel, FNEConfig, fields, clip_config)
    model.begin_epoch(1)
    model.queue.push(RECORDED["queue_image"], RECORDED["queue_text"], RECORDED["queue_ids"], torch.arange(100, 196))
    batch = make_batch(processor, pairs, range(16), entries=False)
    weights = []

    def largest(log_weight, number):
        """The recording has the largest weight where the code draws."""
        of_candidates = log_weight.exp()
        weights.append(of_candidates)
        return of_candidates.argmax(dim=1), of_candidates.amax(dim=1) > 0

    monkeypatch.setattr(fne, "draw", largest)

    def run(step):
        weights.clear()
        of_step = recorded(step)
        image, text = (of_step[f"{kind}_features"].clone().requires_grad_() for kind in ("image", "text"))
        monkeypatch.setattr(model, "embed", lambda _: (image, text))
        keys = of_step["momentum_image"], of_step["momentum_text"]
        monkeypatch.setattr(model.twin, "embed", lambda _, chunk: keys)
        output = model(**{**batch, "image_id": of_step["ids"]})
        return model, output, weights, (image, text)

    return run


def test_every_step_is_the_recorded_one(replay):
    for step in range(4):
        wanted = recorded(step)
        model, output, weights, embeds = replay(step)
        for got, way in zip(weights, ("i2t", "t2i")):
            of_way = wanted[f"weights_{way}"]
            empty = got.amax(dim=1) == 0  # there the recording has one at the largest hinge
            assert 0 < empty.sum() < 8
            torch.testing.assert_close(got[~empty], of_way[~empty], **CLOSE)
            assert (of_way[empty].sum(dim=1) == 1).all()
        # The recording is of a sum over the batch; `loss` is the mean.
        torch.testing.assert_close(16 * output.loss, wanted["loss"], **CLOSE)
        (16 * output.loss).backward()
        for embed, kind in zip(embeds, ("image", "text")):
            torch.testing.assert_close(embed.grad, wanted[f"grad_{kind}"], **CLOSE)
        model.match_moments.add(output.to_remember["own_similarity"], output.to_remember["hardest_similarity"].T)
        for moments, kind in zip(model.match_moments.read(), ("pos", "neg")):
            assert moments.count == wanted[f"{kind}_count"]
            torch.testing.assert_close(moments.mean.float(), wanted[f"{kind}_mean"], **CLOSE)
            torch.testing.assert_close(moments.variance.float(), wanted[f"{kind}_var"], **CLOSE)


def test_the_variance_of_all_values_is_another(replay):
    """So the quirk is one that the recording shows."""
    model, *_ = replay(0)
    model.match_moments.exact = True
    for step in range(4):
        _, output, *_ = replay(step)
        model.match_moments.add(output.to_remember["own_similarity"], output.to_remember["hardest_similarity"].T)
    right, _ = model.match_moments.read()
    assert right.variance.item() != pytest.approx(recorded(3)["pos_var"].item(), rel=1e-2)


def test_a_row_without_candidates_has_the_negative_of_the_largest_hinge(replay):
    _, output, weights, embeds = replay(3)
    wanted = recorded(3)
    cosines = inner_products(embeds[0].detach(), torch.cat([wanted["momentum_text"], RECORDED["queue_text"]]))
    own = cosines[:, :16].diag()
    same = wanted["ids"][:, None] == torch.cat([wanted["ids"], RECORDED["queue_ids"]])
    hinges = triplet_hinge(own, hardest(cosines, same)[0], 0.2)
    empty = weights[0].amax(dim=1) == 0
    place = wanted["weights_i2t"].argmax(dim=1)
    of_recording = triplet_hinge(own, cosines.gather(1, place[:, None]).squeeze(1), 0.2)
    of_recording = of_recording.masked_fill(same.gather(1, place[:, None]).squeeze(1), 0.0)
    torch.testing.assert_close(hinges[empty], of_recording[empty])


def test_the_warm_up_is_the_recorded_triplet_loss(replay):
    model, *_ = replay(3)
    model.begin_epoch(0)
    _, output, weights, _ = replay(3)
    assert not weights
    torch.testing.assert_close(16 * output.loss, RECORDED["warmup_triplet_loss_last_step"], **CLOSE)
