"""An attack of the latent made one of the pixels: what becomes of it without D (Yoshimura et al., sections IV-A, IV-B).

The special case of a generator whose latent is the image: descent in pixel space is descent in *its* latent space.
"""

from dataclasses import replace

from torch import Tensor

from mia_bench.plugin import Generator, Trials


class Pixels:
    """A ``Generator`` without a prior: the latent (B, H * W) is the image (B, 1, H, W), clipped to [0, 1]."""

    def __init__(self, height: int, width: int, micro_batch: int) -> None:
        self.latent = height * width
        self.micro_batch = micro_batch
        self._shape = (1, height, width)

    def decode(self, z: Tensor) -> Tensor:
        """The image itself."""
        return z.reshape(len(z), *self._shape).clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        """The pixels."""
        return images.flatten(1)


def in_pixels(generator: Generator, trials: Trials) -> tuple[Pixels, Trials]:
    """The same trials, each starting at its seed's *image* D(z0)."""
    images = generator.decode(trials.z0)
    height, width = images.shape[-2:]
    pixels = Pixels(height, width, generator.micro_batch)
    return pixels, replace(trials, z0=pixels.encode(images))
