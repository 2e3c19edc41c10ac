"""CODER against its formulae (methods spec: acceptance list CODER-like 1 to 3), part by part."""

import hashlib
import json
import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model, inject_adapter_in_model
from safetensors.torch import load_file
from transformers import CLIPModel

from hf_noisy_itm.errors import InputError
from hf_noisy_itm.functional.contrastive import info_nce, pair_losses
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.methods import BaselineModel, CODERConfig, CODERModel
from hf_noisy_itm.methods._batch import PairBatch
from hf_noisy_itm.methods._contrast import Contrast
from hf_noisy_itm.trainer import NoisyITMTrainer
from hf_noisy_itm.training_arguments import NoisyITMArguments

from ..test_trainer import losses_of
from .table import CODER, CONCEPTS, concepts
from .test_contract import make, make_batch, same_state, state
from .test_fne import take_step
from .test_state import plain_clip

INSTANCE = {"queue_size": 40, "concept_branch": False}


@pytest.fixture
def trained(clip_config, processor, pairs):
    """A model with 36 pairs in its queues, whose twins are not itself, and the batch that comes next."""

    def build(**fields):
        own = CODER if fields.get("concept_branch", True) else {"queue_size": 40}
        model, optimizer = make(CODERModel, CODERConfig, {**own, **fields}, clip_config)
        for start in (0, 1, 2):
            take_step(model, optimizer, make_batch(processor, pairs, range(start, 60, 5), entries=False))
        return model, make_batch(processor, pairs, range(3, 63, 5), entries=False)

    return build


def embeds_and_keys(model, batch):
    batch = PairBatch(**batch, bank=None)
    embeds = model.embed(batch)
    return embeds, model.twin.embed(batch) if model.twin else tuple(each.detach() for each in embeds)


def naive_losses(anchors, others, queue, image_id, queue_id, scale, kappa, in_batch=True, spread="batch"):
    """Anchor by anchor: the weighted cross-entropy of one direction."""
    candidates = torch.cat([others, queue]).detach().tolist()
    ids = [*image_id.tolist(), *queue_id.tolist()]
    rows = []
    for i, anchor in enumerate(anchors.tolist()):
        cosines = [sum(a * b for a, b in zip(anchor, candidate)) for candidate in candidates]
        negatives = [j for j, each in enumerate(ids) if each != ids[i] and (in_batch or j >= len(others)) and j != i]
        rows.append((cosines, negatives))
    spreads = []
    for cosines, negatives in rows:
        mean = sum(cosines[j] for j in negatives) / max(len(negatives), 1)
        spreads.append(math.sqrt(sum((cosines[j] - mean) ** 2 for j in negatives) / max(len(negatives), 1)))
    losses = []
    for i, (cosines, negatives) in enumerate(rows):
        kappa_i = kappa if spread == "anchor" else kappa * spreads[i] / (sum(spreads) / len(spreads))
        mean = sum(cosines[j] for j in negatives) / max(len(negatives), 1)
        shares = [math.exp(kappa_i * (cosines[j] - mean) / spreads[i]) for j in negatives]
        weights = [len(negatives) * share / sum(shares) for share in shares]
        right = math.exp(scale * cosines[i])
        wrong = sum(weight * math.exp(scale * cosines[j]) for weight, j in zip(weights, negatives))
        losses.append(-math.log(right / (right + wrong)))
    return torch.tensor(losses)


def naive_contrast(anchors, keys, queues, ids, scale, kappa, in_batch="embeds", weight=1.0, spread="batch"):
    """The batch as in CLIP's loss, and own keys against the dictionaries; or own keys against all that is said."""
    image_id, queue_id = ids
    wanted = torch.zeros(len(image_id))
    for way, other in ((0, 1), (1, 0)):
        among = anchors[way], keys[other], queues[other], image_id, queue_id, scale, kappa
        if in_batch == "embeds":
            wanted += naive_losses(
                anchors[way], anchors[other], queues[other][:0], image_id, queue_id[:0], scale, kappa, spread=spread
            )
            wanted += weight * naive_losses(*among, in_batch=False, spread=spread)
        else:
            wanted += naive_losses(*among, in_batch=in_batch == "keys", spread=spread)
    return wanted / 2


