"""A recogniser as services run it: an embedder, templates of the enrolled, and the cosines between.

Two embedders that differ in everything but what they give, so that what fools one does not fool the other for want of
difference: one residual, on each image's standardised pixels; one plain and wide, on local contrast.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..plugin.photos import Photos
from ..protocol.model import GalleryRecipe
from . import store

NUMBERS = 128
SLOPE = 0.2
WINDOW = 17
"""Pixels a side of the window in which local contrast is normalised."""


def _conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]


class _Residual(nn.Module):
    """Two 3x3 convolutions around an identity; (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv(channels, channels), nn.LeakyReLU(SLOPE), *_conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.body(x), SLOPE)


class Residual(nn.Module):
    """Grey images (B, 1, 64, 64) in [0, 1] -> unit vectors (B, 128): residual, on standardised pixels."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, blocks in ((32, 0), (64, 2), (128, 2), (128, 0)):  # grids of 32, 16, 8 and 4
            layers += [*_conv(channels, width, stride=2), nn.LeakyReLU(SLOPE)]
            layers += [_Residual(width) for _ in range(blocks)]
            channels = width
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(channels * 4 * 4, NUMBERS)

    def forward(self, images: Tensor) -> Tensor:
        centred = images - images.mean((2, 3), keepdim=True)
        standard = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-4).sqrt()
        return F.normalize(self.head(self.trunk(standard).flatten(1)))


class Plain(nn.Module):
    """The same signature: plain, on local contrast, each pixel against the window around it."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_conv(1, 32, stride=2, size=5), nn.ReLU()]
        channels = 32
        for width, convolutions in ((64, 1), (128, 2), (192, 1)):  # grids of 32, 16 and 8
            for _ in range(convolutions):
                layers += [*_conv(channels, width), nn.ReLU()]
                channels = width
            layers += [nn.MaxPool2d(2)]
        layers += [*_conv(channels, channels), nn.ReLU()]  # a grid of 4
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(channels * 4 * 4, NUMBERS)

    def forward(self, images: Tensor) -> Tensor:
        fine = images - _local_mean(images)
        contrast = (_local_mean(fine.square()) + 1e-3).sqrt()
        return F.normalize(self.head(self.trunk(fine / contrast).flatten(1)))


def _local_mean(images: Tensor) -> Tensor:
    """The mean around each pixel, within the image; same shape."""
    reach = WINDOW // 2
    rows = F.avg_pool2d(images, (1, WINDOW), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(rows, (WINDOW, 1), 1, (reach, 0), count_include_pad=False)


ARCHITECTURES: dict[str, type[Residual] | type[Plain]] = {"residual": Residual, "plain": Plain}


class GalleryNet(nn.Module):
    """(B, 1, 64, 64) -> logits (B, people): scaled cosines to each person's template."""

    def __init__(self, recipe: GalleryRecipe, people: int) -> None:
        super().__init__()
        self.embedder = ARCHITECTURES[recipe.architecture]()
        self.templates = nn.Buffer(torch.zeros(people, NUMBERS))
        self.scale = recipe.scale

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * F.linear(self.embedder(images), self.templates)

    def features(self, images: Tensor) -> Tensor:
        """Embeddings (B, 128)."""
        found: Tensor = self.embedder(images)
        return found


def enrolled(recipe: GalleryRecipe, photos: Photos) -> GalleryNet:
    """The recogniser of these people: the given embedder, and the mean of each person's embeddings as template."""
    net = GalleryNet(recipe, photos.classes)
    store.read_pinned(net.embedder, Path(recipe.weights.path), recipe.weights.sha256)
    net.eval()
    with torch.no_grad():
        found = torch.cat([net.embedder(piece) for piece in torch.split(photos.images, 256)])
        means = torch.stack([found[photos.labels == label].mean(0) for label in range(photos.classes)])
    net.templates.copy_(F.normalize(means))
    return net
