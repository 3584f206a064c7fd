"""The gallery: training photos beside reconstructions, one row an identity (the paper's Fig. 8)."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..data import split as splits
from ..errors import RequestError
from ..files import write_atomic
from ..protocol import Protocol
from ..record import Record

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
    done = [record for record in records if record.status == "ok" and (folder / _tensors(record)).exists()]
    if not done:
        return None
    found = {record.cell_id: _load(folder / _tensors(record)) for record in done}
    rows: list[tuple[str, list[list[Tensor]]]] = []
    for fold in done[0].folds:
        split = splits.make(protocol, fold)
        for place, identity in enumerate(split.targets[: done[0].identities]):
            columns = [list(split.q2.of(identity)[:shown])]
            for record in done:
                images = _images(found[record.cell_id], fold, record, protocol)
                first = place * record.trials
                columns.append(list(images[first : first + min(shown, record.trials)]))
            rows.append((f"{fold}/{identity}", columns))
    heads = ["Q2 photos", *(f"{record.defense}\n{record.attack}" for record in done)]
    file = folder / name
    write_atomic(file, _png(heads, rows, protocol.data.image, shown))
    return file


def _load(file: Path) -> dict[str, Tensor]:
    try:
        return load(file.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RequestError(f"{file} cannot be read ({error}); run it again with --fresh") from None


def _tensors(record: Record) -> str:
    return f"{record.cell_id}.safetensors"


def _images(found: Mapping[str, Tensor], fold: str, record: Record, protocol: Protocol) -> Tensor:
    images = found.get(f"{fold}.images")
    expected = (record.identities * record.trials, 1, *protocol.data.image)
    if images is None or tuple(images.shape) != expected:
        raise RequestError(f"{_tensors(record)} does not belong to its record; run it again with --fresh")
    return images


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
                pixels = (face.squeeze(0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
                tile = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
                canvas.paste(tile, (LEFT + column * block + place * (width + 2), top))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
