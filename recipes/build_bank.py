"""The memory bank of training pairs, in a file: `recipes/build_bank.py MODEL --dataset … --output FILE`.

    python recipes/build_bank.py scenes-clip --dataset scenes --noise_rate 0.4 --output bank.safetensors
    python recipes/build_bank.py --bank_npy 0.4_mbank_img_idx.npy 0.4_mbank_txt_idx.npy --dataset mscoco … --output …
    python recipes/train.py recipes/npc/scenes_noise40.yaml --bank bank.safetensors

Give the data by the same words as in the training that is to use the bank: it is refused for other pairs, and for the
same pairs with other noise. Prints how many pairs are clean, by which mixture, and what speaks against it; where wrong
pairs are known, how well they were found.
"""

import sys

from hf_noisy_itm.banking import make_bank, parse_bank, told
from hf_noisy_itm.failures import clean_exit

if __name__ == "__main__":
    with clean_exit():
        args, data = parse_bank(sys.argv[1:])
        print(told(*make_bank(args, data), args.output))
