"""What honest users still get from a defended target, on held-out photos of enrolled people: accuracy, calibration,
verification, refusals, and what the defense costs to run.

A refused image is a miss for top-1 and top-5, counted in ``refused``, and left out of log-loss, calibration and AUC.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..plugin.photos import Photos
from ..plugin.scores import ranking, refused
from ..plugin.service import Query, Service
from ..plugin.target import Recogniser
from ..records.figures import Cost, Utility
from .laboratory import mean_of_people

LEAST = 1e-6
"""A score below this counts as this much in the log-loss: a hidden or rounded score may be 0 for the right person."""
BINS = 15
"""Of equal width, for the calibration error."""
TIMED = 64
"""Images that the cost is measured on."""
REPEATS = 5


def measure(service: Service, timed: Service, target: Recogniser, photos: Photos, first_caller: int) -> Utility:
    """Of the released scores of one fold's photos; each person counts once, whoever has more photos.

    Each enrolled person sends their photos from an account of their own, numbered from ``first_caller``. ``timed`` is
    the same service for what the defense costs over ``target``, which is asked without it.
    """
    with torch.no_grad():
        released = service(Query(photos.images.clone(), first_caller + photos.labels))
    order = ranking(released)[:, :5]
    visible = ~released.gather(1, order).isnan()
    hit = (order == photos.labels.to(order.device).unsqueeze(1)) & visible
    answered = ~refused(released).cpu()
    return Utility(
        top1=mean_of_people(hit[:, 0], photos),
        top5=mean_of_people(hit.any(1), photos),
        refused=mean_of_people(~answered, photos),
        **(_of_scores(released.cpu()[answered], photos.take(answered.nonzero().squeeze(1))) if answered.any() else {}),
        cost=_cost(target, timed, Query(photos.images[:TIMED].clone(), first_caller + photos.labels[:TIMED])),
    )


def _of_scores(released: Tensor, photos: Photos) -> dict[str, float]:
    """Log-loss, calibration error and AUC of answered photos."""
    labels, classes = photos.labels.numpy(), released.shape[1]
    weights = 1 / np.bincount(labels, minlength=classes)[labels]
    told = probabilities(released).double().numpy()
    claims = np.eye(classes, dtype=bool)[labels]
    return {
        "log_loss": float(log_loss(labels, _at_least(told), sample_weight=weights, labels=np.arange(classes))),
        "ece": calibration_error(told.max(1), told.argmax(1) == labels, weights),
        "auc": float(roc_auc_score(claims.ravel(), told.ravel())),
    }


def probabilities(released: Tensor) -> Tensor:
    """Released scores (B, classes), of answered images, as a caller may read them: (B, classes), no NaN, rows sum to 1.

    What the released ones leave of 1 is shared equally by the withheld classes, none of which can have had more than
    the lowest released score; then the row is scaled to 1. A row that releases nothing above 0 tells nothing: all are
    equal.
    """
    withheld = released.isnan()
    left = (1 - released.nansum(1, keepdim=True)).clamp(min=0)
    each = torch.minimum(left / withheld.sum(1, keepdim=True).clamp(min=1), released.nan_to_num(nan=2).amin(1, True))
    filled = torch.where(withheld, each, released)
    filled = torch.where(filled.sum(1, keepdim=True) > 0, filled, 1.0)
    return filled / filled.sum(1, keepdim=True)


def _at_least(told: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.maximum(told, LEAST)
    scaled: NDArray[np.float64] = raised / raised.sum(1, keepdims=True)
    return scaled


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    """ECE (Guo et al., 2017): |accuracy - confidence| of the images in each bin of confidence, weighted."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weights * (right - confidence), minlength=BINS)
    return float(np.abs(gap).sum() / weights.sum())


def mean(folds: list[Utility]) -> Utility:
    """Over folds, each figure on its own; one that some fold lacks is left out."""

    def average(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {key: average([value[key] for value in values]) for key in values[0]}
        return None if any(value is None for value in values) else round(float(np.mean(values)), 6)

    return Utility.model_validate(average([fold.model_dump() for fold in folds]))


def _cost(target: Recogniser, service: Service, query: Query) -> Cost:
    """What the defense adds to the target's own answer: the fastest of repeats by turns, and bytes of tensors made."""
    asking, defended = [], []
    for _ in range(REPEATS):
        asking.append(_seconds(lambda: target(query)))
        defended.append(_seconds(lambda: service(query)))
    made, made_after = _bytes(lambda: target(query)), _bytes(lambda: service(query))
    return Cost(
        latency_ratio=round(min(defended) / min(asking), 4),
        added_latency_s=round((min(defended) - min(asking)) / len(query), 9),
        memory_ratio=round(made_after / made, 4) if made else None,
    )


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations make."""

    bytes: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and not func.is_view:
            self.bytes += made.nbytes
        return made


def _bytes(call: Callable[[], object]) -> int:
    counted = _Made()  # type: ignore[no-untyped-call]
    with counted:
        call()
    return counted.bytes
