"""Trainings of several methods in the processes that a launcher started, one after another: see test_engines.py.

accelerate launch … -m tests.engine_runs FOLDER CASE …
"""

import os
import sys

import accelerate.state
import transformers
from safetensors.torch import save_file
from transformers import training_args

from hf_noisy_itm import training_arguments
from hf_noisy_itm.arguments import parse_recipe
from hf_noisy_itm.loading import start_model
from hf_noisy_itm.run import load_and_report, train_model
from hf_noisy_itm.trainer import NoisyITMTrainer

PICTURES = ["--max_train_pictures", "24", "--max_eval_pictures", "11"]
STEPS = ["--max_steps", "5", "--logging_steps", "1", "--max_grad_norm", "0.5", "--warmup_steps", "0"]
SAVED = ["--eval_strategy", "no", "--load_best_model_at_end", "false", "--save_strategy", "steps", "--save_steps", "3"]
WORDS = [*STEPS, *SAVED, "--per_device_train_batch_size", "8", "--learning_rate", "1e-4", "--disable_tqdm", "true"]
FNE = ["recipes/fne/crowded_noise40.yaml", "--dataset_config", "street", "--queue_size", "64"]
CASES = {
    "control": ["recipes/baseline/scenes_noise40.yaml"],
    "accumulation": ["recipes/baseline/scenes_noise40.yaml", "--gradient_accumulation_steps", "2"],
    "npc": ["recipes/npc/scenes_noise40.yaml"],
    "osa": ["recipes/osa/scenes_noise40.yaml"],
    "fne": [*FNE, "--min_right_pairs", "2"],
    "dictionaries": ["recipes/coder/scenes_noise40.yaml", "--concept_branch", "false", "--queue_size", "64"],
    "concepts": ["recipes/coder/scenes_noise40.yaml", "--dictionaries", "false", "--clusters", "6"],
    "adapters": ["recipes/npc/scenes_noise40.yaml", "--lora_r", "4"],
    "mrl": ["recipes/mrl/wikipedia_noise60.yaml", "--head_width", "8", "--embed_width", "4"],
}


def as_if_on_gpus() -> None:
    """Lets accelerate take processes on CPUs for such as FSDP can be had on; else it leaves FSDP out, in silence."""
    start = accelerate.state.PartialState.__init__

    def started(self, *args, **kwargs):
        start(self, *args, **kwargs)
        if self.distributed_type == "MULTI_CPU":
            self.distributed_type = accelerate.state.DistributedType.MULTI_GPU

    accelerate.state.PartialState.__init__ = started


def as_if_in_bfloat16() -> None:
    """Lets transformers hand bfloat16 on to DeepSpeed on CPUs too, which it does for GPUs alone."""
    for module in (training_args, training_arguments):
        module.is_torch_bf16_gpu_available = lambda: True


def keep_memory() -> None:
    """Lets every process leave what it remembers of the pairs, `memory-RANK.safetensors`."""
    train = NoisyITMTrainer.train

    def trained(self, *args, **kwargs):
        done = train(self, *args, **kwargs)
        memory, rows = self.memory, {}
        if memory.bank is not None:
            rows |= {f"entries.{name}": values for name, values in memory.bank.entries.items()}
            rows |= {f"scores.{name}": values for name, values in memory.bank.scores.items()}
        if memory.trust is not None:
            rows["trust"] = memory.trust.cosine
        rows["weights"] = memory.weights.last
        rows |= {f"model.{name}": values for name, values in self.model.memory().items()}
        rows = {name: values.detach().contiguous().clone() for name, values in rows.items()}
        save_file(rows, os.path.join(self.args.output_dir, f"memory-{self.args.process_index}.safetensors"))
        return done

    NoisyITMTrainer.train = trained


def main(folder: str, *cases: str) -> None:
    """Trains each case into a folder of its name; `CASE+resumed` goes on from its last checkpoint."""
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        as_if_on_gpus()
    if os.environ.get("ACCELERATE_MIXED_PRECISION") == "bf16":
        as_if_in_bfloat16()
    keep_memory()
    for case in cases:
        case, _, resumed = case.partition("+")
        words = [*CASES[case], *WORDS, "--output_dir", os.path.join(folder, case)]
        words += ["--data", os.path.join(folder, "wikipedia")] if case == "mrl" else PICTURES
        if case == "concepts":
            words += ["--concepts", os.path.join(folder, "concepts.safetensors")]
        if resumed:
            words += ["--resume_from_checkpoint", "true"]
        recipe = parse_recipe(words)
        assert recipe.training.world_size == 2
        pairs = load_and_report(recipe)
        transformers.set_seed(recipe.training.seed)
        model, processor = start_model(recipe.run.model, recipe.name, recipe.method, pairs[0])
        train_model(recipe, model, processor, pairs)
        print(f"{case}: {type(model.exchange).__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
