"""Answer files: what participants saved. They come from outside and are checked here, at the door."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError

from ..plugin.errors import RequestError, first_problem
from .key import BuildId, Key, Part

LARGEST = 100_000
"""Bytes. A page of 60 questions saves about 1,200."""


class Answers(Part):
    """One participant's answers, as the page saves them."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    build: BuildId
    participant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$", max_length=20)]
    """The code that the participant gave, or ''."""
    started: AwareDatetime
    finished: AwareDatetime
    answers: dict[str, str]
    """By question id; unanswered questions are not there."""

    @property
    def sitting(self) -> str:
        """Tells participants apart: the code, or the moment of starting where none was given."""
        return self.participant or self.started.isoformat()


def read(files: Sequence[Path], key: Key) -> list[Answers]:
    """The answers in the files, one participant each; RequestError names the first file that cannot count."""
    by_sitting: dict[str, Path] = {}
    found: list[Answers] = []
    for file in files:
        answers = _read(file, key)
        earlier = by_sitting.setdefault(answers.sitting, file)
        if len(by_sitting) == len(found):
            who = f"participant {answers.participant}" if answers.participant else "the same participant"
            raise RequestError(f"{earlier} and {file} are both from {who}; give only one of them")
        found.append(answers)
    return found


def _read(file: Path, key: Key) -> Answers:
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise RequestError(f"answers {file}: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise RequestError(f"answers {file}: larger than {LARGEST:,} bytes, so not what the page saves")
    try:
        answers = Answers.model_validate_json(content)
    except ValidationError as error:
        raise RequestError(f"answers {file}: not what the page saves: {_shown(first_problem(error))}") from None
    if answers.build != key.build:
        raise RequestError(f"answers {file} belong to another build: {answers.build}, and this one is {key.build}")
    allowed = {question.id: key.allowed(question) for question in key.questions}
    for question, answer in answers.answers.items():
        if question not in allowed:
            raise RequestError(f"answers {file}: this survey has no question {_shown(question)}")
        if answer not in allowed[question]:
            choices = ", ".join(allowed[question])
            raise RequestError(f"answers {file}: {question} is {_shown(answer)}; it takes one of {choices}")
    return answers


def _shown(text: str) -> str:
    """Text from outside in an error message: nothing that moves a terminal's cursor, and no more than a line."""
    plain = "".join("?" if unicodedata.category(letter).startswith("C") else letter for letter in text)
    return plain if len(plain) <= 120 else plain[:120] + "..."
