"""Gaussian noise on the scores, fresh at every answer."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Defense


class Noise(Defense):
    """Add N(0, sigma^2) to each released score, clip just above 0, scale so that they add up to what they did."""

    name = "noise"
    short = "sigma"
    sigma: Annotated[float, Field(gt=0)]

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        noise = torch.randn(scores.shape, generator=rng).to(scores.device)
        noisy = (scores + self.sigma * noise).clamp(min=1e-6)
        return noisy * (scores.nansum(1, keepdim=True) / noisy.nansum(1, keepdim=True))
