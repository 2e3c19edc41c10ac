"""Whether cheaper forms of NPC weigh pairs as its full form does: rank correlations of the weights of finished runs.

    python recipes/benchmarks/npc_weights.py runs/FULL_seed0 runs/OTHER_seed0 ... [--output FILE.json]

The first folder is compared with each of the others, which were trained on the same pairs: Spearman's correlation of
the mean weight of each pair that both have seen, beside the AUC (right against wrong pairs) of each and its rSum.
"""

import argparse
import json
import sys
from pathlib import Path

from safetensors.torch import load_file
from scipy.stats import spearmanr

from hf_noisy_itm.files import write_json
from hf_noisy_itm.memory.weights import PairWeights

RESULT = Path(__file__).parent.parent / "results" / "benchmark_npc_weights.json"


def main(arguments: list[str]) -> None:
    """Reads, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("full", type=Path, help="folder of a run")
    parser.add_argument("others", type=Path, nargs="+", help="folders of runs on the same pairs")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    full = read(args.full)
    figures = {"command": sys.argv, "full": args.full.name, "runs": {args.full.name: told(full)}}
    for folder in args.others:
        other = read(folder)
        if any(other["metrics"][name] != full["metrics"][name] for name in ("pairs", "noise")):
            parser.error(f"{folder} was not trained on the pairs of {args.full}.")
        both = full["mean"].isfinite() & other["mean"].isfinite()
        correlation = spearmanr(full["mean"][both], other["mean"][both]).statistic
        figures["runs"][folder.name] = told(other) | {"rank correlation": float(correlation), "pairs": int(both.sum())}
    write_json(args.output, figures)
    for name, run in figures["runs"].items():
        print(f"{name:40s} " + ", ".join(f"{key} {value:.4g}" for key, value in run.items()))


def read(folder: Path) -> dict:
    """Metrics of a run, and the mean weight of each pair, NaN where it has none."""
    metrics = json.loads((folder / "metrics.json").read_text())
    state = load_file(folder / "pair_weights.safetensors")
    weights = PairWeights(len(state["count"]))
    weights.load_state_dict(state)
    return {"metrics": metrics, "mean": weights.mean()}


def told(run: dict) -> dict[str, float]:
    """What stands in its metrics."""
    return {"rsum": run["metrics"]["metrics"]["rsum"], "auc": run["metrics"]["weights"]["auc"]}


if __name__ == "__main__":
    main(sys.argv[1:])
