"""The board: what was run, tables, and sentences. Every format renders it; nothing is computed after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..plugin.errors import RequestError
from ..records.record import Record
from . import cells, ranking
from .columns import Section
from .comparison import Group, groups
from .escape import terminal
from .standings import Standings, standings
from .words import sentences


@dataclass(frozen=True)
class Board:
    """All defenses of one run under one setting."""

    name: str
    """Which it is, e.g. ``orl-v1``."""
    title: str
    """What was run, in one line."""
    sections: tuple[Section[Any], ...]
    sentences: tuple[str, ...]
    standings: Standings
    """What it was made from, for those who draw or compare."""

    @property
    def shown(self) -> list[Section[Any]]:
        """The sections that have something to show."""
        return [section for section in self.sections if section.rows]

    @property
    def notes(self) -> list[str]:
        """What the columns mean, then the sentences: a paragraph each."""
        return [section.notes for section in self.shown] + list(self.sentences)


def make(records: Sequence[Record]) -> Board:
    """The board of records made under one setting; RequestError if they were made under several, or twice."""
    found = boards(records)
    if len(found) != 1:
        titles = terminal("; ".join(dict.fromkeys(board.title for board in found)))
        raise RequestError(
            "these records were made under different settings, or hold out other people, and cannot be ranked "
            f"together: {titles}"
        )
    return found[0]


def boards(records: Sequence[Record]) -> list[Board]:
    """A board for each set of comparable records."""
    return [_board(group) for group in groups(records)]


def _board(group: Group) -> Board:
    seen: dict[tuple[str, str], str] = {}
    for record in group.records:
        other = seen.setdefault((record.defense, record.attack), record.cell_id)
        if other != record.cell_id:
            twice = terminal(f"{record.attack} against {record.defense}")
            raise RequestError(f"two records of {twice}: {other} and {record.cell_id}; remove the older one")
    name, s = group.records[0].protocol.name, standings(group)
    suite = f"-{group.suite}" if group.suite else ""
    return Board(name + suite, group.title, (*ranking.sections(s), *cells.sections(s)), tuple(sentences(s)), s)