@pytest.mark.parametrize(("kappa", "spread"), [(0.0, "batch"), (0.7, "batch"), (0.7, "anchor")])
@pytest.mark.parametrize("in_batch", ["embeds", "keys", "own"])
def test_the_instance_branch_equals_a_loop_over_anchors_and_candidates(trained, kappa, spread, in_batch):
    """With `own` and kappa 0 this is MoCo: the own key against the queue."""
    weight = {"dictionary_weight": 0.3} if in_batch == "embeds" else {}
    model, batch = trained(concept_branch=False, kappa=kappa, spread=spread, in_batch=in_batch, **weight)
    embeds, keys = embeds_and_keys(model, batch)
    filled, scale = int(model.queue.filled), model.logit_scale.item()
    assert filled == 36
    queues = model.queue.image_keys[:filled], model.queue.text_keys[:filled]
    ids = batch["image_id"], model.queue.image_id[:filled]
    wanted = naive_contrast(embeds, keys, queues, ids, scale, kappa, in_batch, 0.3, spread)
    torch.testing.assert_close(model(**batch).loss_per_pair, wanted, atol=1e-4, rtol=1e-4)


def test_both_branches_and_the_labels_equal_loops(trained):
    model, batch = trained(kappa=0.7, concept_weight=0.5, label_weight=2.0)
    embeds, keys = embeds_and_keys(model, batch)
    coupled, filled = model.coupled, int(model.queue.filled)

    def descriptors(each, branch=coupled.branch):
        nodes = coupled.graph.vectors
        for layer in branch.layers:
            hidden = coupled.graph.propagation @ nodes @ (10 * layer.weight.T)
            nodes = nodes + torch.where(hidden > 0, hidden, 0.2 * hidden)
        basis = normalize(nodes - nodes.mean(dim=0))
        found = []
        for rows, modality in zip(each, ("image", "text")):
            query = rows + 10 * (rows @ branch.queries[modality].weight.T + branch.queries[modality].bias)
            scores = normalize(query) @ basis.T * branch.log_sharpness.exp()
            shares = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
            found.append(normalize(sum(shares[:, k, None] * basis[k] for k in range(9))))
        return found

    own = descriptors(embeds)
    stored = model.queue.image_keys[:filled], model.queue.text_keys[:filled]
    ids = batch["image_id"], model.queue.image_id[:filled]
    wanted = naive_contrast(embeds, keys, stored, ids, model.logit_scale.item(), 0.7)
    scale = coupled.branch.logit_scale.item()
    wanted += 0.5 * naive_contrast(own, descriptors(keys), descriptors(stored), ids, scale, 0.7)
    for descriptor, key in zip(own, keys):
        label = coupled.prototypes.assign(key)
        log_prob = (descriptor @ coupled.prototypes.other_centres.T / 0.1).log_softmax(dim=1)
        wanted -= 2.0 / 2 * (label * log_prob).sum(dim=1)
    output = model(**batch)
    torch.testing.assert_close(output.loss_per_pair, wanted.detach(), atol=1e-4, rtol=1e-4)
    assert set(output.report) == {"instance_loss", "concept_loss", "label_loss"}
    torch.testing.assert_close(output.to_remember["text_descriptors"], descriptors(keys)[1].detach())


def test_without_any_part_it_is_the_control(clip_config, processor, pairs):
    fields = {"dictionaries": False, "concept_branch": False, "weighting": "uniform"}
    model, _ = make(CODERModel, CODERConfig, fields, clip_config)
    batch = make_batch(processor, pairs, range(0, 40, 3), entries=False)
    baseline = BaselineModel(model.config).train()
    baseline.load_state_dict(model.state_dict())
    assert torch.equal(model(**batch).loss, baseline(**batch).loss)
    assert state(model).keys() == state(baseline).keys()


