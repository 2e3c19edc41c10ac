import pytest
import torch

from hf_noisy_itm import InputError
from hf_noisy_itm.memory.bank import EncodedPairs
from hf_noisy_itm.memory.trust import TrustScores, score_trust

LEVELS = {"wrong": 0.1, "confident": 0.6, "noise": 0.0}


def encoded_pairs(pictures=40, captions=5, width=12, noise=0.4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    images = torch.nn.functional.normalize(torch.randn(pictures, width, generator=rng), dim=1)
    owner = torch.arange(pictures).repeat_interleave(captions)
    source = owner.clone()
    moved = torch.randperm(len(owner), generator=rng)[: int(noise * len(owner))]
    source[moved] = owner[moved.roll(7)]
    texts = images[source] + 0.2 * torch.randn(len(owner), width, generator=rng)
    return EncodedPairs(images, torch.nn.functional.normalize(texts, dim=1), owner, "of these"), source == owner


def test_scores_are_cosines_and_levels_their_means():
    encoded, is_right = encoded_pairs()
    scores = score_trust(encoded, 20.0, torch.tensor([0.1, 0.3]))
    cosines = [float(encoded.image_embeds[p] @ encoded.text_embeds[i]) for i, p in enumerate(encoded.image_of_pair)]
    torch.testing.assert_close(scores.cosine, torch.tensor(cosines))
    assert scores.levels["noise"] == pytest.approx(0.2)
    others = encoded.text_embeds @ encoded.image_embeds.T
    elsewhere = others[torch.arange(200)[:, None] // 5 != torch.arange(40)]
    assert scores.levels["wrong"] == pytest.approx(elsewhere.mean().item(), abs=0.06)
    assert scores.levels["confident"] == pytest.approx(scores.cosine[is_right].mean().item(), abs=0.1)
    assert scores.provenance == {"fingerprint": "of these", "pairs": 200}


def test_a_batch_is_told_of_its_pairs():
    scores = TrustScores(torch.tensor([0.1, 0.2, 0.3]), LEVELS, 14.0)
    known = scores.of(torch.tensor([2, 0]))
    assert known["scorer_cosine"].tolist() == pytest.approx([0.3, 0.1])
    assert known["scorer_wrong"].tolist() == pytest.approx([0.1, 0.1])
    assert known["scorer_logit_scale"].tolist() == [14.0, 14.0]
    assert {value.shape for value in known.values()} == {(2,)}


def test_a_file_gives_back_what_was_saved_and_refuses_other_data(tmp_path):
    scores = TrustScores(torch.rand(5), LEVELS, 14.0, {"fingerprint": "a", "noise": {"kind": "shuffle"}})
    scores.save(tmp_path / "scores.safetensors")
    loaded = TrustScores.load(tmp_path / "scores.safetensors", "a")
    assert torch.equal(loaded.cosine, scores.cosine)
    assert (loaded.levels, loaded.logit_scale, loaded.provenance) == (scores.levels, 14.0, scores.provenance)
    with pytest.raises(InputError, match="other data .*kind shuffle; this data has b"):
        TrustScores.load(tmp_path / "scores.safetensors", "b")
    TrustScores(torch.rand(5), LEVELS, 14.0, {"fingerprint": "a", "noise": "x"}).save(tmp_path / "odd")
    with pytest.raises(InputError, match=r"other data \(fingerprint a; this data has b\)"):
        TrustScores.load(tmp_path / "odd", "b")
    (tmp_path / "other").write_bytes(b"no")
    with pytest.raises(InputError, match="holds no scores of pairs"):
        TrustScores.load(tmp_path / "other", "a")


@pytest.mark.parametrize(
    ("cosine", "levels", "sentence"),
    [
        (torch.tensor([0.1, float("nan")]), LEVELS, "no vector of finite"),
        (torch.zeros(2, 2), LEVELS, "no vector"),
        (torch.zeros(2), {"wrong": 0.0}, "the levels are"),
        (torch.tensor([0.0, 3.0]), LEVELS, "largest cosine is 3.0, which is no cosine"),
        (torch.zeros(2), {**LEVELS, "noise": float("nan")}, "the noise is nan, which is no cosine"),
        (
            torch.zeros(2),
            {"wrong": False, "confident": True, "noise": False},
            "the wrong is False, which is no cosine",
        ),
        (torch.zeros(2), {**LEVELS, "wrong": LEVELS["confident"]}, "not above that of wrong ones"),
    ],
)
def test_what_makes_no_sense_is_refused(cosine, levels, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrustScores(cosine, levels, 1.0)


def test_captions_of_one_picture_have_no_wrong_partners():
    encoded, _ = encoded_pairs(pictures=1)
    with pytest.raises(InputError, match="of one picture"):
        score_trust(encoded, 20.0, torch.zeros(2))
