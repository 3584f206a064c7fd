"""Runs cells: resumes what is done, executes the rest, writes each record whole."""

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from . import environment, record, scoring
from .access import Access
from .core.attack import Attack, checked
from .core.component import Component
from .core.defense import Pipeline
from .core.engine import Engine
from .core.oracle import Oracle
from .core.seeds import rng
from .core.target import Target
from .errors import ComponentError, RequestError
from .files import write_atomic
from .laboratory import Laboratory, OnTraining
from .protocol import Protocol as Experiment
from .record import AttackAccuracy, EvaluatorAccuracy, IdentityRow, ProtocolId, Queries, Record, Utility
from .stats import mean_interval

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """What an executor gives for a submitted cell; ``concurrent.futures.Future`` is one."""

    def result(self) -> T_co:
        """Wait for the answer, or raise what the call raised."""
        ...


class Executor(Protocol):
    """Where cells run. All cells of a run are submitted, then awaited in order."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> Job[T]:
        """Arrange for call(*arguments) to run."""
        ...


@dataclass(frozen=True)
class Deferred(Generic[T]):
    """A call made when its result is asked for."""

    call: Callable[[], T]

    def result(self) -> T:
        """The call's answer."""
        return self.call()


class InProcess:
    """Runs each cell here, when its turn comes."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> Deferred[T]:
        """call(*arguments), later."""
        return Deferred(lambda: call(*arguments))


@dataclass(frozen=True)
class Settings:
    """What all cells of a run share."""

    protocol: Experiment
    target: Target
    folds: tuple[str, ...]
    identities: int
    """Attacked in each fold: the first so many of its targets."""
    trials: int
    budget: int
    seed: int
    device: str


@dataclass(frozen=True)
class Cell:
    """One attack against one defense under the run's settings, on every chosen fold."""

    settings: Settings
    defense: Pipeline
    attack: Attack

    @property
    def cell_id(self) -> str:
        """Content hash of all that decides the outcome."""
        s = self.settings
        components: list[Component] = [s.target, *self.defense.stages, self.attack]
        content = {
            "schema": record.SCHEMA,
            "protocol": s.protocol.sha256,
            "specs": [s.target.spec, self.defense.spec, self.attack.spec],
            "parameters": self.parameters,
            "sources": [component.source_sha256 for component in components],
            "target": s.target.fingerprint(s.folds),
            "run": [s.folds, s.identities, s.trials, s.budget, s.seed],
            "device": torch.device(s.device).type,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter in force, defaults included."""
        return {
            "target": self.settings.target.parameters,
            "defense": [{"name": stage.name, **stage.parameters} for stage in self.defense.stages],
            "attack": self.attack.parameters,
        }

    def mismatch(self) -> str:
        """Why this pair makes no sense, or ''. Such a cell is recorded as skipped."""
        needs, granted = self.attack.access, self.settings.target.access
        if not granted.includes(needs):
            return (
                f"attack {self.attack.name} needs {needs} access; target {self.settings.target.name} grants {granted}"
            )
        if needs is not Access.WHITE_BOX and not self.defense.access.includes(needs):
            return f"attack {self.attack.name} needs {needs}; defense {self.defense.spec} leaves {self.defense.access}"
        return ""


class Watcher:
    """Told what a run does; the default looks away. The command line draws progress bars with it."""

    def cell_started(self, cell: Cell, trials: int) -> None:
        """A cell begins; ``trials`` over all its folds."""

    def queried(self, images: int) -> None:
        """So many images reached the target."""

    def finished(self, trials: int) -> None:
        """So many trials are over."""

    def cell_done(self, cell: Cell, result: Record, resumed: bool) -> None:
        """A cell has its record, from now or (``resumed``) from before."""

    def training(self, what: str, step: int, steps: int) -> None:
        """A network without weights is being trained."""


@dataclass(frozen=True)
class Outcome:
    """What a cell sends back to whoever drives the run: no shared file system is assumed."""

    result: Record
    tensors: bytes
    """Reconstructions as safetensors; empty where there are none."""


def run(
    cells: Sequence[Cell],
    out: Path,
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
) -> Iterator[Record]:
    """The record of each cell in order; those already in ``out`` are not run again unless ``fresh``."""
    watcher = watcher or Watcher()
    worker = Worker(watcher if executor is None else Watcher())  # progress cannot be watched from elsewhere
    executor = executor or InProcess()
    existing = [None if fresh else finished_record(cell, out) for cell in cells]
    jobs = [
        executor.submit(worker.execute, cell) if done is None else None
        for cell, done in zip(cells, existing, strict=True)
    ]
    for cell, done, job in zip(cells, existing, jobs, strict=True):
        if done is not None:
            watcher.cell_done(cell, done, True)
            yield done
        if job is None:
            continue
        outcome = job.result()
        if outcome.tensors:
            write_atomic(out / f"{cell.cell_id}.safetensors", outcome.tensors)
        record.write(outcome.result, out)  # last: the record says that the cell is done
        watcher.cell_done(cell, outcome.result, False)
        yield outcome.result


def finished_record(cell: Cell, out: Path) -> Record | None:
    """The cell's record if it is there and did not fail: what failed is tried again."""
    file = out / f"{cell.cell_id}.json"
    if not file.exists():
        return None
    existing = record.read(file)
    return None if existing.status == "error" else existing


class Worker:
    """Executes cells, keeping the laboratory of a protocol between them."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._labs: dict[tuple[str, str], Laboratory] = {}
        self._environments: dict[str, dict[str, Any]] = {}

    def execute(self, cell: Cell) -> Outcome:
        """One cell, whatever happens: an attack, defense or target that fails gives a record that says so."""
        started = time.perf_counter()
        lab = self._laboratory(cell.settings, self._watcher.training)
        results: dict[str, Any] = {}
        tensors = b""
        reason = cell.mismatch()
        status = "skipped" if reason else "ok"
        if not reason:
            try:
                results, tensors = self._attack(cell, lab)
            except RequestError:
                raise
            except ComponentError as error:
                status, reason = "error", str(error)
            except Exception as error:  # a plugin may fail in any way; the other cells go on
                where = traceback.extract_tb(error.__traceback__)[-1]
                status = "error"
                reason = (
                    f"attack {cell.attack.spec} against {cell.defense.spec}: {type(error).__name__}: {error} "
                    f"({Path(where.filename).name}:{where.lineno})"
                )
        s = cell.settings
        return Outcome(
            Record(
                cell_id=cell.cell_id,
                status=status,  # type: ignore[arg-type]
                reason=" ".join(reason.split()),
                protocol=ProtocolId(name=s.protocol.name, version=s.protocol.version, sha256=s.protocol.sha256),
                folds=s.folds,
                target=s.target.spec,
                defense=cell.defense.spec,
                attack=cell.attack.spec,
                parameters=cell.parameters,
                access=cell.attack.access,
                seed=s.seed,
                trials=s.trials,
                identities=s.identities,
                budget=s.budget,
                wall_s=round(time.perf_counter() - started, 3),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                environment=self._environments[s.device],
                **results,
            ),
            tensors,
        )

    def _laboratory(self, settings: Settings, on_training: OnTraining) -> Laboratory:
        key = (settings.protocol.sha256, settings.device)
        if key not in self._labs:
            engine = Engine.on(settings.device)
            self._labs[key] = Laboratory(settings.protocol, engine, on_training)
            self._environments[settings.device] = environment.describe(engine)  # before the run writes anything
        return self._labs[key]

    def _attack(self, cell: Cell, lab: Laboratory) -> tuple[dict[str, Any], bytes]:
        """Result fields of the record, and the reconstructions."""
        s = cell.settings
        self._watcher.cell_started(cell, len(s.folds) * s.identities * s.trials)
        rows: list[IdentityRow] = []
        per_trial: list[Tensor] = []
        by_phase: dict[str, int] = {}
        tensors: dict[str, Tensor] = {}
        useful: list[tuple[float, float]] = []
        for fold in s.folds:
            split = lab.split(fold)
            identities = split.targets[: s.identities]
            trials = lab.trials(fold, identities, s.trials, s.seed)
            target = lab.target(fold, s.target)
            oracle = Oracle(
                target,
                cell.defense,
                access=cell.attack.access,
                trials=len(trials),
                budget=s.budget,
                rng=rng(s.seed, fold, "defense"),
                on_query=self._watcher.queried,
                on_finish=self._watcher.finished,
            )
            answer = cell.attack.run(oracle, lab.generator(fold), trials)
            found = checked(answer, trials, s.protocol.data.image, cell.attack)
            rows += scoring.judge(lab, fold, identities, trials, target, found, oracle.ledger)
            useful.append(scoring.utility(target, cell.defense, split.q2_test, rng(s.seed, fold, "utility")))
            per_trial.append(oracle.ledger.per_trial)
            for phase, count in oracle.ledger.by_phase.items():
                by_phase[phase] = by_phase.get(phase, 0) + count
            tensors[f"{fold}.images"] = found.images.cpu().contiguous()
        queries = torch.cat(per_trial).double()
        top1, top5 = _mean(rows, "top1"), _mean(rows, "top5")
        real = float(np.mean([scoring.real_accuracy(lab, fold) for fold in s.folds]))
        return {
            "attack_accuracy": AttackAccuracy(top1=top1, top5=top5, ci95=mean_interval([row.top1 for row in rows])),
            "evaluators": {record.HEADLINE: EvaluatorAccuracy(top1=top1, top5=top5, real_top1=round(real, 6))},
            "target_success": _mean(rows, "target_top1"),
            "floor": _mean(rows, "floor"),
            "ceiling": _mean(rows, "ceiling"),
            "utility": Utility(
                top1=round(float(np.mean([u[0] for u in useful])), 6),
                top5=round(float(np.mean([u[1] for u in useful])), 6),
            ),
            "queries": Queries(
                mean=round(float(queries.mean()), 3),
                median=float(queries.quantile(0.5)),
                total=int(queries.sum()),
                budget=s.budget,
                by_phase=by_phase,
            ),
            "per_identity": rows,
        }, save(tensors)


def _mean(rows: list[IdentityRow], field: str) -> float:
    return round(float(np.mean([getattr(row, field) for row in rows])), 6)
