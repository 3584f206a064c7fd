"""``mia-bench run``."""

from pathlib import Path

import click

from . import options


@click.command()
@click.option(
    "--defense",
    "-d",
    "defenses",
    multiple=True,
    metavar="SPEC",
    help="Defense to measure, e.g. topk5, round2, noise0.05, labelonly, topk5+round2. Repeatable; 'none' runs too.",
)
@click.option(
    "--attack",
    "-a",
    "attacks",
    multiple=True,
    metavar="SPEC",
    help="Attack, e.g. bb or bb:M=128. Repeatable.  [default: the protocol's]",
)
@click.option(
    "--suite",
    metavar="NAME|FILE",
    help="Measure the worst case over a suite of attacks, e.g. v1; attacks given with --attack are added to it.",
)
@options.protocol
@options.data
@click.option("--target", metavar="SPEC", help="Recogniser under attack.  [default: the protocol's]")
@options.generator
@click.option("--fold", "folds", multiple=True, metavar="NAME", help="Only this fold. Repeatable.  [default: all]")
@click.option("--identities", type=int, metavar="N", help="Attack only the first N identities of each fold.")
@click.option("--trials", type=int, metavar="N", help="Trials per identity.  [default: the protocol's]")
@click.option("--budget", type=int, metavar="N", help="Queries per trial.  [default: the protocol's]")
@options.seed
@options.device
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the records.  [default: runs/PROTOCOL]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as a JSON list instead of a table.")
@options.plugins("Python file that defines plugins of any kind.")
@options.resume
def run(
    defenses: tuple[str, ...],
    attacks: tuple[str, ...],
    suite: str | None,
    protocol: str,
    data: Path | None,
    target: str | None,
    generator: str | None,
    folds: tuple[str, ...],
    identities: int | None,
    trials: int | None,
    budget: int | None,
    seed: int | None,
    device: str,
    out: Path | None,
    as_json: bool,
    plugins: tuple[Path, ...],
    resume: bool,
) -> int:
    """Attack a recogniser with and without defenses and print what each defense bought."""
    from rich.console import Console

    from ..protocol import model as protocols

    protocols.load(protocol, data)  # before torch, which is slow to import: a wrong protocol is told at once

    from ..bench import planning
    from ..bench.registry import Registry
    from ..report import report
    from .output import print_json, stdout
    from .progress import Bars

    loaded = planning.open_protocol(protocol, data)
    cells = planning.plan(
        Registry(plugins),
        loaded,
        defenses=defenses,
        attacks=attacks,
        suite=suite,
        target=target,
        generator=generator,
        folds=folds,
        identities=identities,
        trials=trials,
        budget=budget,
        seed=seed,
        device=device,
    )
    folder = out or planning.default_out(loaded)
    with Bars(len(cells)) as bars:
        records = list(planning.execute(cells, folder, fresh=not resume, watcher=bars))
    left = report.write(records, loaded, folder)  # before anything is printed: whoever reads may leave
    if as_json:
        print_json(records)
    else:
        from ..board.terminal import print_records

        print_records(records, stdout())
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    if left.lacks:
        messages.print(f"no figures: {left.lacks}", markup=False)
    if left.folder:
        messages.print(f"verdicts{' and figures' if left.figures else ''}: {left.folder}", markup=False)
    messages.print(f"records: {folder}" + (f"  gallery: {left.gallery}" if left.gallery else ""), markup=False)
    return 1 if any(record.status == "error" for record in records) else 0
