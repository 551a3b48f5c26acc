"""How a wrong setting is told: by its variable's name, with what would be right, and never with its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """One variable that is wrong, and what would be right."""

    name: str
    sentence: str


class InvalidSettings(Exception):
    """Everything that is wrong, in one message."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        heading = "1 setting is wrong:" if count == 1 else f"{count} settings are wrong:"
        super().__init__("\n".join([heading, *(f"  {p.name}: {p.sentence}" for p in problems)]))
        self.problems = tuple(problems)


def problems_of(invalid: ValidationError) -> list[Problem]:
    """One problem for each variable; its value is not repeated, for it may be a secret."""
    found: dict[str, str] = {}
    for error in invalid.errors(include_input=False, include_url=False, include_context=False):
        name = str(error["loc"][0]).upper()
        found.setdefault(name, _sentence(error["msg"]))
    return [Problem(name, sentence) for name, sentence in found.items()]


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should", "should", 1)
