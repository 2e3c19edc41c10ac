"""Imports point one way: the layers of CONTRIBUTING.md, checked in the syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hf_noisy_itm"
FOUNDATION = {"errors", "files", "full_disk", "exchange"}  # one idea each, of everyone's

_LOOKING = {"arguments", "data", "encode", "hub", "loading", "memory", "methods"}

# layer -> (our layers it may import, packages it must not import)
RULES = {
    "functional": (set(), {"transformers", "datasets", "accelerate", "evaluate"}),
    "memory": ({"functional"}, {"transformers", "datasets", "accelerate", "evaluate"}),
    "methods": ({"functional", "memory", "untrusted"}, {"datasets", "accelerate", "evaluate", "PIL"}),
    "metrics": ({"functional"}, {"transformers", "accelerate", "PIL"}),
    "data": ({"functional"}, {"accelerate", "evaluate"}),
    "small_clip": (set(), {"datasets", "accelerate"}),
    "untrusted": (set(), {"transformers", "datasets", "accelerate"}),
    "openai_file": ({"untrusted"}, {"transformers", "datasets", "accelerate"}),
    "convert": ({"openai_file"}, {"datasets", "accelerate"}),
    "export": ({"convert", "loading", "openai_file", "parser"}, {"datasets", "accelerate"}),
    "encode": ({"data", "functional", "memory", "methods"}, {"accelerate", "datasets"}),
    "report": ({"data", "memory"}, {"accelerate", "transformers"}),
    "parser": (set(), {"torch", "accelerate", "datasets"}),
    "arguments": ({"data", "methods", "parser", "training_arguments"}, set()),
    "training_arguments": (set(), {"datasets"}),
    "even_batches": (set(), {"transformers", "datasets"}),
    "checkpoint": ({"memory"}, {"accelerate", "datasets", "transformers"}),
    "loading": ({"arguments", "data", "methods", "opening", "untrusted"}, {"accelerate", "datasets"}),
    "scoring": ({"data", "encode", "functional", "memory", "methods"}, {"accelerate", "datasets"}),
    "scorer": (
        {"arguments", "batches", "data", "loading", "memory", "methods", "scoring", "trainer"},
        {"accelerate", "datasets"},
    ),
    "batches": ({"data", "methods", "training_arguments"}, {"accelerate", "datasets"}),
    "bad_batches": (set(), {"accelerate", "datasets"}),
    "callbacks": (set(), {"accelerate", "datasets"}),
    "trainer": (
        {"bad_batches", "batches", "callbacks", "checkpointing_trainer", "data", "encode", "even_batches", "memory"}
        | {"adapters", "engines", "methods", "scoring", "training_arguments", "truth"},
        {"accelerate", "datasets"},
    ),
    "checkpointing_trainer": (
        {"adapters", "bad_batches", "checkpoint", "data", "engines", "memory", "publishing_trainer", "resuming"},
        {"torch", "accelerate", "datasets"},
    ),
    "adapters": (set(), {"accelerate", "datasets", "transformers"}),
    "engines": (set(), {"datasets", "transformers"}),
    "evaluating_trainer": ({"batches", "data", "encode", "methods", "training_arguments"}, {"accelerate", "datasets"}),
    "truth": ({"data"}, {"torch", "transformers", "accelerate", "datasets"}),
    "comparison": (set(), {"torch", "accelerate", "datasets", "transformers"}),
    "hub": ({"adapters", "data", "methods", "opening", "parser", "untrusted"}, {"accelerate", "datasets"}),
    "opening": (set(), {"torch", "accelerate", "datasets"}),
    "publishing_trainer": ({"evaluating_trainer", "hub"}, {"torch", "accelerate", "datasets", "transformers"}),
    "evaluation": (
        {"arguments", "batches", "data", "encode", "functional", "loading", "memory", "parser"},
        {"accelerate"},
    ),
    "banking": (
        {"arguments", "data", "encode", "loading", "memory", "parser", "truth"},
        {"accelerate", "datasets"},
    ),
    "concepts": ({"arguments", "data", "loading", "memory", "methods", "parser"}, {"accelerate", "datasets"}),
    "noisy_set": ({"arguments", "data", "functional", "hub", "loading", "parser"}, {"accelerate"}),
    "resuming": ({"checkpoint", "untrusted"}, {"torch", "accelerate", "datasets"}),
    "noise_report": (
        _LOOKING | {"batches", "checkpoint", "functional", "parser", "scoring", "training_arguments"},
        {"accelerate"},
    ),
    "run_record": (
        {"arguments", "data", "hub", "methods", "trainer", "training_arguments", "truth"},
        {"accelerate", "datasets"},
    ),
    "run": (_LOOKING | {"noise_report", "resuming", "run_record", "scorer", "trainer"}, {"accelerate", "datasets"}),
    "suites": (
        {"arguments", "data", "evaluation", "loading", "run", "run_record"},
        {"torch", "accelerate", "datasets", "transformers"},
    ),
    "failures": (set(), {"accelerate", "datasets", "transformers"}),
    "errors": (set(), {"torch", "transformers"}),
    "files": (set(), {"torch", "transformers"}),
    "full_disk": (set(), {"torch", "transformers"}),
    "exchange": (set(), {"transformers", "accelerate"}),
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imports_of(path):
    """(our layer or None, outside package or None, the imported name) of every import, inside functions too."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((None, name.name.split(".")[0], name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (parts[: len(parts) - node.level] if node.level else ()) + tuple((node.module or "").split("."))
            base = tuple(part for part in base if part)
            full = ".".join(base)
            if base[0] != "hf_noisy_itm":
                yield None, base[0], full
            elif len(base) > 1:
                yield base[1], None, full
            else:
                yield from ((name.name, None, f"{full}.{name.name}") for name in node.names)


