"""What a run leaves beside its records: the gallery, and for a suite verdicts and figures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..board.verdict import as_json, verdicts, worth_seeing
from ..files import write_atomic
from ..plugin.errors import RequestError
from ..protocol.model import Protocol
from ..records.record import Record
from . import figures, gallery


@dataclass(frozen=True)
class Report:
    """Where it is."""

    gallery: Path | None
    """None where there is nothing to show."""
    folder: Path | None
    """With ``verdicts.json`` and the figures; None for a run without a suite."""
    figures: tuple[Path, ...]
    lacks: str
    """Why figures could not be drawn, or ''."""


def write(records: Sequence[Record], protocol: Protocol, folder: Path) -> Report:
    """Write them for a run's records in ``folder``: the gallery there, the rest in ``folder/report``."""
    drawn: list[Path] = []
    lacks, beside = "", None
    if records and records[0].suite:
        beside = folder / "report"
        found = [as_json(verdict) for verdict in verdicts(records)]
        write_atomic(beside / "verdicts.json", (json.dumps(found, indent=1) + "\n").encode())
        try:
            drawn = figures.write(records, beside)
        except RequestError as error:
            lacks = str(error)
    return Report(gallery.write(worth_seeing(records), protocol, folder), beside, tuple(drawn), lacks)
