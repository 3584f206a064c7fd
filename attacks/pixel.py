"""White-box descent on the pixels (Yoshimura et al., section IV-A, Eq. 5): the baseline that fails without D."""

from mia_bench.plugin import Generator, Oracle, Reconstructions, Trials

from ._pixels import in_pixels
from .wb import WhiteBox


class PixelDescent(WhiteBox):
    """x <- x - alpha dL/dx (Eq. 5) from the seed's image: a near-copy of it that R_tar takes for the target.

    As ``wb`` holds the weights, so that nothing done to the released scores concerns it.
    """

    name = "pixel"

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        return super().run(oracle, *in_pixels(generator, trials))
