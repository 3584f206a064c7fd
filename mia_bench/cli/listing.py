"""``mia-bench list``."""

from pathlib import Path

import click

from . import options


@click.command("list")
@options.plugins("Also what this Python file defines.")
def list_(plugins: tuple[Path, ...]) -> None:
    """List plugins, protocols and suites; a plugin that does not load shows its error."""
    from rich.markup import escape
    from rich.table import Table

    from ..bench.registry import KINDS, Registry
    from ..protocol import model as protocols
    from ..protocol import suite as suites
    from ..protocol.model import Protocol
    from ..protocol.suite import Suite
    from .output import stdout

    console = stdout()
    registry = Registry(plugins)
    for kind in KINDS:
        table = Table(title=f"{kind}s", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("name", "from", "parameters", "what it is"):
            table.add_column(column)
        for entry in registry.entries(kind):
            if entry.component is None:
                table.add_row(
                    escape(entry.name), escape(entry.origin), "", f"[red]does not load: {escape(entry.error)}[/]"
                )
                continue
            parameters = ", ".join(
                key if field.is_required() else f"{key}={field.get_default()}"
                for key, field in entry.component.model_fields.items()
            )
            table.add_row(
                escape(entry.name),
                escape(entry.origin),
                escape(parameters),
                escape(f"{entry.summary} {entry.missing}".rstrip()),
            )
        console.print(table, "")
    built_in: dict[str, list[Protocol] | list[Suite]] = {
        "protocols": [protocols.load(name) for name in protocols.built_in()],
        "suites": [suites.load(name) for name in suites.built_in()],
    }
    for title, found in built_in.items():
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("name", "version", "what it is"):
            table.add_column(column)
        for one in found:
            table.add_row(one.name, str(one.version), escape(one.about))
        console.print(table, "")
