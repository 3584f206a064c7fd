"""Scores as a service releases them: (batch, classes) floats in [0, 1] in which NaN means "withheld"; an image of which
every score is withheld was refused."""

import torch
from torch import Tensor

REFUSED = -1
"""In the place of a label."""


def refused(scores: Tensor) -> Tensor:
    """Which images (batch,) bool got no answer at all."""
    return scores.isnan().all(1)


def top_label(scores: Tensor) -> Tensor:
    """The released label (batch,) int64: the class of the highest released score, the first one among equals;
    ``REFUSED`` where there is none."""
    return scores.nan_to_num(nan=-1.0).argmax(1).masked_fill(refused(scores), REFUSED)


def ranking(scores: Tensor) -> Tensor:
    """Classes (batch, classes) int64 from the highest released score down, withheld ones last, lower classes first."""
    return scores.nan_to_num(nan=-1.0).sort(dim=1, descending=True, stable=True).indices


def bounded(scores: Tensor) -> Tensor:
    """Released scores with each withheld one replaced by the most it can have been: (batch, classes), no NaN.

    A score that top-k masking withholds is at most the lowest released one, and the withheld ones together are at most
    what the released ones leave of 1. It is *not* zero: reading it as zero would hide every step towards a class
    that is just below the cut. A refused image tells nothing: each of its scores is read as 1 / classes.
    """
    lowest = scores.nan_to_num(nan=torch.inf).amin(1, keepdim=True)
    left = (1 - scores.nansum(1, keepdim=True)).clamp(min=0)
    most = torch.minimum(lowest, left).masked_fill(refused(scores).unsqueeze(1), 1 / scores.shape[1])
    return torch.where(scores.isnan(), most, scores)
