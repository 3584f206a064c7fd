"""D as the decoder of a variational auto-encoder: the paper's choice, for the smoothness of its map (section V-A)."""

import torch
from torch import Tensor, nn

from ..plugin.engine import Engine
from ..plugin.photos import Photos
from ..protocol.model import VAERecipe
from . import training
from .nets import Decoder, Encoder


class VAE(nn.Module):
    """Encoder and decoder; D is the decoder."""

    def __init__(self, image: tuple[int, int], recipe: VAERecipe) -> None:
        super().__init__()
        self.encoder = Encoder(image, recipe.latent, recipe.widths)
        self.decoder = Decoder(image, recipe.latent, recipe.widths)


def train(photos: Photos, recipe: VAERecipe, seed: int, device: torch.device, progress: training.Progress) -> VAE:
    """Minimise summed squared pixel error + beta KL(q(z|x) || N(0, I))."""
    with training.seeded(seed):
        height, width = photos.images.shape[-2:]
        net = VAE((height, width), recipe)

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            mean, log_var = net.encoder(images)
            decoded = net.decoder(mean + torch.randn_like(mean) * (log_var / 2).exp())
            error = (decoded - images).square().flatten(1).sum(1)
            divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
            objective: Tensor = (error + recipe.beta * divergence).mean()
            return objective

        training.fit(net, loss, photos, recipe, device, progress)
    return net


class CodedGenerator:
    """D with an encoder for seeds, as an attacker uses them (a ``Generator``)."""

    def __init__(self, net: nn.Module, latent: int, engine: Engine) -> None:
        self.latent = latent
        self.micro_batch = engine.micro_batch
        self._encoder = engine.ready(net.get_submodule("encoder"))
        self._decoder = engine.ready(net.get_submodule("decoder"))
        self._engine = engine

    def decode(self, z: Tensor) -> Tensor:
        """D(z): (B, m) -> (B, 1, H, W) in [0, 1], differentiable in z."""
        return self._engine.map(self._decoder, z)

    def encode(self, images: Tensor) -> Tensor:
        """Mean of q(z|x): (B, 1, H, W) -> (B, m)."""
        with torch.inference_mode():
            return self._engine.map(lambda piece: self._encoder(piece)[0], images)
