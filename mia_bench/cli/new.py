"""``mia-bench new``."""

from pathlib import Path

import click


@click.group()
def new() -> None:
    """Start something of your own."""


@new.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="One folder per person with their photos (PGM, PNG, JPEG).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file to write.  [default: FOLDER's name + .toml]",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def protocol(data: Path, out: Path | None, force: bool) -> None:
    """Write a commented protocol whose Q1/Q2/Q3 split fits the photos found in FOLDER."""
    from ..files import write_atomic
    from ..plugin.errors import RequestError
    from ..protocol import propose

    proposal = propose.propose(data)
    file = out or Path(f"{proposal.name}.toml")
    if file.exists() and not force:
        raise RequestError(f"{file} is there already; name another with --out, or replace it with --force")
    write_atomic(file, proposal.toml.encode())
    click.echo(f"{file}: {proposal.summary}")
    click.echo(f"next: mia-bench train --protocol {file} && mia-bench run --protocol {file} --defense topk{proposal.k}")
