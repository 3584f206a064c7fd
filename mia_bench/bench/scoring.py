"""From reconstructions to outcomes: what the judges, the target and honest users see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..plugin.attack import Reconstructions, Trials
from ..plugin.evaluator import HasFeatures
from ..plugin.oracle import Ledger
from ..plugin.target import Recogniser
from ..records.record import HEADLINE, MAJORITY, EvaluatorAccuracy, IdentityRow, MajorityAccuracy
from . import metrics
from .controls import Controls
from .laboratory import Laboratory
from .panel import hits_of, ranks_of


@dataclass(frozen=True)
class Judged:
    """One fold's outcome."""

    rows: list[IdentityRow]
    top5: dict[str, list[float]]
    """By judge: the share of each identity's reconstructions whose person is among its first five."""
    controls: Controls
    metrics: dict[str, float]


def judge(
    lab: Laboratory,
    fold: str,
    identities: tuple[str, ...],
    controls: Controls,
    trials: Trials,
    target: Recogniser,
    found: Reconstructions,
    offered: Tensor,
    ledger: Ledger,
    development: int,
) -> Judged:
    """One row per identity of a fold; ``target`` is asked undefended, after the attack, outside its ledger.

    ``offered`` (budgets, T, 1, H, W) is what the trials had at each budget of the curve; the first ``development``
    identities are not held out.
    """
    evaluator = lab.evaluator(fold)
    each = len(trials) // len(identities)
    shown = [identity for identity in identities for _ in range(each)]
    ranks = {name: rank.view(-1, each) for name, rank in ranks_of(lab.judges(fold), found.images, shown).items()}
    hits = hits_of(ranks)
    scores = target.scores(found.images)
    own = scores.gather(1, trials.labels.unsqueeze(1)).squeeze(1)
    fooled = (scores.argmax(1) == trials.labels).view(-1, each)
    queries = ledger.per_trial.view(-1, each)
    curve = torch.stack([evaluator.rank_of(images, shown).view(-1, each) == 0 for images in offered])
    rows = []
    for i, identity in enumerate(identities):
        rows.append(
            IdentityRow(
                identity=identity,
                fold=fold,
                trials=each,
                top1=_share(hits[HEADLINE][i]),
                top5=_share(ranks[HEADLINE][i] < 5),
                target_score=_share(own.view(-1, each)[i]),
                target_top1=_share(fooled[i]),
                floor=controls.floor[HEADLINE][identity],
                ceiling=controls.ceiling[HEADLINE][identity],
                null=controls.null[HEADLINE][identity],
                judges={name: _share(hits[name][i]) for name in ranks},
                majority=_share(hits[MAJORITY][i]),
                converged=_share(found.converged.view(-1, each)[i]),
                queries=float(queries[i].float().mean()),
                held_out=i >= development,
                curve=[_share(hits) for hits in curve[:, i]],
            )
        )
    top5 = {name: [_share(own < 5) for own in rank] for name, rank in ranks.items()}
    return Judged(rows, top5, controls, _metrics(lab, fold, identities, found.images, shown))


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


def field(folds: Sequence[Judged]) -> dict[str, float]:
    """The field's metrics, averaged over folds, each of which has a feature space of its own."""
    return {name: _mean([fold.metrics[name] for fold in folds]) for name in folds[0].metrics}


def evaluators(folds: Sequence[Judged]) -> dict[str, EvaluatorAccuracy]:
    """Each judge's figures, over the identities of all folds."""
    return {
        name: EvaluatorAccuracy(
            top1=_mean([row.judges[name] for fold in folds for row in fold.rows]),
            top5=_mean([share for fold in folds for share in fold.top5[name]]),
            **_read_against(folds, name),
        )
        for name in folds[0].top5
    }


def majority(folds: Sequence[Judged]) -> MajorityAccuracy:
    """Of the images that more than half of the judges take for the person."""
    said = [row.majority for fold in folds for row in fold.rows if row.majority is not None]
    return MajorityAccuracy(top1=_mean(said), **_read_against(folds, MAJORITY))


def _read_against(folds: Sequence[Judged], name: str) -> dict[str, float]:
    """A judge's controls, over the identities of all folds."""
    controls = [fold.controls for fold in folds]
    return {
        "real_top1": _mean([of.real[name] for of in controls]),
        "floor": _mean([share for of in controls for share in of.floor[name].values()]),
        "null": _mean([share for of in controls for share in of.null[name].values()]),
        "ceiling": _mean([share for of in controls for share in of.ceiling[name].values()]),
    }


def _share(values: Tensor) -> float:
    return round(min(1.0, float(values.float().mean())), 6)


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)
