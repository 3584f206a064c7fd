"""Small random crops: expectation over transformation (Athalye et al. 2018, "Synthesizing Robust Adversarial
Examples"). What R_tar says of a face however it is cropped, it says of the face."""

from collections.abc import Callable

import torch
from torch import Tensor

from mia_bench.plugin import Generator, Trials


def crops(trials: Trials, of: Tensor, n: int, share: float) -> Tensor:
    """Scale and shifts (len(of), n, 3), at most ``share`` of the image, each trial's from its own stream."""
    return (trials.streams.randn(of, n, 3) / 2).clamp(-1, 1) * share


def cropped(images: Tensor, by: Tensor) -> Tensor:
    """Images (B, 1, H, W) scaled by 1 + by[:, 0] and shifted by by[:, 1:] of their width and height, edges repeated."""
    height, width = images.shape[2:]
    rows = _bilinear(height, 1 + by[:, 0], by[:, 2])
    columns = _bilinear(width, 1 + by[:, 0], by[:, 1])
    return rows.unsqueeze(1) @ images @ columns.unsqueeze(1).mT


def _bilinear(size: int, scale: Tensor, shift: Tensor) -> Tensor:
    """Matrices (B, size, size) whose i-th row reads a line of pixels where the i-th pixel of the crop lies: bilinear
    interpolation is one along rows and one along columns. Two products take a third of the time of a sampling grid."""
    pixel = torch.arange(size, device=scale.device)
    centred = pixel + 0.5 - size / 2
    at = (scale.unsqueeze(1) * centred + (shift * size).unsqueeze(1) + size / 2 - 0.5).clamp(0, size - 1)
    return (1 - (at.unsqueeze(2) - pixel).abs()).clamp(min=0)


def seen(
    ask: Callable[[Tensor, Tensor, str], Tensor], generator: Generator, z: Tensor, by: Tensor, owner: Tensor, phase: str
) -> Tensor:
    """``ask`` (an oracle's scores or labels) about D(z) for z (B, m), each through its crop (B, 3): (B, ...) in
    micro-batches."""
    parts = zip(*(torch.split(part, generator.micro_batch) for part in (z, by, owner)), strict=True)
    return torch.cat([ask(cropped(generator.decode(z), by), own, phase) for z, by, own in parts])