def test_no_part_leaves_state_of_another(clip_config):
    for fields, parts in (
        (INSTANCE, {"clip", "twin", "queue"}),
        ({"concepts": str(CONCEPTS), "dictionaries": False, "pseudo_labels": False}, {"clip", "coupled"}),
        (CODER, {"clip", "twin", "queue", "coupled"}),
        ({**INSTANCE, "weighting": "fne"}, {"clip", "twin", "queue", "match_moments"}),
    ):
        model, _ = make(CODERModel, CODERConfig, fields, clip_config)
        assert {name.split(".")[0] for name in model.state_dict()} == parts
    fields = {"concepts": str(CONCEPTS), "pseudo_labels": False}
    names = make(CODERModel, CODERConfig, fields, clip_config)[0].coupled.state_dict()
    assert {name.split(".")[0] for name in names} == {"graph", "branch"}


@pytest.mark.parametrize("same_image", ["mask", "negative", "positive"])
def test_captions_of_the_own_picture_in_batch_and_queue_are_what_the_field_says(trained, same_image):
    model, batch = trained(concept_branch=False, same_image=same_image, kappa=0.0, in_batch="keys")
    batch["image_id"][1] = batch["image_id"][0]
    (images, texts), (image_keys, text_keys) = embeds_and_keys(model, batch)
    filled, own = int(model.queue.filled), torch.arange(12)
    same = batch["image_id"][:, None] == torch.cat([batch["image_id"], model.queue.image_id[:filled]])
    same[own, own] = False
    assert same[0, 1]
    assert same[:, 12:].any()
    wanted, scale = 0.0, model.logit_scale
    for anchors, keys, queue in (
        (images, text_keys, model.queue.text_keys),
        (texts, image_keys, model.queue.image_keys),
    ):
        candidates = torch.cat([keys, queue[:filled]])
        wanted = wanted + info_nce(anchors, candidates, own, scale, same, same_image) / 2
    torch.testing.assert_close(model(**batch).loss_per_pair, wanted.detach(), atol=1e-5, rtol=1e-5)
    model.config.in_batch, model.config.dictionary_weight = "embeds", 0.0
    plain = pair_losses(images, texts, scale, same=same[:, :12], same_image=same_image)
    torch.testing.assert_close(model(**batch).loss_per_pair, plain.detach(), atol=1e-5, rtol=1e-5)


def test_places_of_the_queue_that_hold_nothing_do_not_count(clip_config, processor, pairs):
    model, _ = make(CODERModel, CODERConfig, {**INSTANCE, "kappa": 0.0}, clip_config)
    batch = make_batch(processor, pairs, range(0, 40, 5), entries=False)
    baseline = BaselineModel(model.config).train()
    baseline.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model(**batch).loss, baseline(**batch).loss)
    model.queue.image_keys.fill_(9.0)
    torch.testing.assert_close(model(**batch).loss, baseline(**batch).loss)


