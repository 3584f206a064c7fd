"""Black-box descent on the pixels (Yoshimura et al., section IV-B): Eq. 14 without D; M must exceed their number."""

from typing import Annotated

from pydantic import Field

from mia_bench.plugin import Generator, Oracle, Reconstructions, Trials

from ._pixels import in_pixels
from .bb import EstimatedDescent


class BlackBoxPixelDescent(EstimatedDescent):
    """``bb`` on the pixels of the seed's image; a step costs more queries than the image has pixels.

    Reads withheld, rounded and noisy scores as ``bb`` does.
    """

    name = "bb-pixel"

    over: Annotated[float, Field(gt=0)] = 1 / 16
    """By which share the perturbations of a step are more than there are pixels."""

    def perturbations(self, latent: int) -> int:
        return int(latent * (1 + self.over)) + 1

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        return super().run(oracle, *in_pixels(generator, trials))
