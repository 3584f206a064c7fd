"""What an attack minimises beside the cross-entropy: margin and Poincare loss, of logits or of released scores."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_bench.plugin import bounded

LEAST = 1e-9
"""A score below this counts as this."""
BELOW = 1e-3
"""By this share a withheld score is read as less than the most it can have been: it lost to those released."""


def told(y: Tensor) -> Tensor:
    """Released scores (B, classes), each withheld one read as the most it can have been (``bounded``) less a hair: it
    is never tied with the released one that beat it."""
    return torch.where(y.isnan(), (1 - BELOW) * bounded(y), y)


def log_scores(y: Tensor, floor: float | Tensor = LEAST) -> Tensor:
    """Released scores (B, classes) as logits: the target's up to a constant where none is withheld.

    A withheld score is read as ``told``, one below ``floor``, (B, 1) where it is a tensor, as ``floor``.
    """
    return told(y).maximum(torch.as_tensor(floor, device=y.device)).log()


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the best other class is above the label's (B,): below 0 where the label is first. Unlike the label's own
    score it goes on falling where that is 1, and a constant added to all logits changes nothing."""
    own = labels.unsqueeze(1)
    return logits.scatter(1, own, -torch.inf).amax(1) - logits.gather(1, own).squeeze(1)


def poincare(logits: Tensor, labels: Tensor) -> Tensor:
    """Distance (B,) in the Poincare ball from u = logits / ||logits||_1 to v, the label's corner moved just inside
    (Struppek et al., "Plug & Play Attacks", ICML 2022, section 3). Logits are centred first: scores tell them only up
    to a constant."""
    u = F.normalize(logits - logits.mean(1, keepdim=True), p=1, dim=1)
    v = (F.one_hot(labels, logits.shape[1]) - 1e-4).clamp(min=0)
    apart = (u - v).square().sum(1)
    return torch.arccosh(1 + 2 * apart / ((1 - u.square().sum(1)) * (1 - v.square().sum(1))))
