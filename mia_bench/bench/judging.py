"""From an attempt to a judgement: what independent recognisers say of its images. The target is not asked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..plugin.attack import Attack
from ..plugin.defense import TrainedDefense
from ..plugin.evaluator import Evaluator, HasFeatures
from ..plugin.headline import HEADLINE
from ..plugin.seeds import derive, rng
from ..protocol.model import Protocol
from ..records.attempt import Attempt, FoldAttempt
from ..records.figures import MAJORITY, EvaluatorAccuracy, IdentityRow, MajorityAccuracy
from ..records.judgement import Judgement
from ..records.request import Request
from . import metrics
from .battery import battery, failures
from .controls import Controls, Ranks, Scope, controls
from .laboratory import Laboratory, mean_of_people
from .sandbox import undisturbed


@dataclass(frozen=True)
class Judged:
    """One fold."""

    rows: list[IdentityRow]
    top5: dict[str, list[float]]
    """By evaluator: the share of each identity's reconstructions whose person is among its first five."""
    auc: dict[str, list[float]]
    """By evaluator: how often each identity's are nearer to the person than to another."""
    ranks: dict[str, Ranks]
    """Of the controls' images, by evaluator."""
    real: dict[str, float]
    """By evaluator and the majority: share of real photos whose person is put first, averaged within a person first."""
    controls: Controls
    metrics: dict[str, float]


