"""The concepts of training captions, in a file: `recipes/build_concepts.py MODEL --dataset … --output FILE`.

    python recipes/build_concepts.py scenes-clip --dataset scenes --output concepts.safetensors
    python recipes/build_concepts.py scenes-clip --dataset scenes --edges conceptnet.csv.gz --output FILE
    python recipes/train.py recipes/coder/scenes_noise40.yaml --concepts concepts.safetensors

Frequent words of the captions, how strongly they belong together (by the captions that have both, and by a commonsense
graph where one is given), and their embeddings by MODEL, which is to be the one that training starts from. Give the
data by the same words as in training: the file is refused for other captions. The same captions with other pictures,
as --noise_kind shuffle leaves them, are the same captions.
"""

import sys

from hf_noisy_itm.concepts import make_concepts, parse_concepts, told
from hf_noisy_itm.failures import clean_exit

if __name__ == "__main__":
    with clean_exit():
        args, data = parse_concepts(sys.argv[1:])
        print(told(make_concepts(args, data)[0], args.output))
