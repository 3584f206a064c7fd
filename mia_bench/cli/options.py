"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

protocol = click.option(
    "--protocol",
    "-p",
    default="orl",
    show_default=True,
    metavar="NAME|FILE",
    help="Built-in protocol or your own TOML file.",
)
data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The photos of a protocol that brings none.  [default: $MIA_BENCH_PROTOCOL, e.g. MIA_BENCH_LFW]",
)
generator = click.option(
    "--generator", metavar="NAME", help="The attacker's D, e.g. vae or gan.  [default: the protocol's]"
)
seed = click.option("--seed", type=int, metavar="N", help="Seed of every trial.  [default: the protocol's]")
device = click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu or cuda.")
resume = click.option(
    "--resume/--fresh", default=True, show_default=True, help="Keep cells that are already done, or run all anew."
)


def plugins(what: str) -> Callable[[F], F]:
    """``--plugin``, whose help begins with what the file is for."""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"{what} Repeatable. It is executed: give only what you trust.",
    )
