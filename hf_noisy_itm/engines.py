"""DeepSpeed's ZeRO and FSDP2, which share a model out among processes: where its parameters lie, and what follows.

Both refuse parameters without dimensions, and CLIP's temperature is one: while they train it is a vector of one
element (`flatten_scalars`), and what is saved holds CLIP's again (`unflatten_scalars`). Both keep parameters, or what
the optimizer writes, elsewhere than in `parameter.data`: their exchanges read and rewrite them there. What a method
does that cannot be done there it says itself (`NoisyITMModel.needs_whole`), and is refused before anything is trained.
"""

from collections.abc import Callable, Collection

from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method  # noqa: TID251
from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: TID251
from torch.nn.functional import pad

from .errors import InputError
from .exchange import Exchange, ProcessExchange, exchange_among


class ZeroExchange(ProcessExchange):
    """DeepSpeed: the optimizer writes copies of its own, and with stage 3 each process holds a part of each parameter.

    Args:
        stage: of ZeRO, 1 to 3.
    """

    def __init__(self, stage: int):
        super().__init__()
        self.engine = f"DeepSpeed ZeRO-{stage}"
        self.whole = frozenset({"parameters"} if stage < 3 else {})

    def adopt(self, model: nn.Module) -> None:  # noqa: D102
        from deepspeed.runtime.zero import register_external_parameter

        if "parameters" in self.whole:
            return
        # A module gathers what it holds when it is called. What others read of it is told here:
        for name, parameter in model.named_parameters():
            if name.count(".") == 1 or not name.startswith("clip."):  # the temperature, and what methods hold
                register_external_parameter(model, parameter)
        for module in model.modules():
            if isinstance(part := getattr(module, "position_embedding", None), nn.Embedding):  # its length is read
                register_external_parameter(module, part.weight)

    def part(self, parameter: Tensor) -> Tensor:  # noqa: D102
        return getattr(parameter, "ds_tensor", parameter).detach()

    def read(self, parameter: Tensor) -> Tensor:  # noqa: D102
        from deepspeed.runtime.zero import GatheredParameters
        from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

        if getattr(parameter, "ds_status", None) in (None, ZeroParamStatus.AVAILABLE):
            return parameter
        with GatheredParameters([parameter]):
            return parameter.detach().clone()

    def rewrite(self, parameter: nn.Parameter, rule: Callable[[Tensor], Tensor]) -> None:  # noqa: D102
        from deepspeed.runtime.zero import GatheredParameters
        from deepspeed.utils import safe_get_full_fp32_param

        held = safe_get_full_fp32_param(parameter)  # by the optimizer; None of what is not trained
        value = rule(self.read(parameter).detach() if held is None else held)
        if held is not None:
            self._tell_optimizer(parameter, value)
        with GatheredParameters([parameter], modifier_rank=0):  # the copy that forward reads
            parameter.data.copy_(value)

    def _tell_optimizer(self, parameter: nn.Parameter, value: Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        if "parameters" in self.whole:
            safe_set_full_fp32_param(parameter, value)
            return
        size = parameter.ds_tensor.numel()  # safe_set_full_fp32_param fails where the parts are not equal
        parts = pad(value.flatten(), (0, size * self.num_processes - value.numel())).split(size)
        safe_set_local_fp32_param(parameter, parts[self.rank])


class ShardedExchange(ProcessExchange):
    """FSDP2: parameters are `DTensor`, of which each process holds some rows."""

    engine = "FSDP"
    whole = frozenset()

    def adopt(self, model: nn.Module) -> None:  # noqa: D102
        register_fsdp_forward_method(model, "embed_modality")

    def part(self, parameter: Tensor) -> Tensor:  # noqa: D102
        return (parameter.to_local() if isinstance(parameter, DTensor) else parameter).detach()

    def read(self, parameter: Tensor) -> Tensor:  # noqa: D102
        return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter

    def rewrite(self, parameter: nn.Parameter, rule: Callable[[Tensor], Tensor]) -> None:  # noqa: D102
        value = rule(parameter.full_tensor())
        parameter.copy_(distribute_tensor(value, parameter.device_mesh, parameter.placements))


def exchange_of(accelerator: Accelerator) -> Exchange:
    """The processes of a run, and where its engine keeps the parameters.

    Raises:
        InputError: another engine than was asked for is at work, or it would save nothing that can be loaded.
    """
    engine = accelerator.distributed_type.value
    if engine == "DEEPSPEED":
        plugin = accelerator.state.deepspeed_plugin
        if plugin.zero_stage == 3 and not plugin.zero3_save_16bit_model:
            raise InputError("DeepSpeed ZeRO-3 would save no model: say zero3_save_16bit_model: true in its config.")
        return ZeroExchange(plugin.zero_stage)
    if engine == "FSDP":
        plugin = accelerator.state.fsdp_plugin
        if plugin.fsdp_version < 2:
            raise InputError("FSDP's first version is not supported: say fsdp_version: 2 in its config.")
        if "FULL" not in str(plugin.state_dict_type):
            raise InputError("FSDP would save no model: say fsdp_state_dict_type: FULL_STATE_DICT in its config.")
        return ShardedExchange()
    if parse_flag_from_env("ACCELERATE_USE_FSDP"):
        raise InputError(
            f"FSDP was asked for, and accelerate started {engine}, as it does in silence where there are no GPUs: "
            f"launch with another of accelerate_configs/."
        )
    return exchange_among(accelerator.num_processes)


def refuse(model: nn.Module, exchange: Exchange) -> None:
    """Refuses a method that needs something whole which an engine keeps in parts.

    Raises:
        InputError: it does; engine, method and what to do instead are named.
    """
    for what, way_out in model.needs_whole.items():
        if what not in exchange.whole:
            raise InputError(
                f"{type(model).__name__} needs its {what} whole on each process, and {exchange.engine} does not keep "
                f"them so: {way_out}."
            )


def flatten_scalars(model: nn.Module) -> list[str]:
    """Makes vectors of one element of all parameters without dimensions; their names."""
    names = [name for name, parameter in model.named_parameters() if parameter.ndim == 0]
    for name in names:
        owner, _, own = name.rpartition(".")
        parameter = model.get_parameter(name)
        flat = nn.Parameter(parameter.detach().reshape(1), requires_grad=parameter.requires_grad)
        setattr(model.get_submodule(owner), own, flat)
    return names


def unflatten_scalars(state: dict[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """A state dict with these parameters without dimensions again."""
    return {name: tensor.reshape(()) if name in names else tensor for name, tensor in state.items()}
