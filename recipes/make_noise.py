"""A noisy data set of any pairs, with its pedigree: `recipes/make_noise.py --dataset … --kind … --output DIR`.

    python recipes/make_noise.py --dataset pairs.parquet --kind shuffle --rate 0.4 --seed 0 --output noisy
    python recipes/make_noise.py --dataset flickr30k --data_dir flickr30k --noise_file f30k_ncr_0.4.npy --output noisy
    python recipes/make_noise.py --dataset 'shards/*.tar' --streaming true --kind truncated --rate 0.2 --output noisy
    python recipes/make_noise.py --dataset wikipedia --data_dir DIR --kind label_symmetric --rate 0.4 --output noisy

All rows of the training split are written, none held out; the other splits are copied clean. `noisy_set/make.py` says
what is in the folder.
"""

import sys

from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.noisy_set import make_noisy_set, parse_noisy_set, told

if __name__ == "__main__":
    with clean_exit():
        args, data = parse_noisy_set(sys.argv[1:])
        content, made = make_noisy_set(args, data)
        print(told(content, args.output, made))
