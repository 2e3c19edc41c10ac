import torch

from hf_noisy_itm.functional.assignment import balanced_assignment
from hf_noisy_itm.functional.similarity import normalize
from hf_noisy_itm.memory.prototypes import Prototypes


def rows(count, seed, width=4):
    return normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)))


def started(count=3, momentum=0.9):
    prototypes = Prototypes(count, 4, momentum, 0.1)
    prototypes.update((rows(count, 0), rows(count, 1)), (rows(count, 10), rows(count, 11)))
    return prototypes


def test_they_start_as_the_first_pairs_and_only_then_are_there():
    prototypes = Prototypes(5, 4, 0.9, 0.1)
    assert not prototypes.are_there
    images, texts, other_images, other_texts = (rows(7, seed) for seed in range(4))
    prototypes.update((images[:3], texts[:3]), (other_images[:3], other_texts[:3]))
    assert prototypes.filled == 3
    assert not prototypes.are_there
    assert not prototypes.centres[3:].any()
    prototypes.update((images[3:], texts[3:]), (other_images[3:], other_texts[3:]))  # four more, two find a place
    assert prototypes.are_there
    torch.testing.assert_close(prototypes.centres, normalize(images + texts)[:5])
    torch.testing.assert_close(prototypes.other_centres, normalize(other_images + other_texts)[:5])


def test_an_update_equals_a_loop_over_clusters():
    prototypes = started()
    before, other_before = prototypes.centres.clone(), prototypes.other_centres.clone()
    embeds, others = (rows(6, 2), rows(6, 3)), (rows(6, 4), rows(6, 5))
    prototypes.update(embeds, others)
    standings = [each @ before.T - (each @ before.T).mean(dim=1, keepdim=True) for each in embeds]
    shares = [balanced_assignment(each / each.square().mean().sqrt(), 0.1) for each in standings]
    for centres, old, modalities in (
        (prototypes.centres, before, embeds),
        (prototypes.other_centres, other_before, others),
    ):
        for cluster in range(3):
            total = torch.zeros(4)
            for share, each in zip(shares, modalities):
                for row in range(6):
                    total += share[row, cluster].float() * each[row]
            wanted = 0.9 * old[cluster] + 0.1 * total / total.norm()
            torch.testing.assert_close(centres[cluster], wanted / wanted.norm(), atol=1e-5, rtol=1e-4)


def test_they_find_three_heaps_without_a_label():
    generator = torch.Generator().manual_seed(5)
    centres = torch.eye(4)[:3]
    prototypes = Prototypes(3, 4, 0.5, 0.05)
    for _ in range(30):
        heap = torch.arange(30) % 3
        images, texts = (normalize(centres[heap] + 0.1 * torch.randn(30, 4, generator=generator)) for _ in range(2))
        prototypes.update((images, texts), (-images, -texts))
    labels = prototypes.assign(images).argmax(dim=1)
    assert len({(one, other) for one, other in zip(heap.tolist(), labels.tolist())}) == 3
    assert torch.equal(labels, prototypes.assign(texts).argmax(dim=1))
    mirrored = images @ prototypes.other_centres.T  # as the other branch sees them
    assert torch.equal(mirrored.argmin(dim=1), labels)


def test_an_assignment_is_as_sharp_where_all_embeddings_are_alike():
    prototypes, embeds, mean = started(), rows(6, 2), rows(1, 3)
    prototypes.centres.copy_(normalize(rows(3, 4)))
    sharp = prototypes.assign(embeds)
    prototypes.centres.copy_(0.01 * prototypes.centres + mean)  # nearly one place
    torch.testing.assert_close(prototypes.assign(embeds), sharp, atol=1e-3, rtol=1e-3)


def test_each_modality_is_balanced_by_itself():
    """Captions lie elsewhere than pictures: together, each would fill clusters of its own."""
    prototypes = started()
    images, texts = rows(6, 2), rows(6, 3)
    for each in (images, normalize(texts + 5)):
        torch.testing.assert_close(prototypes.assign(each).sum(dim=0), torch.full((3,), 2.0))


def test_saved_and_loaded_they_go_on_alike():
    one, other = started(), Prototypes(3, 4, 0.9, 0.1)
    other.load_state_dict(one.state_dict())
    for each in (one, other):
        each.update((rows(6, 7), rows(6, 8)), (rows(6, 9), rows(6, 10)))
    assert torch.equal(one.centres, other.centres)
    assert torch.equal(one.other_centres, other.other_centres)


def test_reset_forgets():
    prototypes = started()
    prototypes.reset()
    assert not prototypes.are_there
    prototypes.update((rows(3, 4), rows(3, 5)), (rows(3, 6), rows(3, 7)))
    torch.testing.assert_close(prototypes.centres, normalize(rows(3, 4) + rows(3, 5)))


def test_nothing_waits_for_the_device(monkeypatch):
    def refuse(*_):
        raise AssertionError("read from the device")

    prototypes, images, texts = started(), rows(6, 2), rows(6, 3)
    for name in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    prototypes.update((images, texts), (texts, images))
    prototypes.assign(images)
