"""What an attack minimises beside the cross-entropy."""

import torch
from torch import Tensor

from mia_bench.core import bounded


def margin(y: Tensor, labels: Tensor, floor: float | Tensor = 1e-9) -> Tensor:
    """How far the best other class is above the label's (B,), in logs of released scores (B, classes).

    Full scores are the logits up to a constant, so it goes on falling where the score itself is 1. A withheld score is
    read as the most it can have been (``bounded``), one below ``floor``, (B, 1) where it is a tensor, as
    ``floor``.
    """
    scores = bounded(y).maximum(torch.as_tensor(floor, device=y.device)).log()
    own = labels.unsqueeze(1)
    return scores.scatter(1, own, -torch.inf).amax(1) - scores.gather(1, own).squeeze(1)
