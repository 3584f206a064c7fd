"""``mia-bench leaderboard``."""

from math import isnan
from pathlib import Path

import click


@click.group()
def leaderboard() -> None:
    """Rank defenses from records."""


@leaderboard.command()
@click.argument("folders", nargs=-1, metavar="[RUN]...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where leaderboard.md, .tex and .csv and cells.csv go.  [default: beside the records]",
)
@click.option(
    "--readme",
    "documents",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also put the board between this Markdown file's <!-- leaderboard:NAME --> and <!-- /leaderboard:NAME -->, or "
    "a section of it between such lines of its own, e.g. attacks:NAME; NAME e.g. orl-v1. Repeatable.",
)
def build(folders: tuple[Path, ...], out: Path | None, documents: tuple[Path, ...]) -> None:
    """Rank the defenses of each folder of records and write Markdown, LaTeX and CSV.

    Without RUN: every leaderboard/PROTOCOL/records of the current folder.
    """
    from ..board import render
    from ..board.board import make
    from ..board.terminal import print_board
    from ..files import write_atomic
    from ..plugin.errors import RequestError
    from ..records.record import read_folder
    from .output import stdout

    sources = folders or tuple(sorted(Path("leaderboard").glob("*/records")))
    if not sources:
        raise RequestError("no leaderboard/PROTOCOL/records here; name a run's folder")
    if out is not None and len(sources) > 1:
        raise RequestError("--out takes one folder of records at a time")
    console = stdout()
    made = [(make(read_folder(source)), out or _beside(source)) for source in sources]
    for board, _ in made:
        for document in documents:
            render.updated(document, board)  # a document without markers is refused before anything is written
    for board, folder in made:
        render.write(board, folder)
        print_board(board, console)
        for document in documents:
            write_atomic(document, render.updated(document, board).encode())


def _beside(records: Path) -> Path:
    return records.parent if records.name == "records" else records


@leaderboard.command()
@click.argument("first", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("second", metavar="RUN", type=click.Path(path_type=Path))
def agree(first: Path, second: Path) -> None:
    """How alike two runs, of two seeds, say, rank the defenses that both have: Kendall's tau, from -1 to 1."""
    from ..board.board import make
    from ..plugin.errors import RequestError
    from ..records.record import read_folder
    from ..records.stats import rank_agreement
    from .output import stdout

    boards = [make(read_folder(folder)) for folder in (first, second)]
    if boards[0].name != boards[1].name:
        raise RequestError(f"{first} is of {boards[0].name}, {second} of {boards[1].name}: they do not compare")
    one, other = (board.standings.ranked_by for board in boards)
    shared = one.keys() & other.keys()
    if len(shared) < 2:
        raise RequestError(f"{first} and {second} have {len(shared)} ranked defenses in common; it takes two to rank")
    tau = rank_agreement(one, other)
    said = "none, for one of the runs has all of them equal" if isnan(tau) else f"{tau:.2f}"
    stdout().print(f"Kendall's tau over {len(shared)} defenses: {said}", highlight=False)
