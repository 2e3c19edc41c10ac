"""One kind of error for everything a user can mend: recipes print its sentence and exit with status 2."""


class InputError(ValueError):
    """Wrong input. The message is one sentence: what was wrong, where, and what to do."""
