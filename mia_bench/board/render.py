"""A board as Markdown, LaTeX and CSV. The same board gives the same text every time."""

import csv as csv_files
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ..files import write_atomic
from ..plugin.errors import RequestError
from . import escape
from .board import Board
from .columns import Section


def markdown(board: Board) -> str:
    """GitHub Markdown."""
    tables = [f"**{section.title}**\n\n{_markdown_table(section)}" for section in board.shown]
    return "\n\n".join([f"{escape.paragraph(board.title)}.", *tables, *map(escape.paragraph, board.notes)]) + "\n"


def _markdown_table(section: Section[Any]) -> str:
    cells = [[escape.markdown(cell) for cell in row] for row in section.table]
    return tabulate(cells, "firstrow", "pipe", disable_numparse=True)


def latex(board: Board) -> str:
    """Booktabs tables."""
    parts = [f"% {escape.latex(board.title)}", "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}"]
    for section in board.shown:
        cells = [[escape.latex(cell) for cell in row] for row in section.table]
        cells[1:] = [[c.latex(cell) for c, cell in zip(section.columns, row, strict=True)] for row in cells[1:]]
        header, *body = (" & ".join(row) + r" \\" for row in cells)
        form = "".join("l" if column.name else "r" for column in section.columns)
        parts += [f"% {escape.latex(section.title)}", rf"\begin{{tabular}}{{{form}}}", r"\toprule", header]
        parts += [r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(parts) + "\n"


def csv(board: Board) -> dict[str, str]:
    """By file: sections of the same rows stand beside each other."""
    tables: dict[str, list[dict[str, object]]] = {}
    for section in board.sections:
        if section.file:
            rows = tables.setdefault(section.file, [{} for _ in section.data])
            for row, of in zip(rows, section.data, strict=True):
                for column in section.columns:
                    row.update(column.csv(of))
    return {name: _csv(rows) for name, rows in tables.items()}


def _csv(rows: list[dict[str, object]]) -> str:
    buffer = io.StringIO()
    writer = csv_files.writer(buffer, lineterminator="\n")
    writer.writerows([escape.csv(value) for value in line] for line in (rows[0], *(row.values() for row in rows)))
    return buffer.getvalue()


def write(board: Board, out: Path) -> None:
    """leaderboard.md, .tex and .csv, and cells.csv."""
    tables = {f"{name}.csv": table for name, table in csv(board).items()}
    for name, content in ({"leaderboard.md": markdown(board), "leaderboard.tex": latex(board)} | tables).items():
        write_atomic(out / name, content.encode())


def updated(document: Path, board: Board) -> str:
    """A Markdown file with what stands between the board's markers replaced: ``leaderboard:NAME``, all of it, or one
    section, e.g. ``attacks:NAME``. RequestError where there are none."""
    blocks: Mapping[str, str] = {"leaderboard": markdown(board)} | {
        section.name: f"{escape.paragraph(board.title)}.\n\n{_markdown_table(section)}\n" for section in board.shown
    }
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{document}: {error.strerror or error}") from None
    name = escape.markdown(board.name)
    markers = {block: (f"<!-- {block}:{name} -->", f"<!-- /{block}:{name} -->") for block in blocks}
    if not any(begin in text and end in text for begin, end in markers.values()):
        begin, end = markers["leaderboard"]
        raise RequestError(f"{document} has no lines {begin} and {end} to put the table between")
    for block, (begin, end) in markers.items():
        new = f"{begin}\n{blocks[block]}{end}".replace("\\", r"\\")
        text = re.sub(re.escape(begin) + ".*?" + re.escape(end), new, text, flags=re.DOTALL)
    return text
