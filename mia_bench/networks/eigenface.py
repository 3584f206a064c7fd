"""The plain prior: eigenfaces (Turk and Pentland, 1991), their latent scaled to variance one.

Plain eigenfaces give most of their numbers to background and hair, which vary most; with these pixels weighted down, as
many numbers hold more of a face.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..plugin.errors import RequestError
from ..plugin.photos import Photos
from ..protocol.model import EigenfaceRecipe
from . import store


class _Coder(nn.Module):
    """(B, 1, H, W) -> the least-squares latent under the weights, linear in the images; in a tuple, as encoders do."""

    def __init__(self, latent: int, image: tuple[int, int]) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(1, *image))
        self.projection = nn.Buffer(torch.zeros(image[0] * image[1], latent))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return ((images - self.mean).flatten(1) @ self.projection,)


class _Drawer(nn.Module):
    """D: (B, m) -> (B, 1, H, W) in [0, 1]; linear but for the ends of the range."""

    def __init__(self, latent: int, image: tuple[int, int]) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.zeros(1, *image))
        self.faces = nn.Buffer(torch.zeros(latent, image[0] * image[1]))

    def forward(self, z: Tensor) -> Tensor:
        return (self.mean + (z @ self.faces).view(-1, *self.mean.shape)).clamp(0, 1)


class Eigenfaces(nn.Module):
    """Encoder and D from the same components."""

    def __init__(self, latent: int, image: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = _Coder(latent, image)
        self.decoder = _Drawer(latent, image)

    def set(self, mean: Tensor, faces: Tensor, weights: Tensor) -> "Eigenfaces":
        """From a mean (1, H, W), components (n, H, W) in pixels, scaled by their standard deviation, of which the
        first m are taken, and what a deviation of each pixel counts (1, H, W)."""
        faces = faces[: len(self.decoder.faces)].flatten(1).float()
        weights = weights.flatten().float()
        weighted = faces * weights
        for part in (self.encoder, self.decoder):
            part.mean.copy_(mean.float())
        self.decoder.faces.copy_(faces)
        self.encoder.projection.copy_((weighted * weights).T / weighted.square().sum(1))
        return self.eval()


def made(recipe: EigenfaceRecipe, photos: Photos, image: tuple[int, int]) -> Eigenfaces:
    """The given components, or those of the photos: closed form."""
    net = Eigenfaces(recipe.latent, image)
    if recipe.weights is not None:
        stored = store.read_tensors(Path(recipe.weights.path), recipe.weights.sha256)
        if len(stored["faces"]) < recipe.latent or tuple(stored["mean"].shape) != (1, *image):
            raise RequestError(
                f"{recipe.weights.path} has {len(stored['faces'])} components of {tuple(stored['mean'].shape)} pixels; "
                f"the protocol asks for {recipe.latent} of {(1, *image)}"
            )
        return net.set(stored["mean"], stored["faces"], stored["weights"])
    images = photos.images
    mean = images.mean(0)
    weights = recipe.surroundings + (1 - recipe.surroundings) * inner_face(image)
    pixels = ((images - mean) * weights).flatten(1).double()
    # economical whichever there are more of, photos or pixels
    _, spread, axes = torch.linalg.svd(pixels, full_matrices=False)
    faces = (spread[: recipe.latent, None] / len(pixels) ** 0.5 * axes[: recipe.latent]).view(-1, *image) / weights
    return net.set(mean, faces, weights)


def inner_face(image: tuple[int, int]) -> Tensor:
    """(1, H, W): 1 within an ellipse that holds brows, eyes, nose, mouth and chin of a centred face, 0 outside, soft
    between."""
    y, x = torch.linspace(-1, 1, image[0]).unsqueeze(1), torch.linspace(-1, 1, image[1])
    radius = ((x / 0.66).square() + ((y - 0.1) / 0.84).square()).sqrt()
    return ((1.08 - radius) / 0.16).clamp(0, 1).unsqueeze(0)
