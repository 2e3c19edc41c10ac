"""Trainings of several methods in the processes that a launcher started, one after another: see test_engines.py.

accelerate launch … -m tests.engine_runs FOLDER CASE …
"""

import os
import sys

import accelerate.state
import transformers

from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.loading import start_model
from hf_noisy_itm.run import load_and_report, train_model

DATA = ["--max_train_pictures", "24", "--max_eval_pictures", "11", "--per_device_train_batch_size", "8"]
STEPS = ["--max_steps", "5", "--logging_steps", "1", "--max_grad_norm", "0.5", "--warmup_steps", "0"]
QUIET = ["--disable_tqdm", "true", "--learning_rate", "1e-4"]
WORDS = [*DATA, *STEPS, *QUIET]
FNE = ["recipes/fne/crowded_noise40.yaml", "--dataset_config", "street", "--queue_size", "64"]
CASES = {
    "control": ["recipes/baseline/scenes_noise40.yaml"],
    "accumulation": ["recipes/baseline/scenes_noise40.yaml", "--gradient_accumulation_steps", "2"],
    "npc": ["recipes/npc/scenes_noise40.yaml"],
    "npc, batch": ["recipes/npc/scenes_noise40.yaml", "--virtual_step", "batch"],
    "osa": ["recipes/osa/scenes_noise40.yaml"],
    "fne": [*FNE, "--min_right_pairs", "2"],
    "dictionaries": ["recipes/coder/scenes_noise40.yaml", "--concept_branch", "false", "--queue_size", "64"],
}


def as_if_on_gpus() -> None:
    """Lets accelerate take processes on CPUs for such as FSDP can be had on; else it leaves FSDP out, in silence."""
    start = accelerate.state.PartialState.__init__

    def started(self, *args, **kwargs):
        start(self, *args, **kwargs)
        if self.distributed_type == "MULTI_CPU":
            self.distributed_type = accelerate.state.DistributedType.MULTI_GPU

    accelerate.state.PartialState.__init__ = started


def main(folder: str, *cases: str) -> None:
    """Trains each case into a folder of its name."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        as_if_on_gpus()
    for case in cases:
        output = ["--output_dir", os.path.join(folder, case), "--save_strategy", "steps", "--save_steps", "5"]
        recipe = parse_recipe([*CASES[case], *WORDS, *output])
        assert recipe.training.world_size == 2
        pairs = load_and_report(recipe)
        transformers.set_seed(recipe.training.seed)
        model, processor = start_model(recipe.run.model, recipe.name, recipe.method, pairs[0])
        train_model(recipe, model, processor, pairs)
        print(f"{case}: {type(model.exchange).__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
