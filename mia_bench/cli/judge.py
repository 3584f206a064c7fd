"""``mia-bench judge``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import options

T = TypeVar("T")


@click.command()
@click.argument("folder", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Somebody's reconstructions instead of a run: a folder per person with pictures inside, or a safetensors file "
    "with images, labels and, in its metadata, people.",
)
@click.option(
    "--evaluator",
    "-e",
    "evaluators",
    multiple=True,
    metavar="SPEC",
    help="Who judges besides the protocol's evaluators, e.g. face-embedder. Repeatable.",
)
@click.option(
    "--protocol",
    "-p",
    metavar="NAME|FILE",
    help="What RUN was made with, or the images are to be judged by.  [default: the built-in one that RUN names; orl]",
)
@options.data
@options.device
@click.option(
    "--battery", is_flag=True, help="Print whether each evaluator sees faces: what real photos, changed, make it say."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@options.plugins("Python file with evaluators, or with RUN's defenses.")
def judge(
    folder: Path | None,
    images: Path | None,
    evaluators: tuple[str, ...],
    protocol: str | None,
    data: Path | None,
    device: str,
    battery: bool,
    as_json: bool,
    plugins: tuple[Path, ...],
) -> None:
    """Judge a finished RUN again, or somebody else's reconstructions, without asking any target.

    RUN is a folder of records; the attempts beside them are judged by the protocol's evaluators and those given, and
    its records are written anew. The next 'mia-bench run' there goes back to the protocol's own.
    """
    import json

    from ..plugin.errors import RequestError
    from ..records import record as records

    if sum((folder is not None, images is not None, battery)) != 1:
        raise RequestError("give either the folder of a RUN, or --images, or --battery")
    found = records.read_folder(folder) if folder is not None else []
    name = protocol or (found[0].protocol.name if found else "orl")

    from ..bench import planning
    from ..bench.judging import Terms, examine
    from ..bench.laboratory import Laboratory, evaluators_of
    from ..bench.registry import Registry
    from ..bench.rejudging import judge_again, judge_submission, read_submission, scopes_of
    from ..plugin.engine import Engine
    from .output import print_json, stdout
    from .progress import Bars

    loaded, registry = planning.open_protocol(name, data), Registry(plugins)
    others = [registry.evaluator(spec) for spec in evaluators]
    everyone = {one.spec: one for one in (*evaluators_of(loaded, registry), *others)}
    for one in others:
        if one.missing():
            raise RequestError(f"evaluator {one.spec}: {one.missing()}")
    terms = Terms(loaded, tuple(everyone.values()), registry.attack(loaded.run.null_attack))
    if battery:
        with Bars(0) as bars:
            lab = Laboratory(loaded, Engine.on(planning.device_of(device)), bars.working, terms.evaluators)
            fitness = _judged(lambda: examine(lab, scopes_of(lab, terms)))
        report = {"battery": fitness.battery, "unfit": fitness.unfit}
        click.echo(json.dumps(report, indent=1)) if as_json else _print_battery(report, loaded.name)
        return
    submission = read_submission(images, loaded) if images is not None else None
    with Bars(len(found)) as bars:
        lab = Laboratory(loaded, Engine.on(planning.device_of(device)), bars.working, terms.evaluators)
        if submission is not None:
            said = _judged(lambda: judge_submission(submission, terms, lab))
        else:
            assert folder is not None
            judged = _judged(lambda: list(judge_again(found, folder, terms, lab, registry)))
    if submission is not None:
        click.echo(json.dumps(said, indent=1)) if as_json else _print(said, loaded.name)
    elif as_json:
        print_json(judged)
    else:
        from ..board.terminal import print_records

        print_records(judged, stdout())


def _judged(judge: Callable[[], T]) -> T:
    """What is judged; an evaluator that fails is told in one line."""
    from ..plugin.errors import ComponentError, RequestError

    try:
        return judge()
    except ComponentError as error:
        raise RequestError(str(error)) from error


def _print(said: dict[str, Any], protocol: str) -> None:
    """A submission's figures as a table."""
    from rich.markup import escape
    from rich.table import Table

    from .output import stdout

    def percent(share: float) -> str:
        return f"{100 * share:.1f}%"

    people = len(said["per_identity"])
    table = Table(
        title=f"{said['images']} reconstructions of {people} people, protocol {protocol}", title_justify="left"
    )
    for column in ("evaluator", "top-1 [95% CI]", "seeds", "null", "D(E(photo))", "real photos"):
        table.add_column(column, justify="left" if column == "evaluator" else "right")
    for name, own in said["evaluators"].items():
        low, high = own["top1"]["ci95"]
        shown = f"{percent(own['top1']['share'])} [{100 * low:.1f}, {100 * high:.1f}]"
        controls = [percent(own[kind]) for kind in ("floor", "null", "ceiling", "real_top1")]
        table.add_row(escape(name), shown, *controls)
    stdout().print(table)


def _print_battery(said: dict[str, Any], protocol: str) -> None:
    """Each evaluator's battery, a row a test, and what it fails."""
    from rich.markup import escape
    from rich.table import Table

    from ..bench.battery import TESTS
    from .output import stdout

    table = Table(
        title=escape(f"protocol {protocol}: photos, changed, whose person is put first"), title_justify="left"
    )
    table.add_column("test")
    table.add_column("what is shown")
    for name in said["battery"]:
        table.add_column(escape(name), justify="right")
    for test in TESTS:
        shares = [f"{100 * own[test.name]:.1f}%" for own in said["battery"].values()]
        table.add_row(test.name, test.what, *shares)
    console = stdout()
    console.print(table)
    for name in said["battery"]:
        reason = said["unfit"].get(name)
        console.print(f"{name}: {'fails; ' + reason if reason else 'passes'}", markup=False, highlight=False)
