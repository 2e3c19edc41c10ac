"""Which fields of a method's config go together, and which of them give way where two do not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

DEFAULT = object()  # the value of a field where nobody says


@dataclass(frozen=True)
class Choice:
    """What a value of one field leaves others: any other value of theirs would have no effect, or contradict it.

    Args:
        field: whose value it is.
        made: whether a value of that field is such a one.
        others: of each other field the one value that goes with it, `DEFAULT` where it must be left out.
    """

    field: str
    made: Callable[[Any], bool]
    others: Mapping[str, Any]

    def against(self, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
        """The other fields whose value does not go with this choice; none where it is not made."""
        if not self.made(values[self.field]):
            return []
        return [name for name in self.others if values[name] != self._only(name, defaults)]

    def _only(self, name: str, defaults: Mapping[str, Any]) -> Any:
        return defaults[name] if self.others[name] is DEFAULT else self.others[name]

    def refusal(
        self, values: Mapping[str, Any], defaults: Mapping[str, Any], where: Mapping[str, str] | None = None
    ) -> str:
        """A sentence about values that do not go together, and where each was given, as far as that is known."""
        wrong = self.against(values, defaults)
        told = {name: _told(name, values, where or {}) for name in (self.field, *wrong)}
        if all(self.others[name] is DEFAULT for name in wrong):
            field = told.pop(self.field)
            idle = ", ".join(told.values())
            return f"With {field} there is no use for {idle}: leave that out, or give another {self.field}."
        needed = ", ".join(f"{name}={self._only(name, defaults)!r}" for name in wrong)
        return (
            f"{told.pop(self.field)} does not go with {', '.join(told.values())}: give {needed} too, or another "
            f"{self.field}."
        )


def settle(
    choices: Iterable[Choice], defaults: Mapping[str, Any], layers: Iterable[tuple[str, Mapping[str, Any]]]
) -> tuple[dict[str, Any], list[str]]:
    """Puts fields together that were given in several places; where two do not go together, the weaker is left out.

    What goes with no default is kept: whoever makes the config refuses it, when all places are known.

    Args:
        choices: of the method.
        defaults: of all its fields.
        layers: where fields were given, as in "on the command line", and these; the strongest last.

    Returns:
        The fields that stay, and a sentence for each that does not.

    Raises:
        InputError: two fields that were given in one place do not go together.
    """
    choices, layers, left_out = list(choices), [(where, dict(fields)) for where, fields in layers], []
    while True:
        level = {name: number for number, (_, fields) in enumerate(layers) for name in fields}
        given = {name: layers[number][1][name] for name, number in level.items()}
        where = {name: layers[number][0] for name, number in level.items()}
        values = {**defaults, **given}
        both = [(c, name) for c in choices for name in c.against(values, defaults) if {c.field, name} <= given.keys()]
        if not both:
            return given, left_out
        choice, name = both[0]
        if level[name] == level[choice.field]:
            raise InputError(choice.refusal(values, defaults, where))
        weaker, stronger = sorted((name, choice.field), key=level.get)
        del layers[level[weaker]][1][weaker]
        left_out.append(
            f"{_told(weaker, values, where)} does not count: it does not go with {_told(stronger, values, where)}."
        )


def _told(name: str, values: Mapping[str, Any], where: Mapping[str, str]) -> str:
    place = f" ({where.get(name, 'the default')})" if where else ""
    return f"{name}={values[name]!r}{place}"
