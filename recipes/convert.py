"""A checkpoint in another format: `recipes/convert.py SOURCE --output DIR [--to clip|openai|sentence_transformers]`.

    python recipes/convert.py npc_checkpoint.pt --output runs/npc_released
    python recipes/convert.py runs/npc --to openai --output runs/npc_openai
    python recipes/convert.py runs/npc --to sentence_transformers --output runs/npc_sentences

A file is one in OpenAI's format: its state dict, alone or within a checkpoint of a training. No program in it is run;
a model that was saved whole, or as TorchScript, is refused.
"""

import sys

from hf_noisy_itm.export import convert, parse_convert
from hf_noisy_itm.failures import clean_exit

if __name__ == "__main__":
    with clean_exit():
        source, args = parse_convert(sys.argv[1:])
        print(f"{convert(source, args)} holds {source} as {args.to}.")
