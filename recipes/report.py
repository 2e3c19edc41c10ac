"""Which captions of your data are wrong: `recipes/report.py MODEL --dataset … [--output DIR]`.

    python recipes/report.py scenes-clip --dataset scenes --noise_rate 0.4
    python recipes/report.py openai/clip-vit-base-patch32 --dataset pairs.parquet --group_by source --cleaned clean
    python recipes/report.py runs/mine --dataset pairs.parquet --run runs/mine --weighted weighted

Prints a summary, and leaves in the folder one HTML page, a row of scores for every pair, plots and figures, see
`noise_report/make.py`. Give the data by the same words as in a training. `--cleaned DIR` and `--weighted DIR` make
data sets that recipes/train.py reads. `recipes/train.py … --report true` leaves a report beside the trained model.
"""

import sys

from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.noise_report import make_report, parse_report, told

if __name__ == "__main__":
    with clean_exit():
        args, data = parse_report(sys.argv[1:])
        print(told(make_report(args, data)))
        print(f"Open {args.output}/report.html; all scores are in {args.output}/scores.parquet.")
