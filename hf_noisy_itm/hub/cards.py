"""Cards: templates filled from `metrics.json` or `noise.json`; nobody types a number."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData

from ..adapters import FOLDER
from ..files import atomic_path, shipped
from ..methods import NoisyITMModel
from .results import figures_of, known_on_hub, name_of_data, rsum, split_of

HYPERPARAMETERS = (  # stated, whether or not they were given
    *("learning_rate", "max_steps", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("optim", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm"),
    *("lr_scheduler_type", "warmup_steps", "bf16", "fp16", "seed"),
)
_OF_LORA = ("lora_r", "lora_alpha", "lora_dropout")  # where they were given

_TAGS_OF_CLIP = ["clip", "hf_noisy_itm", "image-text-retrieval", "noisy-correspondence"]
_TAGS_OF_VECTORS = ["hf_noisy_itm", "cross-modal-retrieval", "noisy-labels"]
_TAGS = {"captions": ["image-text-retrieval", "noisy-correspondence"], "labels": ["noisy-labels"]}
_NOT_OF_THE_TEMPLATE = {"method", "model", "command", "bank", "test", "hardware"}

_MEANING = {
    "shuffle": "Captions were picked one by one and change places among themselves.",
    "shuffle_images": "Pictures were picked, and all captions of one go to another together.",
    "semantic": "Captions were picked and each replaced by a near caption of another picture, drawn from the k "
    "nearest; a caption may then stand in several rows, and another in none.",
    "partial": "Captions were picked and one detail of each (a colour, a number, a relation …) replaced by another.",
    "truncated": "Captions were picked and cut short; what is left may still be true of the picture.",
    "duplicated": "Captions were picked and cluttered as captions of the web are; they still tell of their picture.",
    "label_symmetric": "Rows were picked, exactly as many as the rate says, and each given a class drawn uniformly.",
    "label_asymmetric": "Rows were picked, exactly as many as the rate says, and each given the class after its own.",
    "label_symmetric_by_row": "Each row was picked by chance, apart from all others, and given a class drawn "
    "uniformly.",
}


def write_model_card(
    folder: str | Path,
    metrics: dict,
    model_class: type[NoisyITMModel],
    version: str,
    clip_alone: bool = True,
    repo: str | None = None,
    control: dict | None = None,
    license: str | None = None,
    dataset_id: str | None = None,
    revision: str | None = None,
) -> None:
    """Writes README.md, with model-index, beside a trained model.

    Args:
        folder: of the model.
        metrics: content of its `metrics.json`.
        model_class: the method; its `paper` is cited.
        version: of this package.
        clip_alone: whether embeddings are those of its CLIP alone.
        repo: where it is published; of a local folder None.
        control: content of the `metrics.json` of its control; the card says so if there is none.
        license: as the Hub names it.
        dataset_id: of the evaluation data on the Hub, if they lie there.
        revision: the branch that it is published on; None for the one that is loaded without a word.
    """
    folder = Path(folder)
    place = one_line(str(folder)) if repo is None else repo
    name = one_line(folder.resolve().name if repo is None else repo.split("/")[-1])
    dataset = one_line(name_of_data(metrics))
    has_vectors, has_test = "feature_columns" in metrics["data"], bool(metrics.get("test"))
    card_data = ModelCardData(
        library_name="transformers",
        pipeline_tag=None if has_vectors else "zero-shot-image-classification",
        license=license,
        datasets=None if dataset_id is None else [dataset_id],
        tags=_TAGS_OF_VECTORS if has_vectors else _TAGS_OF_CLIP,
        base_model=known_on_hub(metrics, "model"),
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="cross-modal-retrieval" if has_vectors else "image-text-retrieval",
                dataset_type=dataset_id or re.sub(r"[^\w.-]+", "-", Path(dataset).name),
                dataset_name=dataset,
                dataset_split=split_of(metrics, has_test),
                metric_type=metric,
                metric_value=value,
            )
            for metric, value in figures_of(metrics).items()
        ]
        or None,
    )
    paper = model_class.paper
    card = ModelCard.from_template(
        card_data,
        template_path=str(shipped("hub_cards") / "model.md"),
        title=name,
        here=_quoted(place) + (f", revision={_quoted(revision)}" if revision else ""),
        has_adapter=(folder / FOLDER).is_dir(),
        is_published=repo is not None,
        model_class=model_class.__name__,
        version=version,
        method={"name": metrics["method"], **(vars(paper) if paper else {})},
        splits={part: split_of(metrics, part == "test") for part in ("metrics", "test")},
        shown=_shown,
        show=lambda value: "not measured" if value is None else f"{value:.1f}",
        share=lambda value: "an unknown share" if value is None else f"{100 * value:.1f} %",
        rsum=rsum,
        escape=escape,
        code=code,
        takes="vectors" if has_vectors else "pictures",
        clip_alone=clip_alone,
        test=metrics.get("test"),
        control=control,
        hardware=metrics.get("hardware"),
        start=metrics["model"],
        license=license,
        dataset_id=dataset_id,
        **{key: metrics[key] for key in metrics if key not in _NOT_OF_THE_TEMPLATE},
    )
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(str(card), encoding="utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shown(training: dict) -> dict:
    """The hyper-parameters that `metrics.json` states, less what was not in use; steps go before epochs."""
    unused = "num_train_epochs" if (training.get("max_steps") or 0) > 0 else "max_steps"
    told = {name: training[name] for name in (*HYPERPARAMETERS, *_OF_LORA) if name in training and name != unused}
    return {name: value for name, value in told.items() if value is not None and value is not False}


def write_dataset_card(folder: str | Path, content: dict) -> None:
    """Writes README.md beside a noisy data set; its front matter tells `datasets` which files belong together.

    Args:
        folder: with the files.
        content: of its `noise.json`. `configs` holds by name, the default first, a pattern of files for each split.
    """
    with atomic_path(Path(folder) / "README.md") as temporary:
        temporary.write_text(dataset_card(content), encoding="utf-8")


def dataset_card(content: dict, place: str = "FOLDER", name: str | None = None, revision: str | None = None) -> str:
    """The card of a noisy data set, with lines that load it.

    Args:
        content: see `write_dataset_card`.
        place: user/name of its repository; a word for the folder that it lies in here.
        name: of its configuration, where it is one of several there.
        revision: the branch that it is on; None for the one that is loaded without a word.
    """
    pedigree, source = content["pedigree"], content["source"]
    rate = "" if pedigree["nominal"] is None else f" at rate {pedigree['nominal']}"
    title = one_line(f"{source['dataset']} with {pedigree['kind']} noise{rate}")
    card_data = DatasetCardData(
        **_licence({content["license"]}),
        pretty_name=title,
        tags=[*_TAGS[content["on"]], "hf_noisy_itm"],
        configs=_configs(content, content["configs"], default=True),
    )
    names = list(content["configs"]) if name is None else named_configs(content, name)
    branch = "" if revision is None else f", revision={_quoted(revision)}"
    card = DatasetCard.from_template(
        card_data,
        template_path=str(shipped("hub_cards") / "dataset.md"),
        title=title,
        default=", ".join(map(_quoted, [place, *([] if name is None else [name])])),
        second=", ".join(map(_quoted, [place, *names[1:2]])),
        branch=branch,
        inside="FOLDER" if name is None else f"FOLDER/{name}",
        place=place if name is None else f"{place} --dataset_config {name}",
        fetch=revision and f"hf download {place} --repo-type dataset --revision {shlex.quote(revision)}",
        escape=escape,
        code=code,
        command=" ".join(["python recipes/make_noise.py", *map(shlex.quote, content["arguments"]), "--output FOLDER"]),
        meaning=_MEANING.get(pedigree["kind"], ""),
        **content,
    )
    return str(card)


def overview_card(repo: str, contents: dict[str, dict], revision: str | None = None) -> str:
    """The card over several noisy data sets in one repository, each in the folder that its configuration names.

    Args:
        repo: user/name.
        contents: of each `noise.json`, by the configuration's name.
        revision: see `dataset_card`.
    """
    contents = dict(sorted(contents.items()))
    configs = [each for name, one in contents.items() for each in _configs(one, named_configs(one, name), f"{name}/")]
    card_data = DatasetCardData(
        **_licence({each["license"] for each in contents.values()}),
        pretty_name=repo.split("/")[-1],
        tags=[*sorted({tag for each in contents.values() for tag in _TAGS[each["on"]]}), "hf_noisy_itm"],
        configs=configs,
    )
    template = str(shipped("hub_cards") / "configurations.md")
    branch = "" if revision is None else f", revision={_quoted(revision)}"
    fields = {"title": repo, "contents": contents, "escape": escape, "code": code, "branch": branch}
    return str(DatasetCard.from_template(card_data, template_path=template, **fields))


def named_configs(content: dict, name: str) -> list[str]:
    """Names of a data set's configs where it is one of several: its own, and with a suffix those after the default."""
    return [name, *(f"{name}-{each}" for each in list(content["configs"])[1:])]


