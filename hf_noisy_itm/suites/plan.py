"""A suite: methods x kinds and rates of noise x seeds on one data set, and its runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_yaml

CONTROL = "control"
CHOICES = "learning_rate"  # folder of the runs that one is chosen by


@dataclass(frozen=True)
class Noise:
    """One kind at one rate.

    Args:
        kind: as in `--noise_kind`.
        rate: 0 to 1.
        fields: by method, over those that it has under other noise; `{seed}` in a value stands for the run's.
    """

    kind: str
    rate: float
    fields: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Of a folder of runs: `shuffle40`; `clean` without noise, of whatever kind."""
        return f"{self.kind}{100 * self.rate:g}" if self.rate else "clean"


@dataclass(frozen=True)
class Method:
    """What a column of the table stands for.

    Args:
        folder: of recipes/, whose file of the suite's data is the recipe.
        fields: over those of the recipe, and of the suite.
        steps: the recipe's steps or epochs, and its warm-up, times this: for a control that takes as much time as
            a method.
        learning_rate_of: a method whose learning rate this one takes, instead of choosing one.
        equal_compute: of a method, the longer control that it is set beside.
    """

    folder: str
    fields: dict[str, Any] = field(default_factory=dict)
    steps: float = 1.0
    learning_rate_of: str | None = None
    equal_compute: str | None = None


@dataclass(frozen=True)
class LearningRates:
    """How each method's learning rate is chosen: the same candidates, noise and seeds for all.

    Args:
        candidates: to try, ascending, from the middle outwards; see `search_learning_rates`.
        noise: under which, one by one: what is best at one rate may end a method at another.
        seeds: which may not be those of the table.
        fields: of these runs alone: where there is no `test_split`, which they do not look at, those that hold other
            pairs out than the table's.
    """

    candidates: tuple[float, ...]
    noise: tuple[Noise, ...]
    seeds: tuple[int, ...]
    fields: dict[str, Any]

    def nearest(self, noise: Noise) -> Noise:
        """The one whose choice serves the table's runs under `noise`: of its kind, if any is, and the nearest rate.

        Of two rates as near the higher.
        """
        alike = [each for each in self.noise if each.kind == noise.kind or each.rate == noise.rate == 0]
        return min(alike or self.noise, key=lambda each: (abs(each.rate - noise.rate), -each.rate))


@dataclass(frozen=True)
class Suite:
    """What a file of recipes/suites/ says.

    Args:
        name: of the file.
        recipe: file in the folder of each method.
        methods: by name; one is the control.
        noise: kinds and rates.
        seeds: of training and of noise.
        fields: of all runs, over those of the recipes.
        learning_rates: None leaves those of the recipes.
        about: what is trained on what, for the page of results.
        comparable: what of that may be set beside published figures.
    """

    name: str
    recipe: str
    methods: dict[str, Method]
    noise: tuple[Noise, ...]
    seeds: tuple[int, ...]
    fields: dict[str, Any]
    learning_rates: LearningRates | None
    about: str
    comparable: str


@dataclass(frozen=True)
class Run:
    """One training of a suite.

    Args:
        method: its name.
        noise: its noise.
        seed: of training and of noise.
        learning_rate: None for that of the recipe.
        is_choice: it serves the choice of a learning rate, and its figures are none of the table's.
    """

    method: str
    noise: Noise
    seed: int
    learning_rate: float | None = None
    is_choice: bool = False

    @property
    def file(self) -> str:
        """Where its JSON lies below the results of the suite."""
        if self.is_choice:
            return f"{CHOICES}/{self.noise.name}_{self.method}_{self.learning_rate:g}_seed{self.seed}.json"
        return f"{self.noise.name}/{self.method}_seed{self.seed}.json"


def choices(suite: Suite) -> list[Run]:
    """The first runs that `search_learning_rates` asks for: with the two candidates in the middle."""
    rates = suite.learning_rates
    if rates is None:
        return []
    first = max(0, len(rates.candidates) - 2) // 2
    return [
        Run(name, noise, seed, rate, is_choice=True)
        for name, method in suite.methods.items()
        if method.learning_rate_of is None
        for noise in rates.noise
        for rate in rates.candidates[first : first + 2]
        for seed in rates.seeds
    ]


def table_runs(suite: Suite, chosen: dict[str, dict[Noise, float]]) -> list[Run]:
    """The runs of the table, seed by seed, so that a suite that was stopped has whole tables of fewer seeds.

    Args:
        suite: with its methods.
        chosen: learning rates by method and noise, see `search_learning_rates`; empty leaves those of the recipes.
    """

    def rate(method: str, noise: Noise) -> float | None:
        rates = chosen.get(suite.methods[method].learning_rate_of or method)
        return None if rates is None else rates[suite.learning_rates.nearest(noise)]

    return [
        Run(name, noise, seed, rate(name, noise))
        for seed in suite.seeds
        for noise in suite.noise
        for name in suite.methods
    ]


def words_of(suite: Suite, run: Run, recipes: Path) -> list[str]:
    """What recipes/train.py is told, less the folder to write to; later words win. A choice looks at no test split.

    Args:
        suite: of the run.
        run: one of `choices` or `table_runs`.
        recipes: folder of the methods' folders.

    Raises:
        InputError: there is no such recipe, or it does not say how long it trains where that is to be longer.
    """
    method = suite.methods[run.method]
    path = recipes / method.folder / suite.recipe
    if not path.is_file():
        raise InputError(f"The suite {suite.name} asks for {path}, which is not there.")
    fields = {"noise_kind": run.noise.kind, "noise_rate": run.noise.rate, "seed": run.seed, "noise_seed": run.seed}
    fields |= suite.fields | method.fields
    fields |= {
        name: value.replace("{seed}", str(run.seed)) if isinstance(value, str) else value
        for name, value in run.noise.fields.get(run.method, {}).items()
    }
    if run.is_choice:
        fields |= {"test_split": "none"} | suite.learning_rates.fields
    if run.learning_rate is not None:
        fields["learning_rate"] = run.learning_rate
    if method.steps != 1:
        fields |= _longer(read_yaml(path) | fields, method.steps, f"{path}, of the suite {suite.name},")
    return [str(path), *(word for name, value in fields.items() for word in (f"--{name}", str(value)))]


def _longer(fields: dict[str, Any], times: float, where: str) -> dict[str, Any]:
    """Length and warm-up of a training that is so many times as long; a warm-up below 1 is a share, and stays."""
    told = {name: fields.get(name) or 0 for name in ("max_steps", "num_train_epochs", "warmup_steps")}
    for name, value in told.items():
        if not isinstance(value, int | float):
            raise InputError(f"{where} must say {name} as a number, to have {times:g} times as many; got {value!r}.")
    length = next((name for name in ("max_steps", "num_train_epochs") if told[name] > 0), None)
    if length is None:
        raise InputError(f"{where} says neither max_steps nor num_train_epochs, to have {times:g} times as many.")
    longer = {length: told[length] * times}
    if told["warmup_steps"] >= 1:
        longer["warmup_steps"] = told["warmup_steps"] * times
    return {name: value if name == "num_train_epochs" else round(value) for name, value in longer.items()}
