"""Top-k masking: only the k highest scores go out (the paper's own example, section III, with k = 5)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Defense, ranking


class TopK(Defense):
    """Withhold all but the k highest scores; among equal ones the lower class comes first."""

    name = "topk"
    short = "k"
    withholds = True
    k: Annotated[int, Field(ge=1)]

    def check(self, classes: int) -> None:
        if self.k > classes:
            raise ValueError(f"k = {self.k} but the target has only {classes} classes; give a k from 1 to {classes}")

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        return scores.scatter(1, ranking(scores)[:, self.k :], torch.nan)
