"""One kind of error for everything a user can mend: recipes print its sentence and exit with status 2."""

import difflib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """Wrong input. The message is one sentence: what was wrong, where, and what to do."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM where something is to be said of it: one sentence.

    Args:
        sentence: what is whole, and what to do.
        status: of the process that ends by it, 130 or 143.
    """

    def __init__(self, sentence: str, status: int):
        super().__init__(sentence)
        self.status = status


def last_line(error: BaseException) -> str:
    """The last line of an error's text, where libraries put what matters; its kind if there is no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, once each."""
    seen = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or nothing where none is near."""
    match = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
