"""Descent along orthogonal antithetic differences: what the black-box estimate becomes where queries are scarce.

Orthogonal pairs (Choromanski et al. 2018, "Structured Evolution with Compact Architectures for Scalable Policy
Optimization"), momentum, a pool of starting points shared by all identities, random crops, and a final choice among
candidates by what the target itself says of them.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_bench.core import Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import crops, seen
from ._loss import margin
from ._prior import drawn


class Ortho(Attack):
    """L(z + s q) - L(z - s q) along a few orthonormal q a step, L the margin of the best other class over the target's.

    Released scores give the logits up to a constant, so the margin goes on growing past 0.99 and a trial ends with its
    budget. A withheld score is read as the most it can have been (``bounded``). Where rounding hides every difference
    of a step, s doubles for the next; noise is met by momentum and by crops, which differ from step to step.
    """

    name = "ortho"

    pairs: Annotated[int, Field(ge=1)] = 4
    """Directions a step; each costs two queries."""
    step: Annotated[float, Field(gt=0)] = 0.3
    """Length of the first step in the latent; it shrinks to a tenth as the budget runs out."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    sigma: Annotated[float, Field(gt=0)] = 0.2
    """s at first, and at least."""
    sigma_max: Annotated[float, Field(gt=0)] = 2.0
    pull: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the way back to the mean of Q1's codes that a step takes: what R_tar likes stays a face."""
    screen: Annotated[int, Field(ge=0)] = 20
    """Images of the shared pool charged to each trial; no more than a fifth of the budget."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Each pair is scaled and shifted by up to this share of the image."""
    select: Annotated[int, Field(ge=0)] = 8
    """Crops of each of two candidates that the final choice asks about; no more than a tenth of the budget in all."""
    floor: Annotated[float, Field(gt=0)] = 1e-9
    """A score below this counts as this."""

    def check(self, latent: int) -> None:
        if self.pairs > latent:
            raise ValueError(f"pairs = {self.pairs} orthogonal directions do not exist in {latent} dimensions")

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every = torch.arange(len(trials))
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            z = self._screened(oracle, generator, trials, codes)
            select = min(self.select, oracle.budget // 20)
            steps = max(0, int(oracle.remaining().min()) - 2 * select) // (2 * self.pairs)
            v, settled = torch.zeros_like(z), z.clone()
            s = torch.full((len(z), 1), self.sigma, device=z.device)
            for step in range(steps):
                oracle.offer(generator.decode(z), every)
                q = torch.linalg.qr(trials.streams.randn(every, generator.latent, self.pairs)).Q.mT
                at = torch.cat([z[:, None] + s[..., None] * q, z[:, None] - s[..., None] * q], 1)
                by = crops(trials, every, self.pairs, self.crop).repeat(1, 2, 1)
                L = self._loss(oracle, generator, trials, at, by, "search")
                slope = (L[:, : self.pairs] - L[:, self.pairs :]) / (2 * s)
                g = (slope[:, None] @ q).squeeze(1)
                blind = (slope == 0).all(1, keepdim=True)
                s = torch.where(blind, 2 * s, 0.8 * s).clamp(self.sigma, self.sigma_max)
                v = self.momentum * v + F.normalize(g, dim=1)
                z = z - self.step * (1 - 0.9 * step / steps) * F.normalize(v, dim=1)
                z = z + self.pull * (codes.mean(0) - z)
                settled = settled + (z - settled) / max(1, step - steps // 2 + 1)  # mean of the second half
            if select:
                z = self._selected(oracle, generator, trials, torch.stack([z, settled], 1), select)
            oracle.finish(every)
            return Reconstructions(generator.decode(z), torch.ones(len(trials), dtype=torch.bool))

    def _screened(self, oracle: Oracle, generator: Generator, trials: Trials, codes: Tensor) -> Tensor:
        """A start (T, m) for each trial: of its repetition's pool, the face that its class scores highest."""
        z = trials.z0.clone()
        each = min(self.screen, oracle.budget // 5)
        for replicate in trials.replicates() if each else []:
            owner = replicate.repeat(each)
            pool = drawn(codes, len(owner), trials.streams.of(int(replicate[0])))
            y = oracle.scores(generator.decode(pool), owner, "screening")
            L = torch.stack([margin(y, label.expand(len(y)), self.floor) for label in trials.labels[replicate]])
            z[replicate] = pool[L.argmin(1)]
        return z

    def _loss(
        self, oracle: Oracle, generator: Generator, trials: Trials, points: Tensor, by: Tensor, phase: str
    ) -> Tensor:
        """Margins (T, n) of points (T, n, m), each seen through its crop (T, n, 3)."""
        owner = torch.arange(len(points)).repeat_interleave(points.shape[1])
        y = seen(oracle.scores, generator, points.flatten(0, 1), by.flatten(0, 1), owner, phase)
        return margin(y, trials.labels[owner], self.floor).view(points.shape[:2])

    def _selected(self, oracle: Oracle, generator: Generator, trials: Trials, candidates: Tensor, each: int) -> Tensor:
        """Of each trial's candidates (T, k, m) the one (T, m) with the lowest mean margin over the same crops."""
        T, k, _ = candidates.shape
        by = crops(trials, torch.arange(T), each, self.crop).repeat(1, k, 1)
        L = self._loss(oracle, generator, trials, candidates.repeat_interleave(each, 1), by, "selection")
        return candidates[torch.arange(T), L.view(T, k, each).mean(2).argmin(1).cpu()]
