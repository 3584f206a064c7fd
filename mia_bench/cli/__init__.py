"""The command line. Data goes to stdout, progress and errors to stderr.

Exit status: 0 all cells ok, 1 some cell failed, 2 the request was wrong, 130 interrupted. May import all
the rest; nothing imports it. torch is imported only where something is computed.
"""

import difflib
import os
import sys

import click

from ..plugin.errors import RequestError
from .data import data
from .judge import judge
from .leaderboard import leaderboard
from .listing import list_
from .new import new
from .paper import paper
from .run import run
from .show import show
from .survey import survey
from .train import train


class Commands(click.Group):
    """A group that guesses what a mistyped command meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mia-bench")
def cli() -> None:
    """How well does a face-recognition service resist model inversion?

    Attacks a recogniser with and without a defense, has independent recognisers judge the reconstructed faces, counts
    every query, and prints what the defense bought. For measuring and improving your own system.
    """


for command in (run, show, judge, list_, train, new, data, leaderboard, paper, survey):
    cli.add_command(command)


def main() -> None:
    """Entry point: every wrong request is one line on stderr."""
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except (RequestError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        if message:
            click.echo(f"mia-bench: {' '.join(message.split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("mia-bench: interrupted; what is finished is kept, the same command goes on from there", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output left, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        click.echo(f"mia-bench: {error.filename or 'input/output'}: {error.strerror or error}", err=True)
        sys.exit(2)
    sys.exit(status or 0)