def test_no_gradient_flows_into_keys_labels_or_weights(trained, monkeypatch):
    """Each picture's gradient is that of its own cross-entropy with constant keys and weights, by hand."""
    model, batch = trained()
    output = model(**batch)
    assert not any(each.requires_grad for each in output.to_remember.values())
    output.loss.backward()
    assert all(each.grad is None for each in model.twin.parameters())

    model, batch = trained(in_batch="keys", concept_branch=False, kappa=0.7)
    (images, texts), (_, keys) = embeds_and_keys(model, batch)
    images = images.detach().requires_grad_()
    monkeypatch.setattr(model, "embed", lambda _: (images, texts))
    model(**batch).loss.backward()
    scale, filled = model.logit_scale.item(), int(model.queue.filled)
    candidates = torch.cat([keys, model.queue.text_keys[:filled]])
    cosines = images.detach() @ candidates.T
    is_negative = batch["image_id"][:, None] != torch.cat([batch["image_id"], model.queue.image_id[:filled]])
    spread = torch.stack([row[mask].std(correction=0) for row, mask in zip(cosines, is_negative)]).mean()
    weight = torch.zeros_like(cosines)
    for i, mask in enumerate(is_negative):
        weight[i, mask] = (0.7 / spread * cosines[i, mask]).softmax(dim=0) * mask.sum()
        weight[i, i] = 1.0
    share = weight * (scale * cosines).exp()
    share = share / share.sum(dim=1, keepdim=True)
    wanted = scale / (2 * 12) * (share @ candidates - keys)  # half of both directions, the mean of 12
    torch.testing.assert_close(images.grad, wanted, atol=1e-5, rtol=1e-3)


def test_no_gradient_flows_into_the_keys_of_the_concept_branch(trained, monkeypatch):
    model, batch = trained()
    seen, pair_losses = [], Contrast.pair_losses
    monkeypatch.setattr(
        Contrast, "pair_losses", lambda self, *given: (seen.append(given), pair_losses(self, *given))[1]
    )
    model(**batch)
    for embeds, keys, stored, *_ in seen:
        assert [each.requires_grad for each in embeds] == [True, True]
        assert not any(each.requires_grad for each in (*keys, *stored))
    assert len(seen) == 2


def test_labels_begin_when_there_are_clusters(clip_config, processor, pairs):
    model, optimizer = make(CODERModel, CODERConfig, {**CODER, "clusters": 20}, clip_config)
    seen = []
    for start in (0, 1, 2):
        output = take_step(model, optimizer, make_batch(processor, pairs, range(start, 60, 5), entries=False))
        seen.append(output.report["label_loss"].item())
    assert seen[0] == seen[1] == 0  # 24 pairs are seen after two steps
    assert seen[2] > 1


def test_labels_of_the_other_modality(trained):
    model, batch = trained(label_of="other")
    embeds, keys = embeds_and_keys(model, batch)
    images, texts = model.coupled._descriptors(embeds, model.coupled.branch.basis(model.coupled.graph))
    wanted = 0.0
    for descriptor, key in ((images, keys[1]), (texts, keys[0])):
        label = model.coupled.prototypes.assign(key)
        logits = descriptor @ model.coupled.prototypes.other_centres.T / 0.1
        wanted -= (label * logits.log_softmax(dim=1)).sum(dim=1).mean() / 2
    torch.testing.assert_close(model(**batch).report["label_loss"], wanted, atol=1e-5, rtol=1e-4)


def test_fne_weighs_both_branches_by_the_instance_branch(trained):
    model, batch = trained(weighting="fne", min_right_pairs=2, match_prior=0.05)
    own = torch.linspace(0.1, 0.4, 20)
    model.match_moments.add(own, torch.stack([own - 0.05, own - 0.15]))
    plain = model(**batch).report
    assert plain["right_pairs"] == model.match_moments.read()[0].seen
    model.config.match_prior = model.match_moments.prior = 1e-9  # nobody is suspected
    unsuspecting = model(**batch).report
    assert unsuspecting["instance_loss"] > plain["instance_loss"]
    assert unsuspecting["concept_loss"] > plain["concept_loss"]


def test_the_twin_follows_and_is_never_trained(clip_config, processor, pairs):
    model, optimizer = make(CODERModel, CODERConfig, {**CODER, "twin_momentum": 0.75}, clip_config)
    with torch.no_grad():
        model.coupled.branch.log_scale.fill_(9.0)
    before = {name: value.clone() for name, value in model.twin.named_parameters()}
    take_step(model, optimizer, make_batch(processor, pairs, entries=False))
    assert model.coupled.branch.log_scale.exp() <= 100.001
    for name, value in model.twin.named_parameters():
        moved = 0.75 * before[name] + 0.25 * model.clip.get_parameter(name)
        torch.testing.assert_close(value, moved, atol=1e-6, rtol=1e-5)
        assert not value.requires_grad


