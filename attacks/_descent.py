"""The step size that the paper's attacks share (section V-A)."""

import torch
from torch import Tensor


def alpha(g: Tensor, alpha_max: float, step: float) -> Tensor:
    """alpha = min(alpha_max, step / ||g||), (trials, 1) for gradients g (trials, m)."""
    norm: Tensor = torch.linalg.vector_norm(g, dim=1, keepdim=True)
    return (step / norm).clamp(max=alpha_max)
