"""The concepts of training captions: which words, how they are tied, and what a CLIP makes of them; in a file."""

from .arguments import ConceptArguments, parse_concepts
from .make import make_concepts, told

__all__ = ["ConceptArguments", "make_concepts", "parse_concepts", "told"]
