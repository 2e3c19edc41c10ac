"""Makes a small CLIP, tokenizer included, from clean pairs: `recipes/pretrain.py [FILE.yaml] [--field value …]`.

The bundled model, in about 25 minutes on two cores:

    python recipes/pretrain.py recipes/pretrain/scenes_clip.yaml
"""

import sys

import transformers

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.errors import InputError
from hf_noisy_itm.failures import clean_exit
from hf_noisy_itm.methods import BaselineConfig, BaselineModel
from hf_noisy_itm.run import load_and_report, train_model
from hf_noisy_itm.small_clip import SmallCLIPArguments, small_clip


def main() -> None:
    """Parses, builds, trains, saves a plain CLIP."""
    start = "none, random weights"
    recipe = parse_recipe(sys.argv[1:], {"model": start}, SmallCLIPArguments)
    if recipe.name != "baseline" or recipe.run.model != start:
        raise InputError("pretrain.py starts from nothing and trusts every pair: leave --method and --model out.")
    loaded = load_and_report(recipe)
    config, processor = small_clip(recipe.extra, loaded[0].captions)
    transformers.set_seed(recipe.training.seed)
    fields = {key: value for key, value in config.to_dict().items() if key not in ("model_type", "architectures")}
    model = BaselineModel(BaselineConfig(**fields))
    train_model(recipe, model, processor, loaded)
    if recipe.training.process_index == 0:
        model.clip.config = config  # published as what it is: a plain CLIP
        model.clip.save_pretrained(recipe.training.output_dir)


if __name__ == "__main__":
    with clean_exit():
        main()
