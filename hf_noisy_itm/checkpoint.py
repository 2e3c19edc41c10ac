"""What a checkpoint holds beside model and optimizer: what method and scorer know, memory bank, ledgers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import InputError, last_line
from .files import atomic_path, read_json, write_json
from .memory.bank import MemoryBank
from .memory.pair_memory import PairMemory
from .memory.trust import TrustScores

BANK_FILE = "memory_bank.safetensors"
WEIGHTS_FILE = "pair_weights.safetensors"
NEGATIVES_FILE = "pair_negatives.safetensors"
METHOD_FILE = "method_memory.safetensors"
TRUST_FILE = "pair_scores.safetensors"
LIST_FILE = "memory.json"  # names those of the others that belong to the checkpoint
_FILES = (BANK_FILE, WEIGHTS_FILE, NEGATIVES_FILE, METHOD_FILE, TRUST_FILE)


def save_memory(
    folder: str | Path, pairs: PairMemory, of_method: dict[str, Tensor] | None = None, num_processes: int = 1
) -> None:
    """Writes what there is, and a list of it; files of an earlier run go.

    Args:
        folder: of the checkpoint; made if need be.
        pairs: what is known of the training pairs; ledgers that have seen no pair are not written.
        of_method: see `NoisyITMModel.memory`. None of a folder from which nothing will be resumed; the ledger of
            negatives, whose figures are in metrics.json, stays out of that one, too.
        num_processes: each of which leaves its random state; `resuming` looks whether all did.
    """
    folder = Path(folder)
    for name in (LIST_FILE, *_FILES):
        (folder / name).unlink(missing_ok=True)
    tensors = {
        WEIGHTS_FILE: pairs.weights.state_dict() if pairs.weights is not None and pairs.weights.count.any() else {},
        NEGATIVES_FILE: {} if of_method is None or pairs.negatives is None else pairs.negatives.state_dict(),
        METHOD_FILE: {name: tensor.contiguous() for name, tensor in (of_method or {}).items()},
    }
    files = [name for name, state in tensors.items() if state]
    for name in files:
        with atomic_path(folder / name) as temporary:
            save_file(tensors[name], temporary)
    for name, part in ((BANK_FILE, pairs.bank), (TRUST_FILE, pairs.trust)):
        if part is not None:
            part.save(folder / name)
            files.append(name)
    write_json(folder / LIST_FILE, {"files": files, "num_processes": num_processes})


def load_memory(
    folder: str | Path,
    pairs: PairMemory,
    resume_method: Callable[[dict[str, Tensor]], None],
    needs_trust: bool = False,
) -> None:
    """Reads what is remembered into what is given for it.

    Args:
        folder: of the checkpoint.
        pairs: of the same training pairs; its bank and its scores become those of the checkpoint.
        resume_method: takes what a method remembered, see `NoisyITMModel.resume_run`.
        needs_trust: whether the method asks for a scorer's cosines.

    Raises:
        InputError: a file that belongs to the checkpoint is missing or broken, or is of other data.
    """
    folder = Path(folder)
    files = _listed(folder)
    for name in files:
        if not (folder / name).exists():
            raise InputError(
                f"The checkpoint {folder} was saved with {name}, which is gone: copy it back, or start anew."
            )
    for name, ledger, what in (
        (WEIGHTS_FILE, pairs.weights, "weights"),
        (NEGATIVES_FILE, pairs.negatives, "negatives"),
    ):
        if name in files and ledger is not None:
            try:
                ledger.load_state_dict(load_file(folder / name))
            except (OSError, SafetensorError, RuntimeError, ValueError) as error:
                raise InputError(f"{folder / name} does not hold {what} of {pairs.num_pairs} pairs.") from error
    try:
        resume_method(load_file(folder / METHOD_FILE) if METHOD_FILE in files else {})
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{folder / METHOD_FILE} does not hold what this method remembers: {error}") from error
    if BANK_FILE in files:
        if pairs.fingerprint is None:
            raise InputError(f"The checkpoint {folder} has a memory bank, and a stream has no use for it: start anew.")
        pairs.bank = MemoryBank.load(folder / BANK_FILE, pairs.fingerprint, pairs.num_pairs)
    if needs_trust and TRUST_FILE not in files:
        raise InputError(f"The checkpoint {folder} was trained without a scorer's trust: leave it out, or start anew.")
    trusted = TRUST_FILE in files
    pairs.trust = TrustScores.load(folder / TRUST_FILE, pairs.fingerprint, pairs.num_pairs) if trusted else None


def _listed(folder: Path) -> list[str]:
    try:
        files = read_json(folder / LIST_FILE)["files"]
        if strange := [name for name in files if name not in _FILES]:
            raise ValueError(f"it lists {strange[0]!r}")
        return files
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The checkpoint {folder} has no {LIST_FILE} that says whether a memory bank belongs to it: "
            f"copy it back, or start anew."
        ) from error


@contextmanager
def of_this_training(path: str | Path) -> Iterator[None]:
    """Turns what other content than a training's own runs into, into a sentence.

    Args:
        path: of a checkpoint, or of the file in it that is read in the block.

    Raises:
        InputError: in place of the errors that torch and transformers have for it.
    """
    try:
        yield
    except (InputError, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # torch, NumPy and transformers have no kind in common for it
        folder = Path(path).parent if Path(path).is_file() else Path(path)
        raise InputError(
            f"{path} does not hold what this training saves there ({type(error).__name__}: {last_line(error)}): "
            f"resume from an older checkpoint, or start anew from its weights with --model {folder}."
        ) from error


_LIKE_PARAMETERS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"}


def refuse_other_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Refuses states of an optimizer that are not those of its parameters, on which its next step would fail.

    Args:
        optimizer: with whole parameters. One that is not torch's own is let pass: some factor or quantise.

    Raises:
        ValueError: a state has another shape than its parameter, or counts no steps.
    """
    if not type(optimizer).__module__.startswith("torch.optim"):
        return
    for parameter, state in optimizer.state.items():
        for name in state.keys() & {*_LIKE_PARAMETERS, "step"}:
            shape = tuple(getattr(state[name], "shape", ()))
            own = tuple(parameter.shape) if name in _LIKE_PARAMETERS else ()
            if shape != own:
                raise ValueError(f"{name} has the shape {shape}, and belongs to one of {own}")
