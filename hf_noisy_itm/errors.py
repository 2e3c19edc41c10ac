"""One kind of error for everything a user can mend: recipes print its sentence and exit with status 2."""


class InputError(ValueError):
    """Wrong input. The message is one sentence: what was wrong, where, and what to do."""


def last_line(error: BaseException) -> str:
    """The last line of an error's text, where libraries put what matters; its kind if there is no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
