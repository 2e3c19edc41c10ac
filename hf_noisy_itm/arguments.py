"""What a run is told: dataclasses, read from a YAML recipe first and from the command line over it."""

import dataclasses
from argparse import SUPPRESS, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_type_hints

from transformers import CLIPConfig

from .data import DataArguments
from .errors import InputError, did_you_mean
from .files import read_yaml
from .methods import NoisyITMConfig
from .parser import Parser, as_word, as_words, optional_number, refuse_unknown
from .training_arguments import NoisyITMArguments


@dataclass
class RunArguments:
    """Which model, trained by which method."""

    method: str = field(default="baseline", metadata={"help": "Name of a method: baseline, npc, …"})
    model: str = field(
        default="scenes-clip",
        metadata={"help": "'scenes-clip' (bundled), a folder, or a name on the Hub; of vectors 'none': a new one."},
    )
    bank: str | None = field(
        default=None,
        metadata={
            "help": "Memory bank of these training pairs, a file of recipes/build_bank.py: none is built before the "
            "first epoch, and the method's fields that say how count at a refresh only. A resumed checkpoint has its "
            "own."
        },
    )
    scorer: str | None = field(
        default=None,
        metadata={"help": "For --trust osa: the frozen CLIP that scores the training pairs; --model if unset."},
    )
    scorer_steps: int = field(
        default=0, metadata={"help": "Let the scorer train so many steps on the noisy pairs before it is frozen."}
    )
    score_cache: str | None = field(
        default=None, metadata={"help": "Folder in which scores are kept for later runs; one under HF_HOME if unset."}
    )

    report: bool = field(
        default=False,
        metadata={
            "help": "Leave a noise report of the training pairs in noise_report/ of output_dir: by the trained model "
            "and, where the method weighs pairs, their weights."
        },
    )

    def __post_init__(self):
        if self.scorer_steps < 0:
            raise InputError(f"scorer_steps must be at least 0, got {self.scorer_steps}.")


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe: everything that one training run needs to know."""

    run: RunArguments
    data: DataArguments
    training: NoisyITMArguments
    method: dict  # fields of the method's config that were given, and that go together
    extra: object | None = None  # what a script asked for beside these

    @property
    def name(self) -> str:
        """Of the method, as in `--method`."""
        return self.run.method


def parse_recipe(arguments: Sequence[str], defaults: dict | None = None, extra: type | None = None) -> Recipe:
    """Parses `[FILE.yaml] [--field value …]`; the command line wins over the file, the file over `defaults`.

    Where two fields of the method do not go together, the weaker does not count either, and a warning says so.

    Args:
        arguments: words of the command line.
        defaults: values of fields where neither file nor command line speak.
        extra: a dataclass of further fields that a script takes.

    Raises:
        InputError: no such file, an unknown field (the nearest known one is named), a value of the wrong kind, or two
            fields that were given in one place and do not go together.
    """
    arguments = list(arguments)
    given = dict(defaults or {})
    layers = [("in the script", given)]
    if arguments and not arguments[0].startswith("-"):
        path = Path(arguments.pop(0))
        content = _read_yaml(path)
        layers = [("in the script", {name: given[name] for name in given.keys() - content}), (f"in {path}", content)]
        given |= content
    config = config_class(_method_of(arguments, given))
    method = _as_dataclass(_config_fields(config))
    classes = (RunArguments, DataArguments, NoisyITMArguments, *([extra] if extra else []))
    options = (*classes, method)
    refuse_unknown(given, [f.name for cls in options for f in dataclasses.fields(cls) if f.init], "the recipe")
    may_be_none = {name for cls in options for name, kind in get_type_hints(cls).items() if optional_number(kind)}
    words = {where: as_words(fields, may_be_none) for where, fields in layers} | {"on the command line": arguments}
    values = Parser(options, allow_abbrev=False).values_of([word for layer in words.values() for word in layer])
    values["output_dir"] = values["output_dir"] or f"runs/{values['method']}"
    try:
        run, data, training, *more = (
            cls(**{f.name: values[f.name] for f in dataclasses.fields(cls) if f.init and f.name in values})
            for cls in classes
        )
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"The recipe does not hold together: {error}") from error
    parser = Parser(method, allow_abbrev=False, add_help=False)
    found = {where: vars(parser.parse_known_args(layer, Namespace())[0]) for where, layer in words.items()}
    chosen = [  # a list that was not given is None nevertheless
        (where, {name: value for name, value in fields.items() if value is not None or name in may_be_none})
        for where, fields in found.items()
    ]
    return Recipe(run, data, training, config.settled(*chosen), *more)


def config_class(method: str) -> type[NoisyITMConfig]:
    """The config of a method by its short name.

    Raises:
        InputError: there is no such method; the nearest is named.
    """
    names = {cls.model_type.removeprefix("noisy_itm_"): cls for cls in NoisyITMConfig.__subclasses__()}
    if method not in names:
        raise InputError(f"There is no method {method!r}{did_you_mean(method, names)}; there are {', '.join(names)}.")
    return names[method]


def _config_fields(config: type[NoisyITMConfig]) -> list[dataclasses.Field]:
    inherited = {f.name for f in dataclasses.fields(CLIPConfig)}
    return [f for f in dataclasses.fields(config) if f.name not in inherited and f.init]


def _as_dataclass(fields: list[dataclasses.Field]) -> type:
    """The method's own fields as options; what is not given is not there, so that a checkpoint's values are kept."""
    told = {f.name: {"help": f"Of the method; default {f.default!r}."} for f in fields}
    return dataclasses.make_dataclass(
        "MethodArguments",
        [(f.name, f.type, field(default=SUPPRESS, metadata=told[f.name])) for f in fields],
    )


def _read_yaml(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"There is no recipe {path}.")
    try:
        content = read_yaml(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not YAML: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold lines of `field: value`.")
    return content


def _method_of(arguments: list[str], given: dict) -> str:
    parser = Parser(RunArguments, allow_abbrev=False, add_help=False)
    words = [f"--method={as_word('method', given['method'])}"] if given.get("method") is not None else []
    return parser.parse_known_args([*words, *arguments], namespace=Namespace())[0].method
