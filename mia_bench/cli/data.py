"""``mia-bench data``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..protocol.prepare import Preparation


@click.group()
def data() -> None:
    """Make photos ready for a protocol."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the faces go: FOLDER/PERSON/PHOTO.png.",
)
@click.option(
    "--size", type=click.IntRange(8), default=64, show_default=True, metavar="N", help="Height and width of a face."
)
@click.option(
    "--min-face",
    type=click.IntRange(20),
    default=40,
    show_default=True,
    metavar="N",
    help="Drop faces with fewer pixels a side in the photo.",
)
@click.option(
    "--min-photos",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Drop people with fewer faces.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: one a core]")
def prepare(source: Path, out: Path, size: int, min_face: int, min_photos: int, workers: int | None) -> None:
    """Cut the frontal faces out of the photos in SOURCE, grey, as the paper prepared VGGFace2.

    SOURCE has one folder per person, or VGGFace2's train and test folders with these inside. The same command again
    goes on where it was.
    """
    from ..protocol.prepare import MANIFEST, Settings, begin

    preparation = begin(source, out, Settings(size, min_face, min_photos))
    _execute(preparation, workers or os.cpu_count() or 1)
    manifest = preparation.finish()
    people, photos = manifest["people"], manifest["photos"]
    place = f" ({' and '.join(manifest['parts'])})" if manifest["parts"] else ""
    click.echo(f"{out}: {photos['faces']:,} faces of {people['kept']:,} people, {size}x{size}, grey")
    click.echo(f"from {source}{place}: {photos['photos']:,} photos of {people['found']:,} people")
    click.echo(
        f"dropped: {photos['no_frontal_face']:,} without a frontal face large enough, {photos['too_small']:,} smaller "
        f"than {min_face} pixels, {photos['undecodable']:,} that cannot be decoded, "
        f"{photos['of_people_dropped']:,} of people with fewer than {min_photos} faces ({people['dropped']:,} people)"
    )
    click.echo(
        f"kept: {photos['several_faces']:,} from photos with several faces (the one nearest the centre), "
        f"{photos['enlarged']:,} enlarged to {size} pixels"
    )
    click.echo(f"details: {out / MANIFEST}")


def _execute(preparation: "Preparation", workers: int) -> None:
    """Do the people pending, with a bar on stderr: people done, photos a second, time left."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    pending, people = len(preparation.pending()), len(preparation.source.people)
    if pending < people:
        console.print(f"{people - pending:,} of {people:,} people are done already")
    start = told = now = time.monotonic()
    photos, rate = 0, 0.0
    with Progress(
        TextColumn("preparing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("people, {task.fields[rate]:,.0f} photos/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task("", total=pending, rate=rate)
        for done, tally in enumerate(preparation.execute(workers), 1):
            now = time.monotonic()
            photos += tally.photos
            rate = photos / (now - start)
            progress.update(bar, completed=done, rate=rate)
            if not console.is_terminal and now - told > 60:
                told = now
                left = (now - start) / done * (pending - done) / 60
                console.print(f"{done:,} of {pending:,} people, {rate:,.0f} photos/s, {left:,.0f} min left")
    if pending:
        console.print(f"{photos:,} photos in {now - start:,.0f} s, {rate:,.0f} photos/s")
