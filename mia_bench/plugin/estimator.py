"""The paper's gradient estimate, how far it can be trusted, and the step along it (Yoshimura et al., Eq. 14, 16, 17 and
section V-A)."""

import torch
from torch import Tensor


def gradient(E: Tensor, s: Tensor) -> Tensor:
    """g = (E^T E)^-1 E^T s (Eq. 14), least squares for E g = s: (trials, M, m), (trials, M) -> (trials, m).

    Needs M >= m and E of full rank.
    """
    # "gels" (QR): torch's default on CPUs gives unequal answers to equal inputs in the last digits
    g: Tensor = torch.linalg.lstsq(E, s.unsqueeze(-1), driver="gels").solution.squeeze(-1)
    return g


def criterion(E: Tensor, s: Tensor, g: Tensor) -> Tensor:
    """C = ||s - E g||^2 / (s^T s) in [0, 1] (Eq. 16 and 17), (trials,); 1 where s = 0 and nothing was learnt."""
    residual = s - (E @ g.unsqueeze(-1)).squeeze(-1)
    total = (s * s).sum(1)
    return torch.where(total > 0, (residual * residual).sum(1) / total, torch.ones_like(total)).clamp(max=1)


def alpha(g: Tensor, alpha_max: float, step: float) -> Tensor:
    """alpha = min(alpha_max, step / ||g||) (section V-A), (trials, 1) for gradients g (trials, m)."""
    norm: Tensor = torch.linalg.vector_norm(g, dim=1, keepdim=True)
    return (step / norm).clamp(max=alpha_max)
