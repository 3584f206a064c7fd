"""The prior: eigenfaces of public photos that spend their numbers on the face, their latent whitened.

``python eigenfaces.py LFW_FOLDER prior.safetensors --latent 256`` draws them from all of LFW's public people. Plain
eigenfaces give most of their numbers to background and hair, which vary most; with these pixels weighted down, as many
numbers hold a face that recognisers know half as often again.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from data import LFW_BOX, SIDE, lfw, load
from pictures import ellipse
from safetensors.torch import load_file, save_file
from torch import Tensor

SURROUNDINGS = 0.15
"""Weight of a pixel's deviation outside the inner face; 1 gives plain eigenfaces."""


@dataclass(frozen=True)
class Eigenfaces:
    """``decode(z) = clamp(mean + z @ faces)``; over the photos it was fitted on each number of z has variance one."""

    mean: Tensor
    """(1, H, W)."""
    faces: Tensor
    """(m, H, W): each principal component of the weighted pixels, in pixels, scaled by its standard deviation."""
    weights: Tensor
    """(1, H, W): what a deviation counts."""

    @staticmethod
    def fit(images: Tensor, latent: int, surroundings: float = 1.0) -> "Eigenfaces":
        """Of images (N, 1, H, W): closed form."""
        mean = images.mean(0)
        weights = surroundings + (1 - surroundings) * ellipse(*mean.shape[1:])[0]
        pixels = ((images - mean) * weights).flatten(1)
        if len(pixels) > pixels.shape[1]:
            variances, axes = torch.linalg.eigh(pixels.T @ pixels / len(pixels))
            axes = axes.T
        else:  # fewer photos than pixels: the same axes from the smaller matrix
            variances, mixtures = torch.linalg.eigh(pixels @ pixels.T / len(pixels))
            axes = torch.nn.functional.normalize(mixtures.T @ pixels)
        variances, axes = variances.flip(0)[:latent], axes.flip(0)[:latent]
        return Eigenfaces(mean, (variances.sqrt().unsqueeze(1) * axes).view(-1, *mean.shape[1:]) / weights, weights)

    @staticmethod
    def load(file: Path) -> "Eigenfaces":
        """From safetensors, stored as float16."""
        stored = load_file(file)
        return Eigenfaces(stored["mean"].float(), stored["faces"].float(), stored["weights"].float())

    def save(self, file: Path) -> None:
        """To safetensors, as float16."""
        parts = {"mean": self.mean, "faces": self.faces, "weights": self.weights}
        save_file({name: part.half().contiguous() for name, part in parts.items()}, file)

    def first(self, latent: int) -> "Eigenfaces":
        """The first ``latent`` of them: what a fit of so many gives."""
        return Eigenfaces(self.mean, self.faces[:latent], self.weights)

    def decode(self, z: Tensor) -> Tensor:
        """(B, m) -> (B, 1, H, W) in [0, 1], differentiable in z."""
        return (self.mean + (z @ self.faces.flatten(1)).view(-1, *self.mean.shape)).clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, m): the least-squares latent under the weights, linear in the images."""
        weighted = (self.faces * self.weights).flatten(1)
        return ((images - self.mean) * self.weights).flatten(1) @ weighted.T / weighted.square().sum(1)

    def redrawn(self, images: Tensor) -> Tensor:
        """decode(encode(images)), each with a number of faces drawn from the latter three quarters of m."""
        latent = len(self.faces)
        kept = torch.arange(latent) < torch.randint(latent // 4, latent + 1, (len(images), 1))
        return self.decode(self.encode(images) * kept)


def main() -> None:
    """Fit and save the prior of the gallery protocols."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--latent", type=int, default=256)
    parser.add_argument("--surroundings", type=float, default=SURROUNDINGS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.from_numpy(load(lfw(given.lfw)[0], LFW_BOX, SIDE)[0]).unsqueeze(1) / 255
    Eigenfaces.fit(images, given.latent, given.surroundings).save(given.out)


if __name__ == "__main__":
    main()
