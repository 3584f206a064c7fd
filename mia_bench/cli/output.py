"""What goes to stdout."""

import json
from collections.abc import Sequence

import click
from rich.console import Console

from ..records.record import Record

PLAIN_WIDTH = 170
"""Columns where stdout is no terminal: wide enough that no table wraps."""


def stdout() -> Console:
    """A console on stdout."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def print_json(records: Sequence[Record]) -> None:
    """The records as one JSON list."""
    click.echo(json.dumps([record.flat() for record in records], indent=1))
