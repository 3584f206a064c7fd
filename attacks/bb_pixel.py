"""Black-box descent on the pixels (Yoshimura et al., section IV-B): Eq. 14 without D; M must exceed their number."""

from typing import Annotated

from pydantic import Field

from mia_bench.core import Generator, Oracle, Reconstructions, Trials

from ._pixels import in_pixels
from .bb import BlackBox


class BlackBoxPixelDescent(BlackBox):
    """``bb`` on the pixels of the seed's image; a step costs more queries than the image has pixels.

    Reads withheld, rounded and noisy scores as ``bb`` does.
    """

    name = "bb-pixel"

    M: Annotated[int, Field(ge=0)] = 0
    """Perturbations a step; 0 is 1/16 more than there are pixels."""

    def check(self, latent: int) -> None:
        """Any M: it is held against the number of pixels once that is known."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        pixels, in_pixel_space = in_pixels(generator, trials)
        enough = self.model_copy(update={"M": self.M or pixels.latent * 17 // 16})
        BlackBox.check(enough, pixels.latent)
        return BlackBox.run(enough, oracle, pixels, in_pixel_space)