def _configs(content: dict, names: Iterable[str], folder: str = "", default: bool = False) -> list[dict]:
    """What the front matter says of a data set's configs, under these names, with its files in a folder."""
    told = []
    for name, patterns in zip(names, content["configs"].values()):
        inside = [{"split": split, "path": path} for split, path in patterns.items()]
        entry = {
            "config_name": name,
            "data_files": [{**each, "path": folder + each["path"]} for each in inside],
            "description": f"Content {content_hash(content['files'], inside)}",
        }
        told.append({**entry, "default": True} if default and not told else entry)
    return told


def _licence(stated: set[str | None]) -> dict[str, str]:
    """Of all that is in a repository, if it is one and known."""
    (first, *others) = stated
    name = "unknown" if not others else "several, see the card"
    return {"license": first} if first and not others else {"license": "other", "license_name": name}


def content_hash(files: dict[str, str], patterns: list[dict[str, str]]) -> str:
    """Of the files that fit; `datasets` keys its cache by a folder's name and what its card says of the configs.

    Without it, another folder of the same name would be answered with the rows of the first.
    """
    fit = [
        f"{files[name]}  {name}\n" for name in sorted(files) if any(fnmatch(name, each["path"]) for each in patterns)
    ]
    return hashlib.sha256("".join(fit).encode()).hexdigest()


def one_line(text: str) -> str:
    """Text without line breaks: one of its lines could end the front matter of a card, where all readers cut."""
    return " ".join(text.split())


def code(value: object, most: int = 200) -> str:
    """A value of others as one span of Markdown code, in which nothing means anything; cut after `most` characters."""
    return f"`{_short(value, most).replace('`', chr(39)) or 'none'}`"


def _short(value: object, most: int) -> str:
    line = "".join(letter for letter in one_line(str(value)) if letter.isprintable())
    return line if len(line) <= most else line[:most] + "…"


def escape(text: object, most: int = 200) -> str:
    """Text of others as one line of Markdown that means nothing but itself; cut after `most` characters."""
    line = _short(text, most)
    return re.sub(r"([!#$&(-+\-./:<>@\[-`{-~])", r"\\\1", line)
