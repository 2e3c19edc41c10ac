"""Recall of any CLIP checkpoint, ours or not: `recipes/evaluate.py MODEL --dataset … [--field value …]`.

    python recipes/evaluate.py runs/demo/npc --dataset scenes --bootstrap 1000 --per_query ranks.parquet
    python recipes/evaluate.py openai/clip-vit-base-patch32 --dataset mscoco --data_dir coco --folds 5

Prints a table, and writes `evaluation.json` beside a local model or where `--output` says.
"""

import sys

from hf_noisy_itm.evaluation import as_table, evaluate_model, parse_evaluation
from hf_noisy_itm.run import clean_exit

if __name__ == "__main__":
    with clean_exit():
        print(as_table(evaluate_model(*parse_evaluation(sys.argv[1:]))))
