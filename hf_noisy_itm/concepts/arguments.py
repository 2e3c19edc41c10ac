"""What `recipes/build_concepts.py` is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ..data import DataArguments
from ..errors import InputError
from ..parser import Parser, in_one_process


@dataclass
class ConceptArguments:
    """Which words, which ties, and whose embeddings."""

    output: str = field(metadata={"help": "File to write, for example concepts.safetensors."})
    model: str | None = field(
        default=None,
        metadata={"help": "Who embeds the words: the model that training starts from, as there in --model."},
    )
    max_concepts: int = field(default=300, metadata={"help": "At most so many words, the most frequent ones."})
    min_captions: int = field(default=5, metadata={"help": "A concept is in so many captions or more."})
    max_share: float = field(default=0.5, metadata={"help": "And in no larger share of the captions than this."})
    min_together: int = field(default=3, metadata={"help": "Two concepts that are tied share so many captions."})
    min_strength: float = field(default=0.05, metadata={"help": "Ties weaker than this are left out, 0 to 1."})
    prompt: str = field(default="{}", metadata={"help": "What is embedded; {} stands for the word."})
    edges: str | None = field(
        default=None, metadata={"help": "Edges of a commonsense graph, in ConceptNet's format; .gz too."}
    )
    stop_words: str | None = field(
        default=None,
        metadata={"help": "File of words that are no concepts, UTF-8; instead of a list of English ones."},
    )
    language: str = field(default="en", metadata={"help": "Of the nodes of these edges."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a file of concepts that is there already."})

    def __post_init__(self):
        for name, least in (("max_concepts", 2), ("min_captions", 1), ("min_together", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.max_share <= 1 or not 0 <= self.min_strength <= 1:
            raise InputError(
                f"max_share is above 0 and at most 1, and min_strength between 0 and 1, got {self.max_share} and "
                f"{self.min_strength}."
            )
        if "{}" not in self.prompt:
            raise InputError(f"prompt must say by {{}} where the word stands, got {self.prompt!r}.")


def parse_concepts(arguments: Sequence[str]) -> tuple[ConceptArguments, DataArguments]:
    """Parses `MODEL [--field value …]`.

    Raises:
        InputError: there is no model, an unknown field, or a value of the wrong kind.
    """
    in_one_process("Concepts are built")
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words = ["--model", *words]
    classes = (ConceptArguments, DataArguments)
    values = Parser(classes, allow_abbrev=False).values_of(words)
    args, data = (cls(**{f.name: values[f.name] for f in fields(cls)}) for cls in classes)
    if args.model is None:
        raise InputError("Name a model first: recipes/build_concepts.py MODEL --dataset … --output FILE")
    if data.streaming:
        raise InputError("Words are counted in all captions at once: leave --streaming out.")
    return args, data
