"""From reconstructions to outcomes: what R_eval, the target and honest users see."""

import torch
from torch import Tensor

from .core.attack import Reconstructions, Trials
from .core.defense import Pipeline
from .core.generator import Generator
from .core.oracle import Ledger
from .core.photos import Photos
from .core.scores import ranking
from .core.target import Recogniser
from .laboratory import Evaluator, Laboratory, accuracy, mean_of_people
from .record import IdentityRow


def judge(
    lab: Laboratory,
    fold: str,
    identities: tuple[str, ...],
    generator: Generator,
    trials: Trials,
    target: Recogniser,
    found: Reconstructions,
    offered: Tensor,
    ledger: Ledger,
    development: int,
) -> list[IdentityRow]:
    """One row per identity of a fold; ``target`` is asked undefended, after the attack, outside its ledger.

    ``offered`` (budgets, T, 1, H, W) is what the trials had at each budget of the curve; the first ``development``
    identities are not held out.
    """
    evaluator = lab.evaluator(fold)
    each = len(trials) // len(identities)
    shown = [identity for identity in identities for _ in range(each)]
    ranks = evaluator.rank_of(found.images, shown).view(-1, each)
    seed_ranks = evaluator.rank_of(generator.decode(trials.z0), shown).view(-1, each)
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
                top1=_share(ranks[i] == 0),
                top5=_share(ranks[i] < 5),
                target_score=_share(own.view(-1, each)[i]),
                target_top1=_share(fooled[i]),
                floor=_share(seed_ranks[i] == 0),
                ceiling=_ceiling(generator, evaluator, identity, lab.split(fold).q3_test),
                converged=_share(found.converged.view(-1, each)[i]),
                queries=float(queries[i].float().mean()),
                held_out=i >= development,
                curve=[_share(hits) for hits in curve[:, i]],
            )
        )
    return rows


def _ceiling(generator: Generator, evaluator: Evaluator, identity: str, unseen: Photos) -> float:
    """The generator's best: R_eval on D(E(photo)) of photos that R_eval has not seen."""
    photos = unseen.of(identity)
    decoded = generator.decode(generator.encode(photos))
    return _share(evaluator.rank_of(decoded, [identity] * len(photos)) == 0)


def utility(target: Recogniser, defense: Pipeline, photos: Photos, rng: torch.Generator) -> tuple[float, float]:
    """Top-1 and top-5 of the *released* scores on held-out photos; a withheld score puts nobody anywhere."""
    released = defense.release(target.scores(photos.images), rng)
    order = ranking(released)[:, :5]
    visible = ~released.gather(1, order).isnan()
    hit = (order == photos.labels.to(order.device).unsqueeze(1)) & visible
    return mean_of_people(hit[:, 0], photos), mean_of_people(hit.any(1), photos)


def real_accuracy(lab: Laboratory, fold: str) -> float:
    """R_eval's own top-1 on real photos it has not seen."""
    return accuracy(lab.evaluator(fold), lab.split(fold).q3_test)


def _share(values: Tensor) -> float:
    return round(min(1.0, float(values.float().mean())), 6)
