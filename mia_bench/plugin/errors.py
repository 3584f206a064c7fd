"""Failures a person can mend, told apart from defects of ours."""

from pydantic import ValidationError


class RequestError(Exception):
    """The request cannot be carried out as written: one line naming the thing and its mend (exit status 2)."""


class ComponentError(Exception):
    """An attack, defense or target broke its contract while a cell ran: the cell becomes an error record."""


class BudgetExceededError(ComponentError):
    """An attack asked for more images than a trial's budget allows; nothing of that call was answered."""


class AccessError(ComponentError):
    """An attack asked the oracle for something that its access, or the defense, does not grant."""


def told(error: BaseException) -> str:
    """``Type: what it says``, on one line and short, whatever the exception does when asked (it is a plugin's)."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # an exception whose own __str__ raises
        said = "(it cannot be shown)"
    return f"{type(error).__name__}: {said[:MOST_SAID]}"


MOST_SAID = 2000
"""Characters of a plugin's message that are kept."""


def first_problem(error: ValidationError) -> str:
    """What is wrong, ``key: message``; a mistyped key is named before the one that it leaves missing."""
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    where = ".".join(map(str, first["loc"]))
    said: str = first["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
