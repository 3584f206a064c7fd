"""The truth about a survey's page: what each question shows. It stays with whoever runs the study."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..plugin.errors import RequestError, first_problem
from ..records.request import ProtocolId

SCHEMA = 1

PAGE = "index.html"
KEY = "key.json"

YES, NO = "yes", "no"

BuildId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""Content hash of all that a page shows."""


class Part(BaseModel):
    """A table of the key or of an answer file: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Question(Part):
    """One question: a reconstruction beside the faces, or beside one photo."""

    id: str
    kind: Literal["who", "same"]
    """Questionnaire 1: which of the faces is it? Questionnaire 2: is it the same person as on the photo?"""
    identity: str
    """Whom the reconstruction is of."""
    attack: str
    trial: int
    photo_of: str | None = None
    """``same``: whose photo stands beside it."""
    right: str
    """The right answer: a face's id, or yes or no."""


class Key(Part):
    """What the page does not say."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    build: BuildId
    seed: int
    protocol: ProtocolId
    fold: str
    defense: str
    cells: dict[str, str]
    """Record cell id of each attack, in the order of the tables."""
    identities: list[str]
    """Whose reconstructions are shown."""
    faces: dict[str, str]
    """Who each face of questionnaire 1 is."""
    questions: list[Question]
    """In the order of the page."""

    def allowed(self, question: Question) -> list[str]:
        """The answers that a question takes."""
        return list(self.faces) if question.kind == "who" else [YES, NO]

    def to_json(self) -> str:
        """As written to disk."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read(folder: Path) -> Key:
    """The key that ``survey build`` wrote into a folder; RequestError if there is none."""
    file = folder / KEY
    try:
        return Key.model_validate_json(file.read_bytes())
    except OSError as error:
        raise RequestError(f"{file}: {error.strerror or error}; give the folder that 'survey build' wrote") from None
    except ValidationError as error:
        raise RequestError(f"{file} is not a survey's key: {first_problem(error)}") from None
