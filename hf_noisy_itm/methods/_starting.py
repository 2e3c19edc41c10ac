"""How the parts of a model start, what of them a training remembers, and what is published.

A part knows how to start: memory by `reset()`, which a new training calls too (`begin_run`), and what is trained by
`reset_parameters()`, as torch's layers do. `copies` names parts that start as another one and are not trained, and
`frozen` what is not trained either. All three hold for a model from a config, from a plain CLIP, and from a checkpoint
of its own, where the state is as it was saved.
"""

import re
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from ._weights import read_config, refuse_other_weights

_ALIGNMENT = 64  # bytes, of torch's own CPU tensors


class StartingModel(PreTrainedModel):
    """A model of parts that start, remember and are published as said above.

    A subclass makes its parts in `__init__` and calls `_start_all` at its end. It may set `copies` (module: the module
    that it starts as a copy of, by dotted names; momentum encoders) and `frozen` (names of parameters, or of modules,
    that are not trained), as attributes or as properties. `fresh` are parameters that no checkpoint held and no
    training has moved yet.
    """

    copies: dict[str, str] = {}
    frozen: tuple[str, ...] = ()
    fresh: frozenset[str] = frozenset()

    def _start_all(self) -> None:
        self.post_init()
        self._keys_to_ignore_on_save = set(self.memory())
        self._keys_to_ignore_on_load_missing = {rf"^{re.escape(name)}$" for name in self._keys_to_ignore_on_save}
        self._start(self.state_dict())
        self.fresh = frozenset(name for name, _ in self.named_parameters())

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path=None, *args, output_loading_info: bool = False, **kwargs):
        """See `PreTrainedModel.from_pretrained`; what the folder does not hold starts as the method says.

        Raises:
            InputError: the weights are not those that the config asks for, are damaged, or hold more than tensors.
            OSError: there is no such model.
        """
        name = pretrained_model_name_or_path
        if kwargs.get("variant") in cls.config_class.variants():
            kwargs["_variant"] = kwargs.pop("variant")  # transformers would look for a file of weights so called
        if name is not None:
            kwargs = read_config(cls, name, kwargs)
            refuse_other_weights(cls, name, kwargs)
        model, report = super().from_pretrained(name, *args, output_loading_info=True, **kwargs)
        absent = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"]), *model.memory()}
        model._start(absent)
        model.fresh = frozenset(name for name, _ in model.named_parameters() if name in absent)
        _align(_tensors(model))
        return (model, report) if output_loading_info else model

    def save_pretrained(self, *args, state_dict: dict[str, Tensor] | None = None, **kwargs):
        """See `PreTrainedModel.save_pretrained`; what was learnt is saved, and not what is remembered (`memory`)."""
        return super().save_pretrained(*args, state_dict=self.learnt(state_dict), **kwargs)

    def learnt(self, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """A state dict, the model's own if left out, without what is remembered (`memory`)."""
        remembered = self.memory()  # asked anew: adapters' moments came later
        state = self.state_dict() if state is None else state
        return {name: tensor for name, tensor in state.items() if name not in remembered}

    @classmethod
    def learnt_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that was learnt, by its name, for a config; no memory is taken for them."""
        with torch.device("meta"):
            model = cls(config)
        return {name: tuple(tensor.shape) for name, tensor in model.learnt().items()}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Starts what no checkpoint holds of a module; `from_pretrained` leaves it uninitialised until then."""
        names = [name for name in ("reset", "reset_parameters", "_reset_parameters") if hasattr(module, name)]
        if not names:
            if tensors := [*module._parameters, *module._buffers]:
                raise TypeError(
                    f"{type(module).__name__} holds {tensors[0]} but has no reset(): move it to a module that has one."
                )
            return
        loaded = [tensor for tensor in _tensors(module) if getattr(tensor, "_is_hf_initialized", False)]
        kept = [tensor.clone() for tensor in loaded]
        getattr(module, names[0])()
        for tensor, value in zip(loaded, kept):
            tensor.copy_(value)

    @torch.no_grad()
    def _start(self, absent: Iterable[str]) -> None:
        """Copies what starts as a copy, where no checkpoint held it, and freezes what is not trained."""
        tensors = self.state_dict()
        for copy, original in self.copies.items():
            for name in absent:
                if _is_part(name, copy):
                    tensors[name].copy_(tensors[original + name.removeprefix(copy)])
        parameters = dict(self.named_parameters(remove_duplicate=False))  # a twin may share what is frozen
        for whole in (*self.copies, *self.frozen):
            parts = [name for name in parameters if _is_part(name, whole)]
            if not parts:
                raise TypeError(f"{type(self).__name__} freezes {whole!r}, which has no parameters.")
            for name in parts:
                parameters[name].requires_grad_(False)

    def idle(self) -> list[str]:
        """Parameters beside CLIP that only a training can make useful, and that somebody else froze, by name."""
        own = (*self.copies, *self.frozen, self.base_model_prefix)
        frozen = (name for name, parameter in self.named_parameters() if not parameter.requires_grad)
        return [name for name in frozen if name in self.fresh and not any(_is_part(name, part) for part in own)]

    def end_run(self) -> None:
        """Notes that a training has moved what it does not hold still: nothing is `fresh` any more."""
        self.fresh = frozenset()

    def memory(self) -> dict[str, Tensor]:
        """What this training remembers: the state of modules that have a `reset`, and of `copies`, by name.

        It belongs into checkpoints, where `NoisyITMTrainer` puts it, and not into what is published: it holds nothing
        that was learnt, and rows of the training data.
        """
        parts = {*self.copies, *(name for name, _ in self._memories())}
        return {
            name: tensor for name, tensor in self.state_dict().items() if any(_is_part(name, part) for part in parts)
        }

    def _memories(self) -> Iterator[tuple[str, nn.Module]]:
        for own, part in self.named_children():
            if own != self.base_model_prefix:
                yield from (
                    (name, module) for name, module in part.named_modules(prefix=own) if hasattr(module, "reset")
                )

    @torch.no_grad()
    def begin_run(self, captions: str | None = None) -> None:
        """Forgets what an earlier training remembered, before one that does not resume it; what was learnt stays.

        Args:
            captions: hash of the captions to train on, so that what was made of others can be refused; None of a
                stream, and where there are none.
        """
        for _, module in self._memories():
            module.reset()
        self._start(self.state_dict())

    @torch.no_grad()
    def resume_run(self, memory: dict[str, Tensor]) -> None:
        """Remembers what `memory` gave.

        Raises:
            ValueError: it is of another method, or of other sizes.
        """
        try:
            unknown = self.load_state_dict(memory, strict=False).unexpected_keys
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[-1].strip()) from error
        if wrong := [*unknown, *(self.memory().keys() - memory.keys())]:
            raise ValueError(f"{wrong[0]} is not in both.")


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _align(tensors: Iterable[Tensor]) -> None:
    """Copies what lies in memory as it lay in a file: where that is odd, some processors round otherwise.

    So a training does not depend on how the file of its first weights was written, and no longer needs that file.
    """
    for tensor in tensors:
        if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def _is_part(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")
