"""Executes one cell: attempt, judgement, record."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..plugin.engine import Engine
from ..plugin.errors import ComponentError, RequestError, told
from ..plugin.seeds import derive
from ..records import environment
from ..records.attempt import Attempt
from ..records.judgement import Judgement
from ..records.record import Record
from .attempting import Shared, attempt
from .cell import Cell, Settings
from .judging import judge
from .laboratory import Laboratory
from .sandbox import undisturbed
from .watcher import Watcher


@dataclass(frozen=True)
class Outcome:
    """What a cell sends back to whoever drives the run: no shared file system is assumed."""

    record: Record
    attempt: bytes
    """As safetensors; empty where nothing was attempted now."""


class Worker:
    """Executes cells, keeping the laboratory of a protocol between them."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._labs: dict[tuple[object, ...], Laboratory] = {}
        self._environments: dict[str, dict[str, Any]] = {}
        self._shared: Shared = {}

    def execute(self, cell: Cell) -> Outcome:
        """One cell, whatever happens: an attack, defense or target that fails gives a record that says so."""

        def attempted(lab: Laboratory) -> Attempt | str:
            return cell.mismatch() or attempt(cell, lab, self._watcher, self._shared)

        return self._recorded(cell, attempted)

    def judge(self, cell: Cell, made: Attempt) -> Outcome:
        """One cell from the attempt that it left: nothing is attacked, and the target is not asked."""
        return self._recorded(cell, lambda lab: made, kept=True)

    def _recorded(self, cell: Cell, make: Callable[[Laboratory], Attempt | str], kept: bool = False) -> Outcome:
        started = time.perf_counter()
        status, reason, results, content = "ok", "", None, b""
        with undisturbed(derive(cell.settings.seed, "global")):
            lab = self._laboratory(cell.settings)
            _obtain(cell.settings, lab)
            try:
                made = make(lab)
                if isinstance(made, str):
                    status, reason = "skipped", made
                else:
                    content = b"" if kept else made.dump()  # before it is judged: what was attacked is not lost
                    results = self._judged(cell, lab, made)
            except ComponentError as error:
                status, reason = "error", str(error)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may fail, or try to end things, in any way; other cells go on
                status, reason = "error", _reason(cell, error)
        record = Record(
            cell_id=cell.cell_id,
            request=cell.request,
            status=status,  # type: ignore[arg-type]
            reason=" ".join(reason.split()),
            results=results,
            wall_s=round(time.perf_counter() - started, 3),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=self._environments[cell.settings.device],
        )
        return Outcome(record, content)

    def _judged(self, cell: Cell, lab: Laboratory, made: Attempt) -> Judgement:
        return judge(made, cell.request, cell.settings.terms, lab, cell.defense.training)

    def _laboratory(self, settings: Settings) -> Laboratory:
        key = (settings.protocol.sha256, settings.device, tuple(one.spec for one in settings.evaluators))
        if key not in self._labs:
            engine = Engine.on(settings.device)
            self._labs[key] = Laboratory(settings.protocol, engine, self._watcher.working, settings.evaluators)
            self._environments[settings.device] = environment.describe(engine)  # before the run writes anything
        return self._labs[key]


def _obtain(settings: Settings, lab: Laboratory) -> None:
    """The networks that every cell of a run needs: pinned weights that are not the protocol's end the run, with a
    RequestError, for nothing could be measured."""
    wanted = {settings.generator, "evaluator", "null", *(["target"] if settings.target.trains else [])}
    for fold in settings.folds:
        for role in lab.roles:
            if role.by is not None or role.name in wanted:
                lab.trained(role, fold)


def _reason(cell: Cell, error: BaseException) -> str:
    """What failed, and where; a RequestError of ours says itself what to mend."""
    if isinstance(error, RequestError) and type(error).__module__.startswith("mia_bench."):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"attack {cell.attack.spec} against {cell.defense.spec}: {told(error)}{where}"
