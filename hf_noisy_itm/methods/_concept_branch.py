"""CODER's second branch: what of a picture, or a caption, the concepts of a graph can say.

Only the abstract of the paper is known to us; the formulae are this project's.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ..exchange import Exchange
from ..functional.graph import propagate
from ..functional.similarity import inner_products, normalize
from ..memory.concepts import ConceptGraph

_SLOPE = 0.2  # CVSE, whose graph network has it
_GAIN = 10.0  # steps of this branch are so much longer than those of the towers, by one learning rate (ours)
_FIRST_SHARPNESS = 4.0  # of the query (ours; CVSE has 10)
_FIRST_SCALE = 7.0  # inverse temperature of the contrast (ours)
_LARGEST_SCALE = 100.0  # CLIP, Radford et al. 2021, Sec. 2.5


class _Change(nn.Linear):
    """What is added to what was there, nothing at the start: a branch begins as CLIP's own embeddings have it."""

    def forward(self, rows: Tensor) -> Tensor:
        return _GAIN * super().forward(rows)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ConceptBranch(nn.Module):
    """A small graph network over the concepts, and a query by each modality.

    Args:
        width: D, of CLIP's embeddings and of the descriptors.
        layers: of the graph network; 0 leaves the concepts as CLIP embeds them.
    """

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(_Change(width, width, bias=False) for _ in range(layers))
        self.queries = nn.ModuleDict({name: _Change(width, width) for name in ("image", "text")})
        self.log_sharpness = nn.Parameter(torch.empty(()))
        self.log_scale = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Starts its own numbers."""
        nn.init.constant_(self.log_sharpness, math.log(_FIRST_SHARPNESS))
        nn.init.constant_(self.log_scale, math.log(_FIRST_SCALE))

    def basis(self, graph: ConceptGraph) -> Tensor:
        """The concepts, each with what its neighbours add to it: unit rows about their mean, (K, D)."""
        nodes = graph.vectors
        for layer in self.layers:
            nodes = nodes + leaky_relu(layer(propagate(graph.propagation, nodes)), _SLOPE).float()
        return normalize(nodes - nodes.mean(dim=0))  # the mean tells none apart, and would be most of a descriptor

    def shares(self, embeds: Tensor, modality: str, basis: Tensor) -> Tensor:
        """How much of each concept there is in unit rows of a modality, (B, D) -> (B, K); rows add up to 1."""
        query = embeds + self.queries[modality](embeds).float()
        return (inner_products(normalize(query), basis) * self.log_sharpness.exp()).softmax(dim=1)

    def forward(self, embeds: Tensor, modality: str, basis: Tensor) -> Tensor:
        """Descriptors: what these shares of the concepts add up to, unit rows, (B, D) -> (B, D)."""
        return normalize(inner_products(self.shares(embeds, modality, basis), basis.T))

    @property
    def logit_scale(self) -> Tensor:
        """Inverse temperature of the contrast between descriptors."""
        return self.log_scale.float().exp()

    @torch.no_grad()
    def clamp(self, exchange: Exchange) -> None:
        """Bounds both numbers, after an optimizer step."""
        for number in (self.log_scale, self.log_sharpness):
            exchange.rewrite(number, lambda value: value.clamp(max=math.log(_LARGEST_SCALE)))
