"""Several judges on the same images, and what more than half of them say."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..records.record import MAJORITY
from .laboratory import Judge


def ranks_of(judges: Mapping[str, Judge], images: Tensor, people: list[str]) -> dict[str, Tensor]:
    """The rank (B,) int64 that each judge gives to the person an image is meant to show, 0 the best."""
    return {name: judge.rank_of(images, people) for name, judge in judges.items()}


def hits_of(ranks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whether (B,) bool each judge, and the ``majority``, puts the person first: more than half of the judges do."""
    hits = {name: rank == 0 for name, rank in ranks.items()}
    return hits | {MAJORITY: 2 * torch.stack(list(hits.values())).sum(0) > len(hits)}
