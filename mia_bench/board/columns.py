"""What a board is made of: a column tells one thing about each row, in every format; a section is columns over rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .comparison import percent

R = TypeVar("R")


@dataclass(frozen=True)
class Column(Generic[R]):
    """One thing about each row. What it gives is as it comes: a renderer escapes it for where it goes."""

    title: str
    text: Callable[[R], str]
    csv: Callable[[R], Mapping[str, object]] = lambda row: {}
    """Bare values by header: fractions in 0..1, counts, None for what is not there."""
    note: str = ""
    """A sentence that says what it means."""
    latex: Callable[[str], str] = str
    """How LaTeX sets its text, already escaped."""
    name: bool = False
    """It names something, rather than counts: flush left."""


@dataclass(frozen=True)
class Section(Generic[R]):
    """A table."""

    name: str
    """By which it is asked for alone."""
    title: str
    columns: Sequence[Column[R]]
    rows: Sequence[R]
    """That are shown."""
    keys: int = 1
    """So many first columns tell rows apart."""
    file: str = ""
    """The CSV that ``data`` goes to, beside that of other sections of the same rows; '' for none."""
    data: Sequence[R] = ()

    @property
    def table(self) -> list[list[str]]:
        """The titles, then the rows, as text."""
        return [[c.title for c in self.columns], *([c.text(row) for c in self.columns] for row in self.rows)]

    @property
    def notes(self) -> str:
        """What its columns mean."""
        return " ".join(column.note for column in self.columns if column.note)


def naming(title: str, of: Callable[[R], str], header: str = "", note: str = "") -> Column[R]:
    """A name, in the CSV under ``header``."""
    return Column(title, of, lambda row: {header: of(row)} if header else {}, note, name=True)


def figure(title: str, of: Callable[[R], float | None], form: str, header: str = "", note: str = "") -> Column[R]:
    """One figure, in the CSV under ``header``; ``form`` is a format, or % for one digit of percent."""

    def text(row: R) -> str:
        value = of(row)
        return "-" if value is None else percent(value) if form == "%" else format(value, form)

    return Column(title, text, lambda row: {header: of(row)} if header else {}, note)


def fields(headers: str, values: Sequence[object] | None) -> dict[str, object]:
    """Values by header, the headers with blanks between; no values: None for each."""
    names = headers.split()
    return dict(zip(names, values or [None] * len(names), strict=True))
