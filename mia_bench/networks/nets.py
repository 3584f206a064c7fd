"""The paper's networks (Yoshimura et al., section V-A), sized for small grey faces.

The paper names the layers (convolutions, residual blocks, batch norm, leaky ReLU, fully connected) but its channel
counts are not recoverable; ours are protocol parameters. Images are (B, 1, H, W) in [0, 1] with H and W multiples of
``2 ** len(widths)``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE, inplace=True)
    )


def _up(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Sub-pixel convolution: twice the height and width (a transposed convolution is twice as slow on CPUs)."""
    return [nn.Conv2d(inputs, 4 * outputs, kernel, 1, kernel // 2), nn.PixelShuffle(2)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity; (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.body(x), SLOPE, inplace=True)


def trunk(image: tuple[int, int], widths: Sequence[int]) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """Halving stages of the given widths, a residual block after each but the first (which would cost half of all the
    time at its resolution); returns the layers and the shape (C, h, w) of what they give."""
    layers: list[nn.Module] = []
    channels = 1
    for stage, width in enumerate(widths):
        layers.append(_conv(channels, width, stride=2))
        if stage > 0:
            layers.append(ResidualBlock(width))
        channels = width
    halvings = 2 ** len(widths)
    return nn.Sequential(*layers), (channels, image[0] // halvings, image[1] // halvings)


class RecogniserNet(nn.Module):
    """R: (B, 1, H, W) -> logits (B, classes). R_tar and R_eval share the trunk's form, not the last two layers'.

    With ``mirror`` a trained one answers with the mean of its logits for an image and for its mirror image.
    """

    def __init__(
        self,
        image: tuple[int, int],
        classes: int,
        widths: Sequence[int],
        hidden: int,
        dropout: float = 0.0,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.mirror = mirror
        self.trunk, shape = trunk(image, widths)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(shape[0] * shape[1] * shape[2], hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        if self.mirror and not self.training:
            return (self._logits(images) + self._logits(images.flip(3))) / 2
        return self._logits(images)

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(images - 0.5))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees: (B, 1, H, W) -> (B, hidden)."""
        found: Tensor = self.head[:-1](self.trunk(images - 0.5))
        return found


class Encoder(nn.Module):
    """q(z|x): (B, 1, H, W) -> mean and log-variance, each (B, m)."""

    def __init__(self, image: tuple[int, int], latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.trunk, shape = trunk(image, widths)
        self.head = nn.Linear(shape[0] * shape[1] * shape[2], 2 * latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.head(self.trunk(images - 0.5).flatten(1)).chunk(2, 1)
        return mean, log_var.clamp(-10, 10)


class Decoder(nn.Module):
    """D: (B, m) -> (B, 1, H, W) in [0, 1]; the trunk mirrored."""

    def __init__(self, image: tuple[int, int], latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        halvings = 2 ** len(widths)
        self.shape = (widths[-1], image[0] // halvings, image[1] // halvings)
        self.head = nn.Sequential(nn.Linear(latent, self.shape[0] * self.shape[1] * self.shape[2]), nn.LeakyReLU(SLOPE))
        layers: list[nn.Module] = []
        descending = list(reversed(widths))
        for stage, width in enumerate(descending):
            if stage + 1 < len(descending):
                layers += [ResidualBlock(width), *_up(width, descending[stage + 1], 1)]
            else:
                layers += _up(width, 1, 3)
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        x = self.head(z).unflatten(1, self.shape).contiguous(memory_format=torch.channels_last)
        return torch.sigmoid(self.body(x))


class Critic(nn.Module):
    """How much like a real photo: (B, 1, H, W) -> logits (B,). Without batch norm: it sees real and made batches."""

    def __init__(self, image: tuple[int, int], widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in widths:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            channels = width
        halvings = 2 ** len(widths)
        cells = (image[0] // halvings) * (image[1] // halvings)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * cells, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images - 0.5).squeeze(1)
        return logits
