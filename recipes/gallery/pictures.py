"""Ways of changing pictures, (B, 1, H, W) in [0, 1], that keep or swap what makes a face."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
"""Pixels a side of the blocks whose means are an image's coarse content."""


def coarse(images: Tensor) -> Tensor:
    """The means of 8x8 blocks, enlarged bilinearly; same shape."""
    means = F.avg_pool2d(images, BLOCK)
    return F.interpolate(means, images.shape[-2:], mode="bilinear", align_corners=False)


@cache
def ellipse(height: int, width: int) -> Tensor:
    """Mask (1, 1, H, W): 1 on the inner face (brows to chin), 0 around it (hair, ears, background), soft between."""
    y, x = torch.linspace(-1, 1, height).unsqueeze(1), torch.linspace(-1, 1, width)
    radius = ((x / 0.66).square() + ((y - 0.1) / 0.84).square()).sqrt()
    return ((1.08 - radius) / 0.16).clamp(0, 1).view(1, 1, height, width)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """After a Gaussian blur; same shape."""
    reach = math.ceil(2.5 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    rows = F.conv2d(F.pad(images, (reach,) * 4, mode="replicate"), kernel)
    return F.conv2d(rows, kernel.transpose(2, 3))


def invented(images: Tensor, count: int, seed: int = 3) -> Tensor:
    """People who do not exist (count, S, S) uint8, from photos (N, S, S) uint8 of one geometry.

    The coarse content is one person's; the fine content is the mean of two people's, or above some height one's and
    below it the other's.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(len(images), (2, count), generator=generator)
    first, second = (images[some].unsqueeze(1) / 255 for some in pairs)
    height = torch.linspace(-1, 1, images.shape[-1]).view(1, 1, -1, 1)
    seam = 0.6 * torch.rand(count, 1, 1, 1, generator=generator) - 0.25
    spliced = torch.rand(count, 1, 1, 1, generator=generator) < 0.6
    share = torch.where(spliced, torch.sigmoid(14 * (height - seam)), 0.5)
    base = coarse(first)
    mixed = base + (1 - share) * (first - base) + share * (second - coarse(second))
    return (255 * mixed.clamp(0, 1)).round().to(torch.uint8)[:, 0]
