"""To the Hub, with its card: `recipes/publish.py FOLDER --repo_id user/name [--private true] [--field value …]`.

    python recipes/publish.py runs/npc --repo_id user/npc-clip --control runs/control
    python recipes/publish.py noisy --repo_id user/noisy-pairs
    python recipes/publish.py hf_noisy_itm/metrics/itm_recall --repo_id user/itm_recall

A folder is the run of a training, a noisy data set of make_noise.py, or the metric. Who you are is known from
`hf auth login` or HF_TOKEN. The folder is left as it is, and where the Hub refuses, the same command tries again.
"""

import sys

from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.hub import parse_publish, publish

if __name__ == "__main__":
    with clean_exit():
        folder, args = parse_publish(sys.argv[1:])
        print(f"{folder} is published as {publish(folder, args)}.")
