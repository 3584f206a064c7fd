"""``mia-bench paper``: the paper's tables and figures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import options

if TYPE_CHECKING:
    from ..bench.cell import Cell
    from ..paper.study import Study
    from ..records.record import Record

Command = TypeVar("Command", bound=Callable[..., Any])

_identities = click.option(
    "--identities", type=int, metavar="N", help="Attack the first N of the first fold.  [default: the paper's 5]"
)
_budget = click.option("--budget", type=int, default=10_000, show_default=True, metavar="N", help="Queries per trial.")
_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of records and figures.  [default: one in runs/PROTOCOL-paper]",
)


def _trials(default: int, said: str) -> Callable[[Command], Command]:
    return click.option("--trials", type=int, default=default, metavar="N", help=f"Per identity.  [default: {said}]")


@click.group()
def paper() -> None:
    """Regenerate the paper's tables and figures (Yoshimura et al.) on a protocol's faces."""


@paper.command()
@options.protocol
@options.data
@options.generator
@_identities
@_trials(100, "the paper's 100")
@_budget
@options.seed
@options.device
@options.resume
@_out
def table1(budget: int, resume: bool, out: Path | None, **settings: Any) -> int:
    """R_eval accuracy of both attacks, per identity and on average, beside the paper's Table I."""
    study = _study(**settings)
    from ..paper import table1 as content
    from ..paper.study import BLACK_BOX, WHITE_BOX
    from .output import stdout

    records = _run(study.cells(WHITE_BOX, BLACK_BOX, budget=budget), out or study.out / "table1", resume)
    console = stdout()
    console.print(content.table(records))
    for line in content.reading(records):
        console.print(f"  {line}", highlight=False, markup=False)
    return _status(records)


@paper.command()
@options.protocol
@options.data
@_identities
@_trials(10, "10")
@options.seed
@options.device
@_out
def fig7(out: Path | None, **settings: Any) -> int:
    """Criterion C against the cosine of g to the true gradient, for every generator of the protocol."""
    study = _study(**settings, generator=None)
    from ..files import check_writable
    from ..paper import fig7 as content
    from ..report.canvas import load_matplotlib
    from .output import stdout
    from .progress import Bars

    folder = out or study.out / "fig7"
    check_writable(folder)
    load_matplotlib()  # before minutes of measuring
    with Bars(0) as bars:
        points = content.measure(study, bars.working)
    content.write_csv(points, folder / "fig7.csv")
    console = stdout()
    for name in study.protocol.generators:
        found = content.summary([point for point in points if point.generator == name])
        console.print(
            f"D = {name}: Spearman correlation of C and cosine {found.spearman:.3f}; "
            f"cosine > {content.CLOSE_COSINE} in {100 * found.share:.1f}% of the {found.close:,} points with "
            f"C < {content.CLOSE_C}",
            highlight=False,
        )
    console.print(f"{len(points):,} points: {folder / 'fig7.csv'}", highlight=False, markup=False, soft_wrap=True)
    for file in content.draw(points, folder):
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)
    return 0


@paper.command()
@options.protocol
@options.data
@options.generator
@_identities
@_trials(100, "the paper's 100, shared with table1")
@_budget
@click.option("--shown", type=click.IntRange(1, 12), default=4, show_default=True, help="Faces of each kind.")
@options.seed
@options.device
@options.resume
@_out
def fig8(budget: int, shown: int, resume: bool, out: Path | None, **settings: Any) -> int:
    """A gallery of both attacks' reconstructions beside training photos, of the records that table1 makes."""
    study = _study(**settings)
    from ..paper.study import BLACK_BOX, WHITE_BOX
    from ..plugin.errors import RequestError
    from ..report import gallery
    from .output import stdout

    folder = out or study.out / "table1"
    records = _run(study.cells(WHITE_BOX, BLACK_BOX, budget=budget), folder, resume)
    picture = gallery.write(records, study.protocol, folder, name="fig8.png", shown=shown)
    if picture is None:
        raise RequestError(f"{folder} has no reconstructions beside its records; make them again with --fresh")
    stdout().print(str(picture), highlight=False, markup=False, soft_wrap=True)
    return _status(records)


@paper.command()
@options.protocol
@options.data
@options.generator
@_identities
@_trials(20, "20; bb-pixel has 2")
@_budget
@options.seed
@options.device
@options.resume
@_out
def pixels(budget: int, resume: bool, out: Path | None, **settings: Any) -> int:
    """Both attacks with and without D: without it R_tar is convinced, at what cost, and R_eval is not.

    bb-pixel has a budget of its own, 45 steps.
    """
    study = _study(**settings)
    from ..paper import pixels as content
    from .output import stdout

    cells = study.cells(*content.ATTACKS, budget=budget)
    costly = content.costly_budget(study.protocol.data.image)
    cells += study.cells(content.COSTLY, budget=costly, trials=min(study.trials, content.TRIALS))
    records = _run(cells, out or study.out / "pixels", resume)
    stdout().print(content.table(records))
    return _status(records)


def _study(
    protocol: str,
    data: Path | None,
    generator: str | None,
    identities: int | None,
    trials: int,
    seed: int | None,
    device: str,
) -> "Study":
    from ..protocol import model as protocols

    protocols.load(protocol, data)  # before torch, which is slow to import: a wrong protocol is told at once

    from ..bench import planning
    from ..paper.study import IDENTITIES, Study

    loaded = planning.open_protocol(protocol, data)
    people = min(IDENTITIES, loaded.split.targets) if identities is None else identities
    return Study(loaded, people, trials, generator, seed, device)


def _run(cells: "list[Cell]", folder: Path, resume: bool) -> "list[Record]":
    from ..bench import planning
    from .progress import Bars

    with Bars(len(cells)) as bars:
        return list(planning.execute(cells, folder, fresh=not resume, watcher=bars))


def _status(records: "list[Record]") -> int:
    from ..paper.study import failed

    for line in failed(records):
        click.echo(f"mia-bench: {line}", err=True)
    return 1 if any(record.status == "error" for record in records) else 0
