"""Small random crops: expectation over transformation (Athalye et al. 2018, "Synthesizing Robust Adversarial
Examples"). What R_tar says of a face however it is cropped, it says of the face."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mia_bench.core import Generator, Trials


def crops(trials: Trials, of: Tensor, n: int, share: float) -> Tensor:
    """Scale and shifts (len(of), n, 3), at most ``share`` of the image, each trial's from its own stream."""
    return (trials.streams.randn(of, n, 3) / 2).clamp(-1, 1) * share


def cropped(images: Tensor, by: Tensor) -> Tensor:
    """Images (B, 1, H, W) scaled by 1 + by[:, 0] and shifted by by[:, 1:] of their size, edges repeated."""
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + by[:, 0]
    theta[:, :, 2] = 2 * by[:, 1:]  # the grid spans 2
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def seen(
    ask: Callable[[Tensor, Tensor, str], Tensor], generator: Generator, z: Tensor, by: Tensor, owner: Tensor, phase: str
) -> Tensor:
    """``ask`` (an oracle's scores or labels) about D(z) for z (B, m), each through its crop (B, 3): (B, ...) in
    micro-batches."""
    parts = zip(*(torch.split(part, generator.micro_batch) for part in (z, by, owner)), strict=True)
    return torch.cat([ask(cropped(generator.decode(z), by), own, phase) for z, by, own in parts])
