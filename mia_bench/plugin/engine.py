"""How images are pushed through networks: micro-batches that stay in cache, channels-last, batch norm folded away.

The sizes are measured once per kind of device (docs/decisions.md, "Micro-batches") and fixed here rather than probed at
each run: another batch shape rounds differently, and the same seed must give the same record.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Engine:
    """Where and in what pieces networks run."""

    device: torch.device
    micro_batch: int
    """Images per forward call."""

    @staticmethod
    def on(device: str | torch.device) -> "Engine":
        """The measured setting for a kind of device (``cpu`` or ``cuda``)."""
        device = torch.device(device)
        if device.type == "cuda":  # TF32's 10-bit mantissa would drown finite differences; runs must repeat
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.deterministic = True
        return Engine(device, micro_batch=8192 if device.type == "cuda" else 256)

    def ready(self, module: ModuleT) -> ModuleT:
        """A copy of ``module`` for inference: evaluation mode, batch norm folded, frozen, channels-last."""
        module = _fold_batch_norm(copy.deepcopy(module).eval())
        return module.requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def map(self, forward: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """``forward`` over (B, ...) in micro-batches, concatenated; differentiable if the caller records gradients."""
        batch = batch.to(self.device)
        if len(batch) <= self.micro_batch:
            return forward(batch)
        return torch.cat([forward(piece) for piece in torch.split(batch, self.micro_batch)])

    def describe(self) -> dict[str, str | int]:
        """What a record says about it."""
        return {"device": str(self.device), "micro_batch": self.micro_batch, "memory_format": "channels_last"}


def _fold_batch_norm(module: ModuleT) -> ModuleT:
    """Fold each batch norm into the convolution right before it, inside every nn.Sequential."""
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(module, nn.Sequential) and isinstance(child, nn.BatchNorm2d) and previous is not None:
            if isinstance(previous[1], nn.Conv2d):
                setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
                setattr(module, name, nn.Identity())
        else:
            _fold_batch_norm(child)
        previous = (name, child)
    return module