def test_the_branch_starts_with_what_clip_knows(clip_config):
    """Nothing is learned yet: a concept's own embedding is a query for it."""
    model, _ = make(CODERModel, CODERConfig, CODER, clip_config)
    vectors = concepts().vectors
    basis = normalize(vectors - vectors.mean(dim=0))
    torch.testing.assert_close(model.coupled.branch.basis(model.coupled.graph), basis)
    shares = model.coupled.branch.shares(vectors, "text", basis)
    torch.testing.assert_close(shares, (4 * vectors @ basis.T).softmax(dim=1))
    assert shares.argmax(dim=1).tolist() == list(range(9))


def test_the_strongest_concepts_are_told_of_pictures_or_captions(trained):
    model, batch = trained()
    told = model.concepts(pixel_values=batch["pixel_values"], k=3)
    assert [len(row) for row in told] == [3] * 12
    shares = model.coupled.branch.shares(
        model.embed_images(batch["pixel_values"]), "image", model.coupled.branch.basis(model.coupled.graph)
    )
    for row, share in zip(told, shares):
        assert [word for word, _ in row] == [f"word{place}" for place in share.argsort(descending=True)[:3].tolist()]
        assert [value for _, value in row] == pytest.approx(share.sort(descending=True).values[:3].tolist())
    told = model.concepts(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], k=99)
    assert all(len(row) == 9 and sum(value for _, value in row) == pytest.approx(1, abs=1e-4) for row in told)
    with pytest.raises(InputError, match="Give pictures or captions, and not both"):
        model.concepts(pixel_values=batch["pixel_values"], input_ids=batch["input_ids"])
    assert model.concepts(pixel_values=batch["pixel_values"][:0]) == []
    for k in (0, -1, 2.5, None, True):
        with pytest.raises(InputError, match=f"k is how many concepts to name, a whole number from 1 on, got {k}"):
            model.concepts(pixel_values=batch["pixel_values"], k=k)
    with pytest.raises(InputError, match="The model has no concepts"):
        trained(concept_branch=False)[0].concepts(pixel_values=batch["pixel_values"])


def encoded(model, batch):
    with torch.no_grad():
        images, texts = embeds_and_keys(model, batch)[0]
    return EncodedPairs(images, texts, torch.arange(12), "none")


def test_the_fused_similarity_is_the_weighted_sum(trained):
    model, batch = trained(instance_share=0.3)
    pairs = encoded(model, batch)
    views = model.views(pairs)
    fused, concept = views["fused"], views["concept"]
    want = 0.3 * pairs.image_embeds @ pairs.text_embeds.T + 0.7 * concept.image_embeds @ concept.text_embeds.T
    torch.testing.assert_close(fused.image_embeds @ fused.text_embeds.T, want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fused.image_embeds.norm(dim=1), torch.ones(12))
    assert trained(concept_branch=False)[0].views(pairs) == {}


@pytest.mark.parametrize(("knows", "share"), [("instance", 1.0), ("concept", 0.0)])
def test_the_share_is_chosen_for_who_knows_more(trained, monkeypatch, knows, share):
    """One branch answers everything rightly, the other always takes the next."""
    model, _ = trained()
    right, wrong = torch.eye(12, 32), torch.eye(12, 32).roll(1, dims=0)
    pairs = EncodedPairs(right, right if knows == "instance" else wrong, torch.arange(12), "none")
    others = EncodedPairs(right, wrong if knows == "instance" else right, torch.arange(12), "none")
    monkeypatch.setattr(model.coupled, "describe", lambda _: others)
    chosen = model.choose(pairs)
    assert chosen["instance_share"] == model.config.instance_share
    if knows == "instance":  # of equally good ones the largest
        assert chosen["instance_share"] == share
    else:
        assert chosen["instance_share"] < 0.5
    assert chosen[f"rsum_at_{share:.2f}"] == 600
    assert chosen[f"rsum_at_{1 - share:.2f}"] < 600


