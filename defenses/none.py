"""No defense: the service releases what the target gives."""

import torch
from torch import Tensor

from mia_bench.plugin import Defense


class NoDefense(Defense):
    """Full scores, as the paper attacks them."""

    name = "none"

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        return scores
