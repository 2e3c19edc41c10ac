"""What a checkpoint holds beside model and optimizer: what method and scorer know, memory bank, ledgers."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .errors import InputError
from .files import atomic_path, write_json
from .memory.bank import MemoryBank
from .memory.negatives import PairNegatives
from .memory.trust import TrustScores
from .memory.weights import PairWeights

BANK_FILE = "memory_bank.safetensors"
WEIGHTS_FILE = "pair_weights.safetensors"
NEGATIVES_FILE = "pair_negatives.safetensors"
METHOD_FILE = "method_memory.safetensors"
TRUST_FILE = "pair_scores.safetensors"
LIST_FILE = "memory.json"  # names those of the others that belong to the checkpoint


def save_memory(
    folder: str | Path,
    bank: MemoryBank | None,
    weights: PairWeights | None,
    negatives: PairNegatives | None = None,
    memory: dict[str, Tensor] | None = None,
    trust: TrustScores | None = None,
) -> None:
    """Writes what there is, and a list of it; files of an earlier run go.

    Args:
        folder: of the checkpoint; made if need be.
        bank: None where the method has none.
        weights: None, or one that has seen no pair, is not written.
        negatives: likewise.
        memory: of a method, see `NoisyITMModel.memory`; None or nothing is not written.
        trust: None where no scorer is asked.
    """
    folder = Path(folder)
    for name in (LIST_FILE, BANK_FILE, WEIGHTS_FILE, NEGATIVES_FILE, METHOD_FILE, TRUST_FILE):
        (folder / name).unlink(missing_ok=True)
    files = []
    if bank is not None:
        bank.save(folder / BANK_FILE)
        files.append(BANK_FILE)
    if weights is not None and weights.count.any():
        with atomic_path(folder / WEIGHTS_FILE) as temporary:
            save_file(weights.state_dict(), temporary)
        files.append(WEIGHTS_FILE)
    if negatives is not None and negatives.choices:
        with atomic_path(folder / NEGATIVES_FILE) as temporary:
            save_file(negatives.state_dict(), temporary)
        files.append(NEGATIVES_FILE)
    if memory:
        with atomic_path(folder / METHOD_FILE) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in memory.items()}, temporary)
        files.append(METHOD_FILE)
    if trust is not None:
        trust.save(folder / TRUST_FILE)
        files.append(TRUST_FILE)
    write_json(folder / LIST_FILE, {"files": files})


def load_memory(
    folder: str | Path,
    weights: PairWeights | None,
    fingerprint: str | None,
    negatives: PairNegatives | None = None,
    resume: Callable[[dict[str, Tensor]], None] | None = None,
) -> MemoryBank | None:
    """Reads what is remembered into what is given for it, and returns the bank, or None where there is none.

    Args:
        folder: of the checkpoint.
        weights: of as many pairs as there are; None if none are kept.
        fingerprint: of the pairs; None for a stream, which has no bank.
        negatives: as `weights`.
        resume: takes what a method remembered, see `NoisyITMModel.resume_run`.

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
    if WEIGHTS_FILE in files and weights is not None:
        try:
            weights.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"{folder / WEIGHTS_FILE} does not hold weights of {len(weights.count)} pairs."
            ) from error
    if NEGATIVES_FILE in files and negatives is not None:
        try:
            negatives.load_state_dict(load_file(folder / NEGATIVES_FILE))
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(
                f"{folder / NEGATIVES_FILE} does not hold negatives of {negatives.num_pairs} pairs."
            ) from error
    if resume is not None:
        try:
            resume(load_file(folder / METHOD_FILE) if METHOD_FILE in files else {})
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{folder / METHOD_FILE} does not hold what this method remembers: {error}") from error
    if BANK_FILE not in files:
        return None
    if fingerprint is None:
        raise InputError(f"The checkpoint {folder} has a memory bank, and a stream has no use for it: start anew.")
    return MemoryBank.load(folder / BANK_FILE, fingerprint, None if weights is None else len(weights.count))


def load_trust(folder: str | Path, fingerprint: str | None, pairs: int | None, is_needed: bool) -> TrustScores | None:
    """The scorer's cosines that belong to a checkpoint.

    Args:
        folder: of the checkpoint, which `load_memory` has found whole.
        fingerprint: of the pairs.
        pairs: how many there are.
        is_needed: whether the method asks for them.

    Raises:
        InputError: there are none and they are needed, or they are of other data.
    """
    folder = Path(folder)
    if TRUST_FILE in _listed(folder):
        return TrustScores.load(folder / TRUST_FILE, fingerprint, pairs)
    if is_needed:
        raise InputError(f"The checkpoint {folder} was trained without a scorer's trust: leave it out, or start anew.")
    return None


def _listed(folder: Path) -> list[str]:
    try:
        return json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The checkpoint {folder} has no {LIST_FILE} that says whether a memory bank belongs to it: "
            f"copy it back, or start anew."
        ) from error