def test_what_is_published_is_the_instance_branch(trained, tmp_path):
    model, batch = trained()
    model.choose(encoded(model, batch))
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert {".".join(name.split(".")[:2]) for name in names if not name.startswith("clip.")} == {
        "coupled.graph",
        "coupled.branch",
    }
    plain = CLIPModel.from_pretrained(tmp_path)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, model.clip.state_dict()[name]), name
    CONCEPTS.rename(CONCEPTS.with_suffix(".away"))  # the checkpoint does not need the file
    try:
        again = CODERModel.from_pretrained(tmp_path)
    finally:
        CONCEPTS.with_suffix(".away").rename(CONCEPTS)
    assert again.config.concept_words == concepts().words
    assert again.config.concepts is None
    assert again.config.instance_share == model.config.instance_share
    for name in names:
        assert torch.equal(again.state_dict()[name], model.state_dict()[name]), name
    for name, tensor in again.twin.named_parameters():  # starts anew
        assert torch.equal(tensor, again.clip.get_parameter(name)), name
    one, other = model.views(encoded(model, batch)), again.views(encoded(model, batch))
    assert all(torch.equal(one[name].image_embeds, other[name].image_embeds) for name in one)
    told = [each.concepts(pixel_values=batch["pixel_values"]) for each in (model.eval(), again.eval())]
    assert told[0] == told[1]


def test_a_new_run_forgets_dictionaries_and_clusters_but_not_the_concepts(trained):
    model, _ = trained()
    branch = {name: value.clone() for name, value in model.coupled.branch.state_dict().items()}
    assert model.coupled.prototypes.are_there
    model.begin_run()
    assert model.queue.is_empty.all()
    assert not model.coupled.prototypes.are_there
    assert torch.equal(model.coupled.graph.vectors, concepts().vectors)
    for name, value in model.coupled.branch.state_dict().items():
        assert torch.equal(value, branch[name])  # what was learnt stays


def test_concepts_of_other_captions_are_refused_and_of_another_clip_told(clip_config, tmp_path, caplog):
    path = tmp_path / "concepts.safetensors"
    concepts(captions="mine", scorer={"weights_sha256": "other"}).save(path)
    model, _ = make(CODERModel, CODERConfig, {**CODER, "concepts": str(path)}, clip_config)
    with pytest.raises(InputError, match=r"holds concepts of other captions \(fingerprint mine; these have yours\)"):
        model.begin_run("yours")
    import transformers

    transformers.logging.enable_propagation()
    model.begin_run(None)  # a stream does not tell
    model.begin_run("mine")
    assert "is of another CLIP than training starts from" in caplog.text
    model.save_pretrained(tmp_path)
    CODERModel.from_pretrained(tmp_path).begin_run("yours")  # goes on with the concepts it has
    make(CODERModel, CODERConfig, {}, clip_config)[0].begin_run("yours")
    assert "There is no concept branch: give --concepts" in caplog.text
    transformers.logging.disable_propagation()


def test_concepts_of_another_width_or_of_other_words_are_refused(clip_config, tmp_path):
    for name, other in (("wide", concepts(width=64)), ("more", concepts(count=10))):
        other.save(tmp_path / name)
    with pytest.raises(InputError, match="holds concepts of width 64, and this CLIP embeds in 32: build it again"):
        make(CODERModel, CODERConfig, {"concepts": str(tmp_path / "wide")}, clip_config)
    model, _ = make(CODERModel, CODERConfig, CODER, clip_config)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="holds other concepts than the model was trained with: leave it out"):
        CODERModel.from_pretrained(tmp_path / "model", concepts=str(tmp_path / "more"))
    replace(concepts(), links=concepts().links * 0.5).save(tmp_path / "ties")
    with pytest.raises(InputError, match="holds other concepts than the model was trained with: leave it out"):
        CODERModel.from_pretrained(tmp_path / "model", concepts=str(tmp_path / "ties"))
    again = CODERModel.from_pretrained(tmp_path / "model", concepts=str(CONCEPTS))
    assert torch.equal(again.coupled.graph.vectors, model.coupled.graph.vectors)