def layer_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path):
    layer = layer_of(path)
    assert layer in RULES, f"{layer} has no place in the layers; give it one here and in CONTRIBUTING.md"
    allowed, banned = RULES[layer]
    for ours, outside, name in imports_of(path):
        assert ours in {None, layer} | allowed | FOUNDATION, f"{layer} must not import {name}"
        assert outside not in banned, f"{layer} must not import {outside}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_exchange_speaks_to_other_processes(path):
    if layer_of(path) not in {"exchange", "engines"}:
        assert not any(name.startswith("torch.distributed") for _, _, name in imports_of(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled(path):
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not any(name.split(".")[0] in {"pickle", "joblib", "dill"} for _, _, name in imports_of(path))
    assert "trust_remote_code" not in names


def test_two_files_read_pickles_and_cannot_run_them():
    """`pickletools` imports pickle, but `genops` only lists opcodes; nothing else of it is used, no name looked up."""
    reading = [path for path in MODULES if any(name.split(".")[0] == "pickletools" for _, _, name in imports_of(path))]
    assert [path.name for path in reading] == ["_npy_dict.py", "pickles.py"]
    assert all("from pickletools import genops\n" in path.read_text(encoding="utf-8") for path in reading)
    for path in (*reading, PACKAGE / "data" / "_npy_rebuild.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"eval", "exec", "getattr", "setattr", "__import__", "import_module", "load", "loads"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "metrics").glob("*/*.py")), ids=lambda path: path.name)
def test_a_space_imports_what_is_installed_there(path):
    """Its folder is copied to the Hub: no relative imports; and no gradio before the page is built."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert "gradio" not in {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}


def test_the_trainer_names_no_method():
    text = (PACKAGE / "trainer.py").read_text(encoding="utf-8").lower()
    methods = [path.stem for path in (PACKAGE / "methods").glob("[!_]*.py")]
    assert len(methods) > 1
    assert not [name for name in methods if f"{name}model" in text or f".{name} " in text or f'"{name}"' in text]


def test_every_method_is_imported_and_registered():
    from transformers import AutoConfig

    import hf_noisy_itm.methods as package

    for path in (PACKAGE / "methods").glob("[!_]*.py"):
        names = [name for name in package.__all__ if name.lower() == f"{path.stem}config"]
        assert names, f"methods/__init__.py does not import {path.stem}"
        assert AutoConfig.for_model(f"noisy_itm_{path.stem}").__class__.__name__ == names[0]
