"""What a training step of NPC costs, in steps of the control: a ViT-B/32-shaped CLIP with random weights.

    python recipes/benchmarks/npc_step.py [--batch_size 16] [--repeats 5] [--dtype float32] [--output FILE.json]

In turns in one process, medians over the repeats of forward, backward and optimizer step. Two batches: one whose
entries it does not hold, three times as many pictures and captions ("strangers"), and one as a bank at 40 % noise
makes it on data with five captions a picture ("bank"): clean pairs are their own entries; those of a wrong pair are
another caption of its own picture, and a pair from elsewhere. On a GPU with `--dtype bfloat16` under autocast.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from _measure import machine, take_turns
from transformers import CLIPConfig

from hf_noisy_itm.exchange import Exchange
from hf_noisy_itm.files import write_json
from hf_noisy_itm.methods import BaselineConfig, BaselineModel, NPCConfig, NPCModel

RESULT = Path(__file__).parent.parent / "results" / "benchmark_npc_step.json"
CONTROL = "control"
WAYS = {
    CONTROL: None,
    "batch and entries, no weights": {"weights": "ones"},
    "full: all parameters move": {},
    "sgd instead of AdamW": {"virtual_optimizer": "sgd"},
    "last block moves": {"virtual_blocks": 1},
    "projections move": {"virtual_blocks": 0},
    "each pair alone": {"virtual_step": "pair"},
    "each pair alone, half of the entries trained on": {"virtual_step": "pair", "bank_share": 0.5},
    "full, every 4th visit": {"impact_every": 4},
}


def main(arguments: list[str]) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, after one that does not count")
    parser.add_argument("--caption_length", type=int, default=24, help="tokens of the longest caption of a batch")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of autocast")
    parser.add_argument("--small", action="store_true", help="two narrow blocks instead of ViT-B/32, for a test")
    parser.add_argument("--output", type=Path, default=RESULT, help="JSON file to write")
    args = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    figures = {"machine": machine("torch", "transformers"), "device": device.type, "command": sys.argv}
    if device.type == "cuda":
        figures["machine"]["gpu"] = torch.cuda.get_device_name()
    figures |= {"batch size": args.batch_size, "dtype": args.dtype}
    for kind in ("bank", "strangers"):
        batch = make_batch(kind, args, device)
        seconds = in_turns(batch, args, device)
        figures[kind] = {
            "further pictures": len(batch["bank"]["pixel_values"]),
            "further captions": len(batch["bank"]["input_ids"]),
            "seconds": {name: median(times) for name, times in seconds.items()},
            "times the control": {
                name: median(a / b for a, b in zip(times, seconds[CONTROL])) for name, times in seconds.items()
            },
        }
    write_json(args.output, figures)
    for kind in ("bank", "strangers"):
        print(f"{kind}: {figures[kind]['further pictures']} further pictures for {args.batch_size}")
        for name, times in figures[kind]["times the control"].items():
            print(f"  {name:50s} {figures[kind]['seconds'][name]:8.3f} s  {times:6.2f} times the control")


def make_batch(kind: str, args: argparse.Namespace, device: torch.device) -> dict:
    """Random pictures and captions, laid out as `PairCollator` does."""
    size, rng = args.batch_size, torch.Generator().manual_seed(0)
    config = clip_config(args)
    own = torch.arange(size)
    wrong = own < round(0.4 * size)  # at random among the rows in truth, which costs the same
    if kind == "strangers":
        pictures, captions = {"image": own, "text": own + size}, {"image": own, "text": own + size}
        rows = {
            name: {"image_row": size + pictures[name], "text_row": size + captions[name]} for name in ("image", "text")
        }
        further = 2 * size, 2 * size
    else:
        number = wrong.long().cumsum(0) - 1 + size  # of the pairs from elsewhere
        others = int(wrong.sum())
        # The image entry is the picture itself with its best clean caption: the pair's own for one in three.
        keeps = (own % 3 == 0) & ~wrong
        best = torch.where(keeps, own, size + others - 1 + (~keeps).long().cumsum(0))
        rows = {
            "image": {"image_row": own, "text_row": best},
            "text": {"image_row": torch.where(wrong, number, own), "text_row": torch.where(wrong, number, own)},
        }
        further = others, others + int((~keeps).sum())

    def pictures_of(count: int) -> torch.Tensor:
        side = config.vision_config.image_size
        return torch.randn(count, 3, side, side, generator=rng).to(device)

    def captions_of(count: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(1, 1000, (count, args.caption_length), generator=rng)
        ids[:, -1] = config.text_config.eos_token_id
        return {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}

    entries = {
        name: {**places, "image_id": places["image_row"], "index": places["text_row"]} for name, places in rows.items()
    }
    entries = {name: {key: value.to(device) for key, value in entry.items()} for name, entry in entries.items()}
    return {
        "pixel_values": pictures_of(size),
        **captions_of(size),
        "image_id": own.to(device),
        "index": own.to(device),
        "bank": {"pixel_values": pictures_of(further[0]), **captions_of(further[1]), "entries": entries},
    }


def clip_config(args: argparse.Namespace) -> CLIPConfig:
    """ViT-B/32's shape is `CLIPConfig`'s default."""
    config = CLIPConfig()
    config.text_config.eos_token_id = 999
    if args.small:
        for tower in (config.vision_config, config.text_config):
            tower.num_hidden_layers, tower.hidden_size, tower.intermediate_size = 2, 32, 64
            tower.num_attention_heads = 2
        config.vision_config.image_size, config.projection_dim = 64, 16
    return config


def in_turns(batch: dict, args: argparse.Namespace, device: torch.device) -> dict[str, list[float]]:
    """Seconds of a training step of each way in each round; all share one set of weights and optimizer states."""
    plain = {key: value for key, value in clip_config(args).to_dict().items() if key not in ("model_type",)}
    control = BaselineModel(BaselineConfig(**plain)).to(device).train()
    optimizer = torch.optim.AdamW(control.parameters(), lr=1e-5)
    lean = {key: value for key, value in batch.items() if key != "bank"}
    known = {"last_weight": torch.ones(args.batch_size, device=device)}

    def way(fields: dict | None):
        model = control
        if fields is not None:
            model = NPCModel(NPCConfig(**plain, **fields)).to(device).train()
            model.clip = control.clip  # the same tensors: nine models would not fit
        model.attach(Exchange(), optimizer)

        def step(visit: int) -> None:
            model.attach(Exchange(), optimizer)
            model.begin_epoch(visit)  # of the same pairs: each step is an epoch
            with torch.autocast(device.type, torch.bfloat16) if args.dtype == "bfloat16" else nullcontext():
                loss = model(**(lean if fields is None else batch), scores=known).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            model.step()
            if device.type == "cuda":
                torch.cuda.synchronize()

        every = (fields or {}).get("impact_every", 1)
        return (lambda: [step(visit) for visit in range(every)]), every

    ways = {name: way(fields) for name, fields in WAYS.items()}
    seconds = take_turns({name: steps for name, (steps, _) in ways.items()}, args.repeats)
    return {name: [value / ways[name][1] for value in values] for name, values in seconds.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
