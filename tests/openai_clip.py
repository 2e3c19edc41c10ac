"""CLIP's forward pass on weights in OpenAI's format, naive; written from the architecture, with functions of torch."""

import torch
from torch.nn import functional as F


def embed_images(weights, pixels):
    """Unit rows of pictures, (B, C, H, W) -> (B, D)."""
    kernel = weights["visual.conv1.weight"]
    patches = F.conv2d(pixels, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    first = weights["visual.class_embedding"].expand(len(pixels), 1, -1)
    rows = torch.cat([first, patches], dim=1) + weights["visual.positional_embedding"]
    rows = _tower(weights, "visual.transformer", _norm(weights, "visual.ln_pre", rows), None)
    return F.normalize(_norm(weights, "visual.ln_post", rows[:, 0]) @ weights["visual.proj"], dim=-1)


def embed_texts(weights, ids):
    """Unit rows of captions, (B, L) -> (B, D); the highest number marks the end."""
    length = ids.shape[1]
    rows = weights["token_embedding.weight"][ids] + weights["positional_embedding"][:length]
    rows = _tower(weights, "transformer", rows, torch.full((length, length), -torch.inf).triu(1))
    rows = _norm(weights, "ln_final", rows)[torch.arange(len(ids)), ids.argmax(dim=1)]
    return F.normalize(rows @ weights["text_projection"], dim=-1)


def losses(weights, pixels, ids):
    """Cross-entropies of finding the caption, and of finding the picture, (B,) each."""
    logits = weights["logit_scale"].exp() * embed_images(weights, pixels) @ embed_texts(weights, ids).T
    own = torch.arange(len(ids))
    return F.cross_entropy(logits, own, reduction="none"), F.cross_entropy(logits.T, own, reduction="none")


def _tower(weights, name, rows, mask):
    layer = 0
    while f"{name}.resblocks.{layer}.ln_1.weight" in weights:
        part = f"{name}.resblocks.{layer}"
        query, key, value = _linear(weights, f"{part}.attn.in_proj_", _norm(weights, f"{part}.ln_1", rows)).chunk(
            3, -1
        )
        heads = []
        for columns in torch.arange(rows.shape[-1]).split(64):
            scores = query[..., columns] @ key[..., columns].transpose(1, 2) / 8
            heads.append((scores if mask is None else scores + mask).softmax(-1) @ value[..., columns])
        rows = rows + _linear(weights, f"{part}.attn.out_proj.", torch.cat(heads, -1))
        inner = _linear(weights, f"{part}.mlp.c_fc.", _norm(weights, f"{part}.ln_2", rows))
        rows = rows + _linear(weights, f"{part}.mlp.c_proj.", inner * torch.sigmoid(1.702 * inner))
        layer += 1
    return rows


def _norm(weights, name, rows):
    return F.layer_norm(rows, rows.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def _linear(weights, name, rows):
    return F.linear(rows, weights[f"{name}weight"], weights[f"{name}bias"])
