"""What an attack minimises beside the cross-entropy."""

import torch
from torch import Tensor

from mia_bench.core import Generator, Oracle, Trials, bounded

from ._crops import crops, seen


def margin(y: Tensor, labels: Tensor, floor: float | Tensor = 1e-9) -> Tensor:
    """How far the best other class is above the label's (B,), in logs of released scores (B, classes).

    Full scores are the logits up to a constant, so it goes on falling where the score itself is 1. A withheld score is
    read as the most it can have been (``bounded``), one below ``floor``, (B, 1) where it is a tensor, as
    ``floor``.
    """
    scores = bounded(y).maximum(torch.as_tensor(floor, device=y.device)).log()
    own = labels.unsqueeze(1)
    return scores.scatter(1, own, -torch.inf).amax(1) - scores.gather(1, own).squeeze(1)


def steadiest(
    oracle: Oracle, generator: Generator, trials: Trials, candidates: Tensor, each: int, share: float, floor: Tensor
) -> Tensor:
    """Of each trial's candidates (T, k, m) the one (T, m) with the lowest mean margin over the same ``each`` crops.

    Scores are known to ``floor`` (T,).
    """
    T, k, _ = candidates.shape
    owner = torch.arange(T).repeat_interleave(k * each)
    by = crops(trials, torch.arange(T), each, share).repeat(1, k, 1).flatten(0, 1)
    y = seen(oracle.scores, generator, candidates.repeat_interleave(each, 1).flatten(0, 1), by, owner, "selection")
    L = margin(y, trials.labels[owner], floor[owner].unsqueeze(1)).view(T, k, each).mean(2)
    return candidates[torch.arange(T), L.argmin(1).cpu()]
