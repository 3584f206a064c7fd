"""Answers to figures: the paper's Tables II and III, with what they stand between."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..records.stats import share_interval
from .answers import Answers
from .key import NO, YES, Key, Question

FEWEST = 5
"""Participants that an interval takes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Share(_Part):
    """A share of the answers to some questions."""

    share: float | None
    """Fraction of those answered; None where nobody answered."""
    ci95: tuple[float, float] | None
    """Bootstrap over participants, whose answers are not independent; None where fewer than ``FEWEST`` answered."""
    answered: int
    asked: int
    """Questions times participants."""


class Row(_Part):
    """One attack. The average is over all answers, so that it and its interval count each answer once."""

    attack: str
    by_identity: dict[str, Share]
    average: Share


class Scores(_Part):
    """What the participants said. Fractions in 0..1."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    build: str
    defense: str
    participants: int
    chance: float
    """Of the right face, by guessing."""
    identification: list[Row]
    """Table II: the right face was chosen."""
    similarity: list[Row]
    """Table III: "the same person" was said of genuine pairs."""
    false_alarms: list[Row]
    """"The same person" was said of impostor pairs; by the identity of the reconstruction."""


def score(key: Key, given: Sequence[Answers]) -> Scores:
    """The tables of a survey, from at least one participant's answers."""

    def rows(counts: Callable[[Question], bool], hit: Callable[[Question, str], bool]) -> list[Row]:
        asked = [question for question in key.questions if counts(question)]
        found = []
        for attack in key.cells:
            own = [question for question in asked if question.attack == attack]
            by_identity = {
                identity: _share([question for question in own if question.identity == identity], given, hit)
                for identity in key.identities
            }
            found.append(Row(attack=attack, by_identity=by_identity, average=_share(own, given, hit)))
        return found

    return Scores(
        build=key.build,
        defense=key.defense,
        participants=len(given),
        chance=1 / len(key.faces),
        identification=rows(lambda question: question.kind == "who", lambda question, said: said == question.right),
        similarity=rows(lambda question: question.right == YES, lambda question, said: said == YES),
        false_alarms=rows(lambda question: question.right == NO, lambda question, said: said == YES),
    )


def _share(questions: Sequence[Question], given: Sequence[Answers], hit: Callable[[Question, str], bool]) -> Share:
    hits, answered = [], []
    for one in given:
        said = [(question, one.answers[question.id]) for question in questions if question.id in one.answers]
        if said:  # who answered none of these says nothing about them
            hits.append(sum(hit(question, answer) for question, answer in said))
            answered.append(len(said))
    return Share(
        share=round(sum(hits) / sum(answered), 6) if answered else None,
        ci95=share_interval(hits, answered) if len(answered) >= FEWEST else None,
        answered=sum(answered),
        asked=len(questions) * len(given),
    )
