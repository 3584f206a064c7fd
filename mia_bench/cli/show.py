"""``mia-bench show``."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the records as a JSON list instead of a table.")
def show(folder: Path, as_json: bool) -> None:
    """Print the table of an earlier run again, from the records in the folder RUN."""
    from ..board.terminal import print_records
    from ..records import record
    from .output import print_json, stdout

    records = record.read_folder(folder)
    if as_json:
        print_json(records)
    else:
        print_records(records, stdout())
