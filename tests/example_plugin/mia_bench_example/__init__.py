"""A defense in a package of its own, found by mia-bench through its entry point."""

import torch
from torch import Tensor

from mia_bench import Defense


class Sharpen(Defense):
    """Raise the scores to a power and scale them to add up to what they did."""

    name = "sharpen"
    short = "power"
    power: float

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        sharp = scores**self.power
        return sharp * (scores.nansum(1, keepdim=True) / sharp.nansum(1, keepdim=True))
