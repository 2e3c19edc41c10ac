"""The card of a run: a template filled from `metrics.json`; nobody types a number."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .files import atomic_path, shipped
from .methods import NoisyITMModel

_SHOWN = (
    "learning_rate",
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "seed",
)


def write_model_card(folder: str | Path, metrics: dict, model_class: type[NoisyITMModel], version: str) -> None:
    """Writes README.md, with model-index, beside a trained model.

    Args:
        folder: of the model.
        metrics: content of its `metrics.json`.
        model_class: the method; its `paper` is cited.
        version: of this package.
    """
    folder = Path(folder)
    data = metrics["data"]
    dataset = data["dataset"] if data.get("dataset_config") is None else f"{data['dataset']}/{data['dataset_config']}"
    card_data = ModelCardData(
        library_name="transformers",
        pipeline_tag="zero-shot-image-classification",
        tags=["clip", "hf_noisy_itm", "image-text-retrieval", "noisy-correspondence"],
        base_model=metrics["model"] if "/" in metrics["model"] and not Path(metrics["model"]).exists() else None,
        model_name=folder.resolve().name,
        eval_results=[
            EvalResult(
                task_type="image-text-retrieval",
                dataset_type=Path(dataset).name,
                dataset_name=dataset,
                metric_type=name,
                metric_value=round(value, 3),
            )
            for name, value in metrics["metrics"].items()
            if "_r@" in name or name == "rsum"
        ],
    )
    paper = model_class.paper
    card = ModelCard.from_template(
        card_data,
        template_path=str(shipped("hub_cards") / "model.md"),
        title=folder.resolve().name,
        place=str(folder),
        version=version,
        method={"name": metrics["method"], **(vars(paper) if paper else {})},
        eval_split=f" (split {data['eval_split']})" if data.get("eval_split") else "",
        shown=_SHOWN,
        show=lambda value: "not measured" if value is None else f"{value:.1f}",
        **{key: metrics[key] for key in metrics if key not in ("method", "model", "command", "bank")},
    )
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(str(card), encoding="utf-8")
