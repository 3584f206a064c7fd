"""Black-box model inversion (Yoshimura et al., sections IV-B and IV-C, Eq. 9-17), exactly as published.

Where the paper is silent there is a parameter with a stated default: how many sigma^2 are tried and how often. A trial
that does not converge goes on until the oracle's budget is spent.
"""

from abc import abstractmethod
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mia_bench.plugin import (
    Access,
    Attack,
    Generator,
    Oracle,
    Reconstructions,
    Trials,
    alpha,
    bounded,
    criterion,
    gradient,
    scores_of,
)

MOST_NUMBERS = 2**25
"""In E at a time, 128 MiB, or one trial's: in the space of 32x32 pixels E has a million."""


class EstimatedDescent(Attack):
    """Descent along a gradient estimated from random perturbations; subclasses say how many.

    The paper attacks full scores and knows nothing of withheld ones; here the target's, where withheld, is read as the
    most it can have been (``bounded``). Rounding and noise are taken at face value: the attack does not adapt.
    A refused image is read as 1 / classes for everybody. Labels only: cannot run.
    """

    access = Access.SCORES

    alpha_max: Annotated[float, Field(gt=0)] = 100.0
    step: Annotated[float, Field(gt=0)] = 0.1
    """alpha = min(alpha_max, step / ||g||) (section V-A)."""
    stop: Annotated[float, Field(gt=0, le=1)] = 0.99
    """A trial ends when exp(-L) exceeds this."""
    sigma2: tuple[Annotated[float, Field(ge=1e-4, le=1)], ...] = Field((1e-4, 1e-2, 1e0), min_length=1)
    """Candidate perturbation variances (the paper gives the range, not the number)."""
    sigma2_every: Annotated[int, Field(ge=0)] = 0
    """Choose sigma^2 anew every so many steps; 0 is once, at a trial's first step."""
    floor: Annotated[float, Field(gt=0)] = 1e-9
    """A score below this counts as this, so that L stays finite where a service answers 0."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.sigma2)) != len(self.sigma2):
            raise ValueError("sigma2 names a value twice")
        return self

    @abstractmethod
    def perturbations(self, latent: int) -> int:
        """M, how many there are a step; at least m = ``latent``."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        M = self.perturbations(generator.latent)
        grid = torch.tensor(self.sigma2, device=trials.z0.device)
        z = trials.z0.clone()
        sigma2 = grid[0].repeat(len(trials))
        converged = torch.zeros(len(trials), dtype=torch.bool)
        active = torch.arange(len(trials))

        def loss(points: Tensor, of: Tensor, phase: str) -> Tensor:
            """L at points (of, n, m), n for each of these trials -> (of, n): -log of the class's score (Eq. 2-4)."""
            n = points.shape[1]
            owner = of.repeat_interleave(n)
            y = bounded(scores_of(oracle, generator, points.flatten(0, 1), owner, phase))
            y_n = y.gather(1, trials.labels[owner].unsqueeze(1))
            return -y_n.clamp(min=self.floor).log().view(-1, n)

        def estimate(L: Tensor, variance: Tensor, phase: str) -> tuple[Tensor, Tensor]:
            """g (active, m) and C (active,) from perturbations of variance (active,) (Eq. 10-17)."""
            some = max(1, MOST_NUMBERS // (M * generator.latent))
            found = []
            for of, L_of, v in zip(*(torch.split(part, some) for part in (active, L, variance)), strict=True):
                E = trials.streams.randn(of, M, generator.latent) * v.sqrt()[:, None, None]
                s = loss(z[of].unsqueeze(1) + E, of, phase) - L_of.unsqueeze(1)
                g = gradient(E, s)
                found.append((g, criterion(E, s, g)))
            return torch.cat([g for g, _ in found]), torch.cat([C for _, C in found])

        with torch.inference_mode():
            step = 0
            while len(active):
                left = int(oracle.remaining()[active].min())  # alike for all: each has taken every step so far
                if left < 1:
                    break
                oracle.offer(generator.decode(z[active]), active)
                L = loss(z[active].unsqueeze(1), active, "search").squeeze(1)
                reached = ((-L).exp() > self.stop).cpu()
                converged[active[reached]] = True
                oracle.finish(active[reached])
                active, L = active[~reached], L[~reached]
                if left - 1 < M or not len(active):
                    break

                due = step == 0 or (self.sigma2_every > 0 and step % self.sigma2_every == 0)
                choose = due and left - 1 >= M * len(grid)
                if choose:  # section IV-C: the sigma^2 whose fit leaves the smallest share of s unexplained
                    estimates = [estimate(L, variance.expand(len(active)), "sigma") for variance in grid]
                    g_all = torch.stack([g for g, _ in estimates])
                    best = torch.stack([C for _, C in estimates]).argmin(0)
                    sigma2[active] = grid[best]
                    g = g_all[best, torch.arange(len(active))]
                else:
                    g, _ = estimate(L, sigma2[active], "search")
                z[active] -= alpha(g, self.alpha_max, self.step) * g  # Eq. 15
                step += 1
            oracle.finish(active)
            return Reconstructions(generator.decode(z), converged)


class BlackBox(EstimatedDescent):
    """The paper's black-box attack: descent on the latent."""

    name = "bb"

    M: Annotated[int, Field(ge=1)] = 64
    """Perturbations a step; at least m."""

    def check(self, latent: int) -> None:
        if latent > self.M:
            raise ValueError(f"M = {self.M} cannot determine {latent} latent dimensions; give M >= {latent}")

    def perturbations(self, latent: int) -> int:
        return self.M
