"""The metric's Space: its modules, and what is made of them for one repository, a card and the requirements."""

from importlib.metadata import version
from pathlib import Path

from huggingface_hub import SpaceCard
from jinja2 import Template

from ..files import shipped
from .links import inside

PAGE = "app.py"
_PACKAGE = "hf-noisy-itm"


def is_metric(folder: Path) -> bool:
    """Whether a folder holds a metric of `evaluate`: a module of the folder's name, and the page over it."""
    return (folder / PAGE).is_file() and (folder / f"{folder.resolve().name}.py").is_file()


def stage_metric(folder: Path, repo: str) -> dict[str, Path | bytes]:
    """What goes to the Space `repo`, by its names there.

    Raises:
        InputError: a module is a link that leads out of the folder.
    """
    modules = {path.name: inside(folder, path) for path in sorted(folder.glob("*.py"))}
    made = {"README.md": metric_card(repo), "requirements.txt": f"{_PACKAGE}=={version(_PACKAGE)}\n"}
    return modules | {name: text.encode() for name, text in made.items()}


def metric_card(repo: str) -> str:
    """The card of the metric's Space, whose front matter says how the page starts.

    Args:
        repo: user/name, as `evaluate.load` takes it.
    """
    template = (shipped("hub_cards") / "metric.md").read_text(encoding="utf-8")
    return str(SpaceCard(Template(template).render(repo=repo, version=version(_PACKAGE))))
