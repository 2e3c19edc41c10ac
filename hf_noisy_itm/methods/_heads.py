"""Heads: small networks from the features of each modality into a space that all share."""

from torch import nn

_TAKEN = nn.ModuleDict()


def mlp_heads(widths: dict[str, int], hidden: int, width: int) -> nn.ModuleDict:
    """By modality three layers with ReLU between them (MRL, CVPR 2021, Sec. 4.1), to `width` numbers.

    Args:
        widths: of the features, by modality.
        hidden: width of the two layers between.
        width: of the common space.
    """
    return nn.ModuleDict(
        {
            name: nn.Sequential(
                nn.Linear(own, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, width)
            )
            for name, own in widths.items()
        }
    )


def is_name(name: str) -> bool:
    """Whether a head can be called so: a word that modules of torch do not use themselves."""
    return name.isidentifier() and not hasattr(_TAKEN, name)
