"""The attacker's prior D: latent -> face."""

from typing import Protocol, runtime_checkable

from torch import Tensor


class Generator(Protocol):
    """A map from latents (B, m) to images (B, 1, H, W) in [0, 1], with an encoder back."""

    latent: int
    """m, the number of latent dimensions."""
    micro_batch: int
    """Latents that are best decoded at a time (``Engine.micro_batch``)."""

    def decode(self, z: Tensor) -> Tensor:
        """D(z): (B, m) -> (B, 1, H, W) in [0, 1]; differentiable in z."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """The latent (B, m) whose image is nearest, as the encoder sees it (its mean)."""
        ...


@runtime_checkable
class AdversarialGenerator(Generator, Protocol):
    """A generator that was trained against a critic and still has it (a GAN)."""

    def realism(self, images: Tensor) -> Tensor:
        """Logits (B,) for images (B, 1, H, W), differentiable: the higher, the more like a real photo."""
        ...
