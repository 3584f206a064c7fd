"""The reconstructions that a run left beside its records."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..plugin.errors import RequestError
from ..protocol.model import Protocol
from .record import Record


def file_of(record: Record, folder: Path) -> Path:
    """Where the run wrote a cell's reconstructions."""
    return folder / f"{record.cell_id}.safetensors"


def read(record: Record, protocol: Protocol, folder: Path) -> dict[str, Tensor]:
    """By fold: images (identities, trials, 1, H, W) float32 in [0, 1], identities as in the split's ``targets``.

    RequestError if the file is not there, damaged, or another cell's.
    """
    file = file_of(record, folder)
    try:
        found = load(file.read_bytes())
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"{file} cannot be read ({reason}); run it again with --fresh") from None
    shape = (1, *protocol.data.image)
    images = {}
    for fold in record.folds:
        flat = found.get(f"{fold}.images")
        if flat is None or tuple(flat.shape) != (record.identities * record.trials, *shape):
            raise RequestError(f"{file.name} does not belong to its record; run it again with --fresh")
        images[fold] = flat.reshape(record.identities, record.trials, *shape)
    return images
