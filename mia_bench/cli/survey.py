"""``mia-bench survey``."""

from pathlib import Path

import click

from . import options


@click.group()
def survey() -> None:
    """Ask people what they recognise: the paper's human study, as a page and its evaluation."""


@survey.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Where the survey goes.")
@click.option(
    "--protocol", "-p", metavar="NAME|FILE", help="What RUN was made with.  [default: the built-in one that it names]"
)
@options.data
@click.option("--generator", metavar="NAME", help="The D of the records to take.  [default: the only one there is]")
@click.option("--defense", "-d", default="none", show_default=True, metavar="SPEC", help="As its records spell it.")
@click.option(
    "--attack",
    "-a",
    "attacks",
    multiple=True,
    metavar="SPEC",
    help="As its record spells it. Repeatable.  [default: all]",
)
@click.option("--fold", metavar="NAME", help="Whose people are shown.  [default: the records' first]")
@click.option("--identities", default=5, show_default=True, metavar="N", help="People whose reconstructions are shown.")
@click.option("--trials", default=2, show_default=True, metavar="N", help="Reconstructions of each, by each attack.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Of what is chosen, and of the order.")
@click.option("--force", is_flag=True, help="Replace the survey that is in DIR.")
def build(
    run: Path,
    out: Path,
    protocol: str | None,
    data: Path | None,
    generator: str | None,
    defense: str,
    attacks: tuple[str, ...],
    fold: str | None,
    identities: int,
    trials: int,
    seed: int,
    force: bool,
) -> None:
    """Make a page that asks people about the reconstructions in RUN, a folder of records.

    Hand out index.html; keep key.json, which holds the truth. The page shows photos of real people.
    """
    from ..survey import build as surveys
    from ..survey.key import KEY, PAGE

    request = surveys.Request(run, protocol, data, generator, defense, attacks, fold, identities, trials, seed)
    key = surveys.build(request, out, force=force)
    click.echo(f"{out / PAGE}: build {key.build}, {len(key.questions)} questions, {len(key.faces)} faces")
    click.echo(f"{out / KEY}: the truth; keep it to yourself")
    click.echo(f"next: hand out the page, collect the answers, then mia-bench survey score {out} ANSWERS.json...")


@survey.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="ANSWERS.json...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead of tables.")
def score(folder: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Score the answers that participants saved against the key in DIR: the paper's Tables II and III."""
    from ..survey import answers, key
    from ..survey.report import print_scores
    from ..survey.score import score as score_answers
    from .output import stdout

    truth = key.read(folder)
    scores = score_answers(truth, answers.read(files, truth))
    if as_json:
        click.echo(scores.model_dump_json(by_alias=True, indent=1))
    else:
        print_scores(scores, stdout())
