"""From a cell to an attempt: the attack is made, the ledger kept, and the service asked what else there is to know."""

import copy
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from ..plugin.access import Access
from ..plugin.attack import checked
from ..plugin.errors import ComponentError
from ..plugin.seeds import derive, rng
from ..plugin.target import ModuleRecogniser
from ..records.attempt import Attempt, Facts, FoldAttempt
from ..records.figures import Probes, Queries
from . import utility
from .cell import Cell
from .laboratory import Laboratory
from .offers import Offers
from .oracle import Ledger, open_oracle
from .probes import probe
from .sandbox import undisturbed
from .scene import Scene, scene
from .watcher import Watcher

PROBED = 100
"""Latents a fold at most: half the seeds of trials, half the codes of real photos."""

Shared = dict[tuple[object, ...], tuple[FoldAttempt, Ledger]]
"""What attacks that never asked a defended service have left: every defense that trains nothing shares it."""


def attempt(cell: Cell, lab: Laboratory, watcher: Watcher, shared: Shared) -> Attempt:
    """All folds of a cell attacked. Whatever a plugin raises comes out as it is."""
    s = cell.settings
    budgets = curve(s.budgets)
    watcher.cell_started(cell, len(s.folds) * s.identities * s.trials)
    folds: dict[str, FoldAttempt] = {}
    ledgers, useful, probed = [], [], []
    for fold in s.folds:
        with undisturbed(derive(s.seed, fold, "global", "scene")):
            stage = scene(cell, fold, lab)
        services = [stage.service("defense")]
        if not stage.steady:
            services = [stage.service("defense", number) for number in range(s.trials)]
        key = (fold, cell.defense.access, _asked(cell))
        if key in shared:
            watcher.finished(len(stage.trials))
            folds[fold], ledger = shared[key]
        else:
            with undisturbed(derive(s.seed, fold, "global", "attack")):
                folds[fold], ledger = _attack(cell, stage, services, budgets, watcher)
            if not ledger.defended:
                shared[key] = folds[fold], ledger
        ledgers.append(ledger)
        with undisturbed(derive(s.seed, fold, "global", "after")):
            # honest users come to the service that was attacked, where it may remember what others did
            meets = stage.service("utility") if stage.steady or not ledger.defended else services[0]
            recogniser, unseen = stage.recogniser(), stage.split.q2_test.copied()
            useful.append(utility.measure(meets, stage.service("cost"), recogniser, unseen, ledger.accounts))
            seen = stage.generator.encode(stage.split.q2_test.images)[: PROBED // 2]
            latents = torch.cat([stage.trials.z0[: PROBED // 2], seen])
            draw = rng(s.seed, fold, "probing")
            asked = (stage.service("probes"), recogniser.scores, stage.generator, stage.codes, latents)
            probed.append(probe(*asked, cell.defense.access, draw))
    facts = Facts(
        attempt_id=cell.request.attempt_id,
        budgets=budgets,
        queries=_queries(ledgers, s.budget),
        utility=utility.mean(useful),
        probes=_probes(probed),
    )
    return Attempt(facts, folds)


def curve(budgets: tuple[int, ...]) -> tuple[int, ...]:
    """Where success against budget is measured: 10, 20, 50, 100, ... images a trial, and the given budgets."""
    grid = {digit * 10**power for power in range(1, 9) for digit in (1, 2, 5)}
    return tuple(sorted({budget for budget in grid if budget < budgets[-1]} | set(budgets)))


def _asked(cell: Cell) -> str:
    """What an attack that asks no defended service depends on: the request, without defenses that only wrap."""
    request = cell.request.model_copy(update={"defense": "", "stages": _training(cell), "suite": "", "development": 0})
    return request.attempt_id


def _training(cell: Cell) -> tuple[object, ...]:
    """The stage that trains, as the request has it."""
    stages = zip(cell.defense.stages, cell.request.stages, strict=True)
    return tuple(named for stage, named in stages if stage is cell.defense.training)


def _attack(
    cell: Cell, stage: Scene, services: Sequence[object], budgets: tuple[int, ...], watcher: Watcher
) -> tuple[FoldAttempt, Ledger]:
    s, image = cell.settings, cell.settings.protocol.data.image
    recogniser = stage.recogniser()
    offers = Offers(budgets, stage.generator.decode(stage.trials.z0))
    oracle, ledger = open_oracle(
        services,  # type: ignore[arg-type]
        recogniser.logits if isinstance(recogniser, ModuleRecogniser) else None,
        access=cell.attack.access,
        leaves=cell.defense.access,
        replicate=stage.trials.replicate,
        budgets=s.budgets,
        image=image,
        offers=offers,
        on_query=watcher.queried,
        on_finish=watcher.finished,
    )
    answer = cell.attack.renewed().run(oracle, copy.deepcopy(stage.generator), stage.trials.copied())
    found = checked(answer, stage.trials, image, cell.attack)
    spent = ledger.per_trial
    if bool((spent > s.budget).any()) or bool((spent < 0).any()) or bool((ledger.refused > spent).any()):
        raise ComponentError(f"attack {cell.attack.spec} left a ledger that cannot be: {int(spent.max())} images")
    if cell.attack.access is not Access.WHITE_BOX and int(spent.sum()) != ledger.defended:
        raise ComponentError(f"attack {cell.attack.spec} had {int(spent.sum())} images, answered {ledger.defended}")
    scores = recogniser.scores(found.images)
    labels = stage.trials.labels
    return (
        FoldAttempt(
            offered=offers.final(found.images, spent),
            images=found.images.cpu(),
            converged=found.converged.cpu(),
            queries=spent,
            target_score=scores.gather(1, labels.unsqueeze(1)).squeeze(1).cpu(),
            target_top1=(scores.argmax(1) == labels).cpu(),
        ),
        ledger,
    )


def _queries(ledgers: Sequence[Ledger], budget: int) -> Queries:
    queries = torch.cat([ledger.per_trial for ledger in ledgers]).double()
    by_phase: Counter[str] = sum((Counter(ledger.by_phase) for ledger in ledgers), Counter())
    return Queries(
        mean=round(float(queries.mean()), 3),
        median=float(queries.quantile(0.5)),
        total=int(queries.sum()),
        budget=budget,
        by_phase=dict(by_phase),
        refused=sum(int(ledger.refused.sum()) for ledger in ledgers),
        accounts=sum(ledger.accounts for ledger in ledgers),
    )


def _probes(folds: Sequence[Probes]) -> Probes:
    """The means over folds; an agreement that some fold could not probe is left out."""
    agreements = [fold.agreement for fold in folds if fold.agreement is not None]
    return Probes(
        unrepeatable=_mean([fold.unrepeatable for fold in folds]),
        flat=_mean([fold.flat for fold in folds]),
        agreement=_mean(agreements) if agreements else None,
        refused=_mean([fold.refused for fold in folds]),
    )


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