def test_a_plain_clip_starts_with_the_concepts_of_a_file(clip_config, tmp_path):
    model = CODERModel.from_pretrained(plain_clip(clip_config, tmp_path), **CODER)
    assert torch.equal(model.coupled.graph.vectors, concepts().vectors)
    assert model.coupled.graph.propagation.diagonal().all()
    assert not model.coupled.branch.layers[0].weight.any()
    assert model.coupled.branch.log_sharpness.exp().item() == pytest.approx(4)


def test_a_stored_branch_may_be_left_out_and_words_alone_are_no_concepts(clip_config, tmp_path):
    make(CODERModel, CODERConfig, CODER, clip_config)[0].save_pretrained(tmp_path)
    without = CODERModel.from_pretrained(tmp_path, concept_branch=False)
    assert without.coupled is None
    assert without.config.concept_words is None
    assert not without.needs_validation
    model, _ = make(CODERModel, CODERConfig, {"concept_words": ["a", "b"]}, clip_config)
    with pytest.raises(InputError, match="concept_words alone are no concepts: give --concepts"):
        model.begin_run()


def test_a_run_goes_on_with_the_concepts_that_it_began_with(clip_config, processor, pairs, tmp_path):
    one, other = concepts(), replace(concepts(), links=concepts().links * 0.5)  # the same words
    for name, each in (("one", one), ("copy", one), ("other", other)):
        each.save(tmp_path / name)

    def trainer(name, **fields):
        model, _ = make(CODERModel, CODERConfig, {**CODER, "concepts": str(tmp_path / name), **fields}, clip_config)
        settings = {"per_device_train_batch_size": 16, "disable_tqdm": True, "max_steps": 2, "save_steps": 1}
        return NoisyITMTrainer(model, NoisyITMArguments(output_dir=str(tmp_path), **settings), pairs, pairs, processor)

    trainer("one").train()
    checkpoint = tmp_path / "checkpoint-1"
    sha256 = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("one", "other")]
    assert json.loads((checkpoint / "config.json").read_text())["concepts_sha256"] == sha256[0]
    trainer("copy").train(resume_from_checkpoint=str(checkpoint))
    sentence = f"was trained with concepts_sha256='{sha256[0]}', and now it is '{sha256[1]}': give the same"
    with pytest.raises(InputError, match=sentence) as error:
        trainer("other").train(resume_from_checkpoint=str(checkpoint))
    assert "\n" not in str(error.value)


def around(model):
    """PEFT freezes all that it is put around; the concept branch, which nothing has trained, it is told to leave."""
    return get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["branch"]))


def within(model):
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["q_proj"]), model.clip)
    return model


