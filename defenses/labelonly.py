"""Only the top label goes out."""

import torch
from torch import Tensor

from mia_bench.plugin import Access, Defense, top_label


class LabelOnly(Defense):
    """Release the top class with a score of 1, which says nothing beyond the label; withhold the rest."""

    name = "labelonly"
    access = Access.LABEL_ONLY
    withholds = True

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        return torch.full_like(scores, torch.nan).scatter(1, top_label(scores).unsqueeze(1), 1.0)
