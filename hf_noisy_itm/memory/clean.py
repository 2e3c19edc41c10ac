"""Which training pairs are clean, and a memory bank of them."""

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..functional.contrastive import SameImage, pair_losses
from ..functional.mixture import fit_loss_mixture
from ..functional.similarity import same_image_mask
from .bank import EncodedPairs, MemoryBank
from .neighbors import nearest_by_image, nearest_by_text


def build_bank(
    encoded: EncodedPairs,
    logit_scale: Tensor | float,
    clean_threshold: float = 0.9,
    exclude_self: bool = False,
    group_size: int = 256,
    seed: int = 0,
    same_image: SameImage = "mask",
) -> MemoryBank:
    """Scores all pairs, calls some clean, and finds the nearest clean pair of every picture and caption.

    Raises:
        InputError: no pair is clean by the threshold, or a loss is not finite.
    """
    losses = score_pairs(encoded, logit_scale, group_size, seed, same_image)
    try:
        mixture = fit_loss_mixture(losses.cpu().numpy(), seed)
    except ValueError as error:
        raise InputError(f"The memory bank cannot be built: {error}") from error
    posterior = torch.from_numpy(mixture.clean_posterior).to(losses.device)
    clean = torch.nonzero(posterior > clean_threshold).squeeze(1)
    if not len(clean):
        raise InputError(
            f"None of {len(losses)} pairs is clean with a posterior above {clean_threshold} "
            f"(highest: {posterior.max():.3f}); lower clean_threshold, or start from a model that knows the data."
        )
    return MemoryBank(
        entries={
            "image": nearest_by_image(encoded, clean, losses, exclude_self).cpu(),
            "text": nearest_by_text(encoded, clean, exclude_self).cpu(),
        },
        scores={"loss": losses.float().cpu(), "clean_posterior": posterior.float().cpu()},
        provenance={
            "fingerprint": encoded.fingerprint,
            "clean_threshold": clean_threshold,
            "clean_pairs": len(clean),
            "pairs": len(losses),
            "mixture": {
                "means": mixture.means,
                "variances": mixture.variances,
                "shares": mixture.shares,
                "converged": mixture.converged,
            },
        },
    )


def score_pairs(
    encoded: EncodedPairs,
    logit_scale: Tensor | float,
    group_size: int = 256,
    seed: int = 0,
    same_image: SameImage = "mask",
) -> Tensor:
    """Loss of every pair among `group_size` pairs of one fixed random order, (N,).

    The last group is filled up with pairs of the group before, so that none has fewer negatives.
    """
    total = len(encoded.image_of_pair)
    size = min(group_size, total)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(total)).to(encoded.image_of_pair.device)
    losses = torch.empty(total, device=encoded.text_embeds.device)
    for start in range(0, total, size):
        first = min(start, total - size)
        rows = order[first : start + size]
        image = encoded.image_of_pair[rows]
        same = same_image_mask(image, image, torch.arange(len(rows), device=rows.device))
        group = pair_losses(encoded.image_embeds[image], encoded.text_embeds[rows], logit_scale, same, same_image)
        losses[rows[start - first :]] = group[start - first :]
    return losses
