"""The gallery: training photos beside reconstructions, one row an identity (the paper's Fig. 8)."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..files import write_atomic
from ..protocol import split as splits
from ..protocol.images import picture
from ..protocol.model import Protocol
from ..records import attempt as attempts
from ..records.record import Record

SCALE = 2
GAP = 6
TOP = 46
LEFT = 90
SHOWN = 2
"""Photos, and reconstructions of each cell, per identity."""


def write(
    records: Sequence[Record], protocol: Protocol, folder: Path, name: str = "gallery.png", shown: int = SHOWN
) -> Path | None:
    """Write a picture of a run's finished cells beside its records; None where there is nothing to show.

    ``shown`` photos, and reconstructions of each cell, stand in an identity's row.
    """
    done = [r for r in records if r.status == "ok" and attempts.file_of(r.request.attempt_id, folder).exists()]
    if not done:
        return None
    found = [attempts.reconstructions(record.request, protocol.data.image, folder) for record in done]
    rows: list[tuple[str, list[list[Tensor]]]] = []
    for fold in done[0].folds:
        split = splits.make(protocol, fold)
        for place, identity in enumerate(split.targets[: done[0].identities]):
            columns = [list(split.q2.of(identity)[:shown])]
            columns += [list(images[fold][place, :shown]) for images in found]
            rows.append((f"{fold}/{identity}", columns))
    heads = ["Q2 photos", *(f"{record.defense}\n{record.attack}" for record in done)]
    file = folder / name
    write_atomic(file, _png(heads, rows, protocol.data.image, shown))
    return file


def _png(heads: list[str], rows: list[tuple[str, list[list[Tensor]]]], image: tuple[int, int], shown: int) -> bytes:
    height, width = image[0] * SCALE, image[1] * SCALE
    block = shown * (width + 2) + GAP
    block = max(block, 8 * max(len(line) for head in heads for line in head.split("\n")))
    canvas = Image.new("L", (LEFT + block * len(heads), TOP + (height + GAP) * len(rows)), 255)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for column, head in enumerate(heads):
        draw.multiline_text((LEFT + column * block, 8), head, fill=0, font=font)
    for line, (name, columns) in enumerate(rows):
        top = TOP + line * (height + GAP)
        draw.text((6, top + height // 2 - 8), name[:14], fill=0, font=font)
        for column, images in enumerate(columns):
            for place, face in enumerate(images):
                tile = picture(face).resize((width, height), Image.Resampling.NEAREST)
                canvas.paste(tile, (LEFT + column * block + place * (width + 2), top))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
