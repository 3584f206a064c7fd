"""The VAE as an attacker uses it."""

import torch
from torch import Tensor

from ..core.engine import Engine
from .nets import VAE


class VAEGenerator:
    """D, the VAE's decoder, with its encoder for seeds (a ``Generator``)."""

    def __init__(self, vae: VAE, engine: Engine) -> None:
        self.latent = vae.latent
        self.micro_batch = engine.micro_batch
        self._encoder = engine.ready(vae.encoder)
        self._decoder = engine.ready(vae.decoder)
        self._engine = engine

    def decode(self, z: Tensor) -> Tensor:
        """D(z): (B, m) -> (B, 1, H, W) in [0, 1], differentiable in z."""
        return self._engine.map(self._decoder, z)

    def encode(self, images: Tensor) -> Tensor:
        """Mean of q(z|x): (B, 1, H, W) -> (B, m)."""
        with torch.inference_mode():
            return self._engine.map(lambda piece: self._encoder(piece)[0], images)
