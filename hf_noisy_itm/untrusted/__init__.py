"""What is looked at before a file of somebody else's is opened, so that nothing is run and no memory spent."""

from .archives import refuse_bomb, refuse_growth
from .pickles import Stored, content_of
from .weights import declared, files_of_index, refuse_elsewhere, refuse_foreign_code

__all__ = [
    "Stored",
    "content_of",
    "declared",
    "files_of_index",
    "refuse_bomb",
    "refuse_elsewhere",
    "refuse_foreign_code",
    "refuse_growth",
]