@pytest.mark.parametrize("put_in", [within, around])
def test_adapters_are_taken_over_by_the_twin_and_resume_exactly(clip_config, processor, pairs, tmp_path, put_in):
    runs = []
    for name, start in (("whole", None), ("resumed", str(tmp_path / "whole" / "checkpoint-2"))):
        model, _ = make(CODERModel, CODERConfig, CODER, clip_config)
        torch.manual_seed(0)
        settings = {"per_device_train_batch_size": 16, "logging_steps": 1, "disable_tqdm": True, "learning_rate": 1e-2}
        arguments = NoisyITMArguments(
            output_dir=str(tmp_path / name), max_steps=3, save_strategy="steps", save_steps=2, **settings
        )
        trainer = NoisyITMTrainer(put_in(model), arguments, pairs, pairs, processor)
        trainer.train(resume_from_checkpoint=start)
        runs.append((losses_of(trainer), state(model)))
    assert runs[0][0] == runs[1][0]
    assert same_state(runs[0][1], runs[1][1])
    twin = {name: value for name, value in model.twin.named_parameters() if ".lora_B" in name}
    assert len(twin) == 2
    assert all(value.any() and not value.requires_grad for value in twin.values())
    assert model.coupled.branch.log_scale.requires_grad


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"queue_size": 0}, "queue_size must be finite and at least 1"),
        ({"clusters": 1}, "clusters must be finite and at least 2"),
        ({"graph_layers": -1}, "graph_layers must be finite and at least 0"),
        ({"twin_momentum": 1.0}, "twin_momentum must be at least 0 and below 1"),
        ({"cluster_momentum": -0.1}, "cluster_momentum must be at least 0"),
        ({"dictionary_weight": -1.0}, "dictionary_weight must be finite and at least 0"),
        (
            {"in_batch": "own", "dictionary_weight": 2.0},
            "With in_batch='own' there is no use for dictionary_weight=2.0",
        ),
        ({"kappa": -1.0}, "kappa must be finite and at least 0"),
        ({"label_weight": math.inf}, "label_weight must be finite"),
        ({"cluster_temperature": 0.0}, "cluster_temperature must be finite and at least 1e-06"),
        ({"label_temperature": math.inf}, "label_temperature must be finite and at least 1e-06"),
        ({"instance_share": 1.1}, "instance_share must be between 0 and 1"),
        ({"dictionaries": False, "in_batch": "own"}, "With dictionaries=False there is no use for in_batch='own'"),
        ({"dictionaries": False, "queue_size": 9}, "With dictionaries=False there is no use for queue_size=9"),
        ({"match_prior": 0.1}, "With weighting='adaptive' there is no use for match_prior=0.1"),
        ({"weighting": "uniform", "spread": "anchor"}, "With weighting='uniform' there is no use for spread='anchor'"),
        ({"weighting": "fne", "kappa": 2.0}, "With weighting='fne' there is no use for kappa=2.0"),
        ({"weighting": "fne", "moments": "per_epoch", "moments_kept": 0.5}, "no use for moments_kept=0.5"),
        ({"concept_branch": False, "graph_layers": 1}, "With concept_branch=False there is no use for graph_layers=1"),
        ({"pseudo_labels": False, "clusters": 9}, "With pseudo_labels=False there is no use for clusters=9"),
        ({"negatives": "fne"}, "leave negatives out"),
        ({"concept_words": ["alone"]}, "1 concept makes no graph"),
        ({"concept_words": ["a", "a"]}, "its words are not all different"),
    ],
)
def test_wrong_numbers_are_refused(fields, sentence):
    with pytest.raises(Exception, match=sentence):
        CODERConfig(**fields)


@pytest.mark.parametrize("weighting", ["uniform", "adaptive", "fne"])
def test_from_the_embeddings_on_nothing_waits_for_the_device(trained, monkeypatch, weighting):
    model, batch = trained(weighting=weighting)
    images, texts = (normalize(torch.randn(12, 32)) for _ in range(2))
    monkeypatch.setattr(model, "embed", lambda _: (images, texts))
    monkeypatch.setattr(model.twin, "embed", lambda _, chunk: (images, texts))

    def refuse(*_):
        raise AssertionError("read from the device")

    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    output = model(**batch)
    model.remember(**output.to_remember)
    model.step()


def test_half_precision_is_for_the_towers_alone(trained):
    model, batch = trained()
    exact = model(**batch)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**batch)
    assert output.loss_per_pair.dtype == torch.float32
    assert all(rows.dtype in (torch.float32, torch.long) for rows in output.to_remember.values())
    torch.testing.assert_close(output.loss, exact.loss, atol=0.05, rtol=0.05)
