"""dlib's face-recognition network (King, 2017; CC0) in torch: ten times as fast on one core, and the same numbers.

Its weights are read from ``dlib_face_recognition_resnet_model_v1.dat``, which holds them from the first layer to the
last, each tensor behind its size.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 150
MEANS = (122.782, 117.001, 104.298)
"""Of red, green and blue, which the network is given in units of 256 levels."""
WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
"""Of the residual blocks; a block that is wider than the one before halves the grid, and so does the last."""


class DlibNetwork(nn.Module):
    """Pixels (B, 3, 150, 150) of 0..255, aligned faces -> descriptors (B, 128)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        stored = _Stored(weights.read_bytes())
        self.stem = nn.Sequential(stored.convolution(3, 32, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2))
        blocks: list[nn.Module] = []
        channels = 32
        for i, width in enumerate(WIDTHS):
            blocks.append(_Block(stored, channels, width, halved=width > channels or i == len(WIDTHS) - 1))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Parameter(stored.tensor(256, 128))
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        scaled = (pixels - torch.tensor(MEANS).view(1, 3, 1, 1)) / 256
        found: Tensor = self.blocks(self.stem(scaled)).mean((2, 3)) @ self.head
        return found


class _Block(nn.Module):
    """Two 3x3 convolutions around the identity, or, where the grid is halved, around the mean of 2x2 pixels."""

    def __init__(self, stored: "_Stored", inputs: int, outputs: int, halved: bool) -> None:
        super().__init__()
        first = stored.convolution(inputs, outputs, 3, 2 if halved else 1)
        self.body = nn.Sequential(first, nn.ReLU(), stored.convolution(outputs, outputs, 3, 1))
        self.skip: nn.Module = nn.AvgPool2d(2) if halved else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        skip, body = self.skip(x), self.body(x)
        channels, height, width = (max(a, b) for a, b in zip(skip.shape[1:], body.shape[1:], strict=True))
        return F.relu(_filled(skip, channels, height, width) + _filled(body, channels, height, width))


def _filled(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """With zeros below, right, and in more channels: dlib adds grids of unlike size so."""
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


class _Stored:
    """The tensors of a dlib file, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def tensor(self, count: int, columns: int = 1) -> Tensor:
        """The next one of shape (count, columns)."""
        shape = (count, columns, 1, 1)
        head = b"\x01\x02"  # version 2; each number behind its length in bytes
        for side in shape:
            length = (side.bit_length() + 7) // 8
            head += bytes([length]) + side.to_bytes(length, "little")
        start = self._content.index(head, self._at) + len(head)
        self._at = start + 4 * count * columns
        return torch.from_numpy(np.frombuffer(self._content, "<f4", count * columns, start).copy()).view(count, columns)

    def convolution(self, inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
        """The next convolution with the affine layer after it folded in; dlib pads only where it does not stride."""
        kernel = outputs * inputs * size * size
        parameters = self.tensor(kernel + outputs).flatten()
        scale, shift = self.tensor(2 * outputs).flatten().chunk(2)
        layer = nn.Conv2d(inputs, outputs, size, stride, 0 if stride > 1 else size // 2)
        weight = parameters[:kernel].view(outputs, inputs, size, size) * scale.view(-1, 1, 1, 1)
        layer.load_state_dict({"weight": weight, "bias": parameters[kernel:] * scale + shift})
        return layer
