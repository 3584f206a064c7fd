"""A board in the terminal. A table that is too wide goes on below; what is still too wide is folded, never cut."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..records.record import Record
from .board import Board, boards
from .columns import Section
from .escape import terminal

EDGE, FRAME = 3, 1
"""Columns of the screen around each cell, and at the table's end."""
FOLDED = 16
"""A word that is longer may be folded, rather than put the column into another table."""


def print_records(records: Sequence[Record], console: Console) -> None:
    """A board for each set of comparable records."""
    for board in boards(records):
        print_board(board, console)


def print_board(board: Board, console: Console) -> None:
    """The tables under the board's title, with what they mean below."""
    console.print(Text(terminal(board.title), style="bold"))
    for section in board.shown:
        for table in _tables(section, console.width):
            console.print(table)
    for note in board.notes:
        console.print(Text(f"  {terminal(note)}"))


def _tables(section: Section[Any], width: int) -> Iterator[Table]:
    lines = [[Text(terminal(cell)) for cell in row] for row in section.table]
    for number, part in enumerate(_parts(lines, section.keys, width)):
        title = Text(f"{section.title}{', continued' if number else ''}", style="italic")
        table = Table(title=title, title_justify="left")
        for place in part:
            named = section.columns[place].name
            table.add_column(lines[0][place], justify="left" if named else "right", overflow="fold")
        for line in lines[1:]:
            table.add_row(*(line[place] for place in part))
        yield table


def _parts(lines: list[list[Text]], keys: int, width: int) -> list[list[int]]:
    """The columns that stand side by side, the keys in each."""
    longest = [[max(map(cell_len, cell.plain.split(" "))) for cell in line] for line in lines]
    needs = [min(FOLDED, max(column)) + EDGE for column in zip(*longest, strict=True)]
    always = list(range(keys))
    parts = [[*always]]
    for place in range(keys, len(needs)):
        if len(parts[-1]) > keys and FRAME + sum(needs[i] for i in [*parts[-1], place]) > width:
            parts.append([*always])
        parts[-1].append(place)
    return parts