@dataclass(frozen=True)
class Terms:
    """Who judges, and what an evaluator's figure is read against."""

    protocol: Protocol
    evaluators: tuple[Evaluator, ...]
    null_attack: Attack

    @property
    def judgement_id(self) -> str:
        """Hash of all that decides a judgement but the attempt."""
        null = self.null_attack
        content = {
            "protocol": self.protocol.sha256,
            "evaluators": [(one.spec, one.parameters, one.source_sha256, one.missing()) for one in self.evaluators],
            "null": (null.spec, null.parameters, null.source_sha256),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def judge(attempt: Attempt, request: Request, by: Terms, lab: Laboratory, training: TrainedDefense | None) -> Judgement:
    """The results of a cell from its attempt alone; ``training`` is the defense that trained the target, for the
    null."""
    scopes = []
    for fold in attempt.folds:
        identities = lab.split(fold).targets[: request.identities]
        common = (identities, request.trials, request.seed, by.null_attack, training)
        scopes.append(Scope(fold, request.generator, *common))
    with undisturbed(derive(request.seed, "global", "judging")):
        fitness = examine(lab, scopes)
        counted = fitness.counted
        judged = [
            judge_fold(attempt.folds[scope.fold], scope, lab, counted, development(request, scope)) for scope in scopes
        ]
    rows = [row for fold in judged for row in fold.rows]
    return Judgement(
        judgement=by.judgement_id,
        evaluators=_evaluators(judged),
        left_out=lab.left_out,
        battery=fitness.battery,
        unfit=fitness.unfit,
        majority=_majority(judged, counted),
        metrics={name: _mean([fold.metrics[name] for fold in judged]) for name in judged[0].metrics},
        utility=attempt.facts.utility,
        queries=attempt.facts.queries,
        budgets=attempt.facts.budgets,
        rows=rows,
        probes=attempt.facts.probes,
    )


def development(request: Request, scope: Scope) -> frozenset[str]:
    """Those of a fold's identities on whom a suite's best attack is chosen: drawn by seed, not by name."""
    order = torch.randperm(len(scope.identities), generator=rng(request.seed, scope.fold, "development"))
    return frozenset(scope.identities[place] for place in order[: request.development].tolist())


@dataclass(frozen=True)
class Fitness:
    """Which evaluators see faces, over all folds."""

    battery: dict[str, dict[str, float]]
    """By evaluator and test: the share of changed photos whose person it puts first."""
    unfit: dict[str, str]
    """Why those that fail do."""

    @property
    def counted(self) -> frozenset[str]:
        """Whose word makes the majority: those that are fit; all of them where none is."""
        return frozenset(set(self.battery) - set(self.unfit) or self.battery)


def examine(lab: Laboratory, scopes: Sequence[Scope]) -> Fitness:
    """Every evaluator's battery, and its controls, over some folds."""
    found: dict[str, dict[str, float]] = {}
    unfit: dict[str, str] = {}
    people = min(len(lab.split(scope.fold).q3.people) for scope in scopes)
    for evaluator in lab.evaluators_present:
        own = [battery(lab, evaluator, scope.fold) for scope in scopes]
        ranks = [controls(lab, scope).ranks(lab, evaluator, scope.fold) for scope in scopes]
        floor, null = (
            _mean([float(rank == 0) for of in ranks for rank in getattr(of, kind)]) for kind in ("floor", "null")
        )
        found[evaluator.spec] = {name: _mean([one.true[name] for one in own]) for name in own[0].true}
        if failed := failures(own, people, {"floor": floor, "null": null}):
            unfit[evaluator.spec] = "; ".join(failed)
    return Fitness(found, unfit)


def judge_fold(
    left: FoldAttempt, scope: Scope, lab: Laboratory, counted: frozenset[str], held_back: frozenset[str]
) -> Judged:
    """One row per identity of a fold; ``counted`` make the majority, ``held_back`` are for development."""
    fold, identities, each = scope.fold, scope.identities, scope.trials
    shown = [identity for identity in identities for _ in range(each)]
    made = controls(lab, scope)
    evaluators: dict[str, Evaluator] = {evaluator.spec: evaluator for evaluator in lab.evaluators_present}
    of_controls = {name: made.ranks(lab, evaluator, fold) for name, evaluator in evaluators.items()}
    fitted = lab.fitted(fold)
    device = lab.engine.device
    ranks = {name: found.rank_of(left.images.to(device), shown).view(-1, each) for name, found in fitted.items()}
    hits = hits_of(ranks, counted)
    offered = left.offered.to(device)
    curve = torch.stack([fitted[HEADLINE].rank_of(images, shown).view(-1, each) == 0 for images in offered])
    # by kind of control: what R_eval says, by identity
    seen = {
        name: shares(torch.tensor(getattr(of_controls[HEADLINE], name)) == 0, getattr(made, name).people, identities)
        for name in ("floor", "null", "ceiling")
    }
    rows = [
        IdentityRow(
            identity=identity,
            fold=fold,
            trials=each,
            top1=_share(hits[HEADLINE][i]),
            top5=_share(ranks[HEADLINE][i] < 5),
            auc=_auc(ranks[HEADLINE][i], len(fitted[HEADLINE].people)),
            target_score=_share(left.target_score.view(-1, each)[i]),
            target_top1=_share(left.target_top1.view(-1, each)[i]),
            floor=seen["floor"][i],
            ceiling=seen["ceiling"][i],
            null=seen["null"][i],
            evaluators={name: _share(hits[name][i]) for name in ranks},
            majority=_share(hits[MAJORITY][i]),
            converged=_share(left.converged.view(-1, each)[i]),
            queries=float(left.queries.view(-1, each)[i].float().mean()),
            held_out=identity not in held_back,
            curve=[_share(found) for found in curve[:, i]],
        )
        for i, identity in enumerate(identities)
    ]
    unseen = lab.split(fold).q3_test
    real = hits_of({name: torch.tensor(found.real) for name, found in of_controls.items()}, counted)
    return Judged(
        rows,
        {name: [_share(own < 5) for own in rank] for name, rank in ranks.items()},
        {name: [_auc(own, len(fitted[name].people)) for own in rank] for name, rank in ranks.items()},
        of_controls,
        {name: mean_of_people(hit, unseen) for name, hit in real.items()},
        made,
        _metrics(lab, fold, identities, left.images, shown),
    )


def hits_of(ranks: Mapping[str, Tensor], counted: frozenset[str]) -> dict[str, Tensor]:
    """Whether (B,) bool each evaluator, and the ``majority``, puts the person first: more than half of those counted
    do."""
    hits = {name: rank == 0 for name, rank in ranks.items()}
    said = [hit for name, hit in hits.items() if name in counted]
    return hits | {MAJORITY: 2 * torch.stack(said).sum(0) > len(said)}


def shares(hit: Tensor, shown: Sequence[str], identities: Sequence[str]) -> list[float]:
    """Of each identity's images, from whether (B,) each counts and whom (B) it is meant to show."""
    places = [[i for i, person in enumerate(shown) if person == identity] for identity in identities]
    return [round(float(hit[own].float().mean()), 6) for own in places]


def _metrics(
    lab: Laboratory, fold: str, identities: tuple[str, ...], images: Tensor, shown: list[str]
) -> dict[str, float]:
    """The reconstructions beside the photos that R_tar learnt these people from."""
    q2, recogniser = lab.split(fold).q2, lab.evaluator(fold).recogniser
    own = q2.take(torch.isin(q2.labels, q2.labels_of(identities)).nonzero().squeeze(1))

    def seen(these: Tensor) -> dict[str, metrics.Vectors]:
        views = {"pictures": these[:, 0]} | (
            {"features": recogniser.features(these)} if isinstance(recogniser, HasFeatures) else {}
        )
        return {name: view.cpu().double().numpy() for name, view in views.items()}

    made_of = q2.labels_of(tuple(shown)).numpy()
    return metrics.compare(seen(images), made_of, seen(own.images), own.labels.numpy())


def _evaluators(folds: Sequence[Judged]) -> dict[str, EvaluatorAccuracy]:
    """Each one's figures, over the identities of all folds."""
    return {
        name: EvaluatorAccuracy(
            top1=_mean([row.evaluators[name] for fold in folds for row in fold.rows]),
            top5=_mean([share for fold in folds for share in fold.top5[name]]),
            auc=_mean([share for fold in folds for share in fold.auc[name]]),
            **_read_against(folds, name, frozenset([name])),
        )
        for name in folds[0].top5
    }


def _majority(folds: Sequence[Judged], counted: frozenset[str]) -> MajorityAccuracy:
    """Of the images that more than half of the evaluators counted take for the person."""
    said = [row.majority for fold in folds for row in fold.rows if row.majority is not None]
    return MajorityAccuracy(top1=_mean(said), **_read_against(folds, MAJORITY, counted))


def _read_against(folds: Sequence[Judged], name: str, counted: frozenset[str]) -> dict[str, float]:
    """The controls of an evaluator, or of the majority, over the identities of all folds."""
    found = {"real_top1": _mean([fold.real[name] for fold in folds])}
    for kind in ("floor", "null", "ceiling"):
        values: list[float] = []
        for fold in folds:
            hits = hits_of({one: torch.tensor(getattr(ranks, kind)) for one, ranks in fold.ranks.items()}, counted)
            people, identities = getattr(fold.controls, kind).people, [row.identity for row in fold.rows]
            values += shares(hits[name], people, identities)
        found[kind] = _mean(values)
    return found


def _auc(ranks: Tensor, people: int) -> float:
    """Of all pairs of a reconstruction and another person, those in which the right person is nearer: from ranks (n,)
    of the right one, 0 the best."""
    return round(float((1 - ranks.double().clamp(max=people - 1) / max(1, people - 1)).mean()), 6)


def _share(values: Tensor) -> float:
    return round(min(1.0, float(values.float().mean())), 6)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
