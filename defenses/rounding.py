"""Rounded scores (Fredrikson et al. 2015, section 6)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Defense


class Rounding(Defense):
    """Round each score to ``digits`` decimal places."""

    name = "round"
    short = "digits"
    digits: Annotated[int, Field(ge=0, le=7)]

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        return scores.round(decimals=self.digits)
