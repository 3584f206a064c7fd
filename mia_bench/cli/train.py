"""``mia-bench train``."""

from pathlib import Path

import click

from . import options


@click.command()
@options.protocol
@options.data
@options.device
@click.option(
    "--check", is_flag=True, help="Retrain by the recipe and report whether the pinned figures are reproduced."
)
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the weights into DIR and print the [pinned] tables that publish them with the protocol.",
)
def train(protocol: str, data: Path | None, device: str, check: bool, export: Path | None) -> int:
    """Train what a protocol needs and is not there yet; print what the networks measure on real photos."""
    from rich.table import Table

    from ..protocol import model as protocols

    protocols.load(protocol, data)  # before torch, which is slow to import: a wrong protocol is told at once

    from ..bench import planning
    from ..bench.laboratory import Laboratory
    from ..plugin.engine import Engine
    from ..plugin.errors import RequestError
    from .output import stdout
    from .progress import Bars

    loaded = planning.open_protocol(protocol, data)
    if check and loaded.pinned is None:
        raise RequestError(f"protocol {loaded.name} has no pinned figures to check; run it without --check")
    with Bars(0) as bars:
        lab = Laboratory(loaded, Engine.on(planning.device_of(device)), bars.working)
        if check:
            lab = lab.retrained()
        if export is not None:
            click.echo(lab.export(export))
            return 0
        figures = {fold: lab.figures(fold) for fold in loaded.split.folds}

    table = Table(title=f"{loaded.name} v{loaded.version}", title_justify="left")
    for column in ("fold", "figure", "measured", *(("pinned", "reproduced") if check else ())):
        table.add_column(column, justify="left" if column in ("fold", "figure") else "right")
    failed = False
    for fold, measured in figures.items():
        for name, value in measured.items():
            cells = [fold, name, f"{value:.4f}"]
            if check and loaded.pinned is not None and name in loaded.pinned.figures[fold]:
                pinned = loaded.pinned.figures[fold][name]
                reproduced = abs(value - pinned) <= loaded.pinned.tolerance[name]
                failed |= not reproduced
                cells += [f"{pinned:.4f}", "yes" if reproduced else "[red]no[/]"]
            table.add_row(*cells)
    console = stdout()
    console.print(table)
    if check:
        verdict = "not all of the pinned figures are" if failed else "all pinned figures are"
        console.print(f"{verdict} reproduced within the protocol's tolerance", highlight=False)
    return 1 if failed else 0
