"""Executes one cell: attack, judging, record."""

import copy
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ..plugin.attack import Reconstructions, Trials, checked
from ..plugin.engine import Engine
from ..plugin.errors import ComponentError, RequestError
from ..plugin.oracle import Ledger, Oracle
from ..plugin.seeds import rng
from ..records import environment
from ..records.record import (
    AttackAccuracy,
    IdentityRow,
    Point,
    Probes,
    ProtocolId,
    Queries,
    Record,
    Utility,
)
from ..records.stats import mean_interval
from . import controls, flags, scoring, utility
from .cell import Cell, Settings
from .laboratory import Laboratory, OnWork
from .offers import Offers
from .probes import Answers, probe
from .watcher import Watcher

PROBED = 100
"""Latents a fold at most: half the seeds of trials, half the codes of real photos."""


@dataclass(frozen=True)
class Attacked:
    """What an attack left of one fold."""

    found: Reconstructions
    offered: Tensor
    """(budgets of the curve, T, 1, H, W)."""
    ledger: Ledger


@dataclass(frozen=True)
class Outcome:
    """What a cell sends back to whoever drives the run: no shared file system is assumed."""

    result: Record
    tensors: bytes
    """Reconstructions as safetensors; empty where there are none."""


class Worker:
    """Executes cells, keeping the laboratory of a protocol between them."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._labs: dict[tuple[str, str], Laboratory] = {}
        self._environments: dict[str, dict[str, Any]] = {}
        self._undefended: dict[tuple[object, ...], Attacked] = {}

    def execute(self, cell: Cell) -> Outcome:
        """One cell, whatever happens: an attack, defense or target that fails gives a record that says so."""
        started = time.perf_counter()
        lab = self._laboratory(cell.settings, self._watcher.working)
        results: dict[str, Any] = {}
        tensors = b""
        status, reason = "ok", ""
        try:
            if reason := cell.mismatch():
                status = "skipped"
            else:
                results, tensors = self._attack(cell, lab)
        except RequestError:
            raise
        except ComponentError as error:
            status, reason = "error", str(error)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; the other cells go on
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
                generator=s.generator,
                defense=cell.defense.spec,
                attack=cell.attack.spec,
                parameters=cell.parameters,
                access=cell.attack.access,
                seed=s.seed,
                trials=s.trials,
                identities=s.identities,
                budget=s.budget,
                suite=s.suite,
                budgets=list(s.budgets),
                transfer=cell.attack.transfer,
                wall_s=round(time.perf_counter() - started, 3),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                environment=self._environments[s.device],
                **results,
            ),
            tensors,
        )

    def _laboratory(self, settings: Settings, on_work: OnWork) -> Laboratory:
        key = (settings.protocol.sha256, settings.device)
        if key not in self._labs:
            engine = Engine.on(settings.device)
            self._labs[key] = Laboratory(settings.protocol, engine, on_work, settings.evaluators)
            self._environments[settings.device] = environment.describe(engine)  # before the run writes anything
        return self._labs[key]

    def _attack(self, cell: Cell, lab: Laboratory) -> tuple[dict[str, Any], bytes]:
        """Result fields of the record, and the reconstructions."""
        s = cell.settings
        self._watcher.cell_started(cell, len(s.folds) * s.identities * s.trials)
        judged: list[scoring.Judged] = []
        ledgers: list[Ledger] = []
        probed: list[Answers] = []
        tensors: dict[str, Tensor] = {}
        useful: list[Utility] = []
        for fold in s.folds:
            split = lab.split(fold)
            identities = split.targets[: s.identities]
            generator = lab.generator(fold, s.generator)
            trials = lab.trials(fold, s.generator, identities, s.trials, s.seed)
            target = lab.target(fold, s.target)
            attacked = self._attacked(cell, lab, fold, trials)
            judged.append(
                scoring.judge(
                    lab,
                    fold,
                    identities,
                    controls.measure(lab, fold, s.generator, identities, s.trials, s.seed, s.null_attack),
                    trials,
                    target,
                    attacked.found,
                    attacked.offered,
                    attacked.ledger,
                    s.development,
                )
            )
            useful.append(
                utility.measure(target, copy.deepcopy(cell.defense), split.q2_test, rng(s.seed, fold, "utility"))
            )
            seen = generator.encode(split.q2_test.images)[: PROBED // 2]
            latents = torch.cat([trials.z0[: PROBED // 2], seen])
            codes = lab.codes(fold, s.generator)
            asked = copy.deepcopy(cell.defense)
            probed.append(probe(target, asked, generator, codes, latents, rng(s.seed, fold, "probes")))
            ledgers.append(attacked.ledger)
            tensors[f"{fold}.images"] = attacked.found.images.cpu().contiguous()
        queries = torch.cat([ledger.per_trial for ledger in ledgers]).double()
        by_phase: Counter[str] = sum((Counter(ledger.by_phase) for ledger in ledgers), Counter())
        refused = sum(ledger.refused for ledger in ledgers)
        probes = Probes(
            unrepeatable=round(float(np.mean([answers.unrepeatable for answers in probed])), 6),
            flat=round(float(np.mean([answers.flat for answers in probed])), 6),
        )
        rows = [row for fold in judged for row in fold.rows]
        top1, top5 = _mean(rows, "top1"), _mean(rows, "top5")
        return {
            "attack_accuracy": AttackAccuracy(top1=top1, top5=top5, ci95=mean_interval([row.top1 for row in rows])),
            "evaluators": scoring.evaluators(judged),
            "judges_left_out": lab.left_out,
            "majority": scoring.majority(judged),
            "target_success": _mean(rows, "target_top1"),
            "floor": _mean(rows, "floor"),
            "ceiling": _mean(rows, "ceiling"),
            "null": _mean(rows, "null"),
            "metrics": scoring.field(judged),
            "utility": utility.mean(useful),
            "queries": Queries(
                mean=round(float(queries.mean()), 3),
                median=float(queries.quantile(0.5)),
                total=int(queries.sum()),
                budget=s.budget,
                by_phase=dict(by_phase),
                refused=refused,
            ),
            "curve": [
                _point(budget, [row.curve[place] for row in rows]) for place, budget in enumerate(_curve(s.budgets))
            ],
            "per_identity": rows,
            "probes": probes,
            "flags": flags.of_cell(cell.attack.access, probes, refused, int(queries.sum())),
        }, save(tensors)

    def _attacked(self, cell: Cell, lab: Laboratory, fold: str, trials: Trials) -> Attacked:
        """The attack on one fold; done once for all defenses where it never asked the defended service."""
        s = cell.settings
        components = (s.target.spec, cell.attack.spec)
        key = (fold, s.protocol.sha256, s.device, s.generator, s.identities, s.trials, s.budgets, s.seed, components)
        if key in self._undefended:
            self._watcher.finished(len(trials))
            return self._undefended[key]
        generator = lab.generator(fold, s.generator)
        offers = Offers(_curve(s.budgets), generator.decode(trials.z0))
        oracle = Oracle(
            lab.target(fold, s.target),
            copy.deepcopy(cell.defense),  # so that what it remembers of callers ends with them
            access=cell.attack.access,
            trials=len(trials),
            budget=s.budget,
            rng=rng(s.seed, fold, "defense"),
            budgets=s.budgets,
            offers=offers,
            on_query=self._watcher.queried,
            on_finish=self._watcher.finished,
        )
        found = checked(cell.attack.run(oracle, generator, trials), trials, s.protocol.data.image, cell.attack)
        attacked = Attacked(found, offers.final(found.images, oracle.ledger.per_trial), oracle.ledger)
        if not oracle.defended:
            self._undefended[key] = attacked
        return attacked


def _curve(budgets: tuple[int, ...]) -> tuple[int, ...]:
    """Where success against budget is measured: 10, 20, 50, 100, ... images a trial, and the given budgets."""
    grid = {digit * 10**power for power in range(1, 9) for digit in (1, 2, 5)}
    return tuple(sorted({budget for budget in grid if budget < budgets[-1]} | set(budgets)))


def _point(budget: int, top1: list[float]) -> Point:
    return Point(budget=budget, top1=round(float(np.mean(top1)), 6), ci95=mean_interval(top1))


def _mean(rows: list[IdentityRow], field: str) -> float:
    return round(float(np.mean([getattr(row, field) for row in rows])), 6)
