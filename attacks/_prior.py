"""What an attacker of any kind knows of faces before asking: Q1's codes, and latents drawn like them."""

import torch
from torch import Tensor


def drawn(codes: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Latents (count, m), Gaussian around Q1's codes (n, m): their mean and each dimension's spread."""
    spread = torch.randn(count, codes.shape[1], generator=draw).to(codes.device)
    return codes.mean(0) + codes.std(0) * spread
