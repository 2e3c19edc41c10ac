"""Recall of any CLIP checkpoint, ours or not: `recipes/evaluate.py MODEL --dataset … [--field value …]`.

    python recipes/evaluate.py runs/demo/npc --dataset scenes --bootstrap 1000 --per_query ranks.parquet
    python recipes/evaluate.py openai/clip-vit-base-patch32 --dataset mscoco --data_dir coco --folds 5

Prints a table, and writes JSON into a local model's folder, or where `--output` says. The file is called
`evaluation-DATASET-HASH.json`, where the hash stands for the data and figures that were asked for: the same question
again overwrites its answer, another one does not.
Right answers beyond the given ones come from `--positives FILE.json` (of `scenes` they are known).
"""

import sys

from hf_noisy_itm.evaluation import evaluate_model, parse_evaluation
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.report import recall_table

if __name__ == "__main__":
    with clean_exit():
        print(recall_table(evaluate_model(*parse_evaluation(sys.argv[1:]))))
