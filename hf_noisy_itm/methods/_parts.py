"""A batch and the entries of its bank pass a tower in parts, so that each pass costs what its purpose needs.

The virtual gradient is that of the batch, and flows through its own rows alone. Entries that are not trained on have
no graph. And after the virtual step only those parts pass again that entries are made of, each as it passed before:
the same rows by the same code, so that parameters that did not move give the same losses to the last bit. A pair's
weight jumps where its impact is none; rounding would decide there.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ._base import NoisyITMModel
from ._batch import PairBatch
from ._replay import recorded, replayed


class Tower:
    """The rows that pass one tower: the batch's own, then those that only entries need.

    Args:
        embed: from inputs to unit rows (R, D).
        inputs: (R, …) each, or None.
        own: how many of the rows are the batch's.
        used: rows that entries are made of, int64 (E,).
        fixed: layers that a virtual step does not move.
        trained: which of the rows are trained on, bool (R,), the own among them; None for all.
        in_one: all rows pass at once. It costs more, and is for engines that gather parameters at each pass, of which
            every process must make equally many.
    """

    def __init__(
        self,
        embed: Callable[..., Tensor],
        inputs: Sequence[Tensor | None],
        own: int,
        used: Tensor,
        fixed: Sequence[nn.Module],
        trained: Tensor | None = None,
        in_one: bool = False,
    ):
        self._embed, self._inputs, self._own, self._used, self._fixed = embed, inputs, own, used, fixed
        self._trained, self._in_one = trained, in_one
        rows = torch.arange(len(inputs[0]), device=used.device)
        self._parts = [(rows[:own], True)]
        if trained is None:
            self._parts.append((rows[own:], True))
        else:
            further = trained[own:]
            self._parts += [(rows[own:][further], True), (rows[own:][~further], False)]
        self._parts = [(part, graph) for part, graph in self._parts if len(part)]
        self._place = torch.cat([part for part, _ in self._parts]).argsort()
        self._outputs: list[list[Tensor]] = []  # of the last fixed layer, by part

    def embed(self) -> Tensor:
        """Unit rows, (R, D), with a graph where they are trained on; `own_embeds` are the first of them.

        A loss of `own_embeds` has no gradient in the other parts; one of the first rows of all would have zeros there,
        which cost as much as any other.
        """
        if self._in_one:
            whole = self._embed(*self._inputs)
            self.own_embeds = whole[: self._own]
            return whole if self._trained is None else whole.where(self._trained[:, None], whole.detach())
        embeds, self._outputs = [], []
        for part, graph in self._parts:
            with recorded(self._fixed) as outputs, torch.set_grad_enabled(graph and torch.is_grad_enabled()):
                embeds.append(self._pass(part))
            self._outputs.append(outputs)
        self.own_embeds = embeds[0]
        return torch.cat(embeds)[self._place]

    @torch.no_grad()
    def embed_again(self) -> Tensor:
        """Unit rows, (R, D), by the parameters of now but for the fixed layers, of those parts that entries need."""
        needs_own = bool((self._used < self._own).any())
        embeds = []
        for (part, _), outputs in zip(self._parts, self._outputs):
            if part[0] == 0 and not needs_own:
                embeds.append(None)
                continue
            with replayed(self._fixed, outputs):
                embeds.append(self._pass(part))
        like = next(each for each in embeds if each is not None)
        embeds = [like.new_zeros(self._own, like.shape[1]) if each is None else each for each in embeds]
        return torch.cat(embeds)[self._place]

    def _pass(self, rows: Tensor) -> Tensor:
        return self._embed(*(None if each is None else each[rows] for each in self._inputs))


def towers_of(
    model: NoisyITMModel, batch: PairBatch, fixed: Sequence[Sequence[nn.Module]], drawn: Tensor | None = None
) -> tuple[Tower, Tower]:
    """What passes the image and the text tower.

    Args:
        model: whose towers they are.
        batch: with entries.
        fixed: of either tower, the layers that a virtual step does not move.
        drawn: the pairs whose entries are trained on, bool (B,); None for all.
    """
    found = []
    for name, own_id, embed, inputs, layers in (
        ("image", batch.image_id, model.embed_images, [batch.all_pixel_values], fixed[0]),
        ("text", batch.index, model.embed_texts, [batch.all_input_ids, batch.all_attention_mask], fixed[1]),
    ):
        used = {kind: entry[f"{name}_row"] for kind, entry in batch.entries.items()}
        trained = None
        if drawn is not None:
            ids = {kind: entry["image_id" if name == "image" else "index"] for kind, entry in batch.entries.items()}
            trained = torch.arange(len(inputs[0]), device=drawn.device) < len(batch)
            wanted = _wanted(model, own_id, ids, drawn)
            for kind, rows in used.items():
                trained[rows[torch.isin(ids[kind], wanted)]] = True
        in_one = "parameters" not in model.exchange.whole
        found.append(Tower(embed, inputs, len(batch), torch.cat([*used.values()]), layers, trained, in_one))
    return found[0], found[1]


def _wanted(model: NoisyITMModel, own_id: Tensor, ids: dict[str, Tensor], drawn: Tensor) -> Tensor:
    """Ids of what is trained on by any process: of all batches, and of the entries that are drawn.

    One process embeds each of these once; several embed some twice, and all copies must learn what the one would.
    """
    chosen = [torch.where(drawn, each, own_id) for each in ids.values()]
    return model.exchange.gather(torch.stack([own_id, *chosen], dim=1)).unique()
