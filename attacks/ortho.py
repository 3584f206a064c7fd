"""Descent along orthogonal antithetic differences: what the black-box estimate becomes where queries are scarce.

Orthogonal pairs (Choromanski et al. 2018, "Structured Evolution with Compact Architectures for Scalable Policy
Optimization"), momentum, a pool of starting points shared by all identities, random crops (expectation over
transformation, Athalye et al. 2018), and a final choice among candidates by what the target itself says of them.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_bench.core import Attack, Generator, Oracle, Reconstructions, Trials, bounded


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
                crops = self._crops(trials, self.pairs).repeat(1, 2, 1)
                L = self._loss(oracle, generator, trials, at, crops, "search")
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
            drawn = torch.randn(len(owner), generator.latent, generator=trials.streams.of(int(replicate[0])))
            pool = codes.mean(0) + codes.std(0) * drawn.to(codes.device)
            y = oracle.scores(generator.decode(pool), owner, "screening")
            L = torch.stack([self._margin(y, label.expand(len(y))) for label in trials.labels[replicate]])
            z[replicate] = pool[L.argmin(1)]
        return z

    def _loss(
        self, oracle: Oracle, generator: Generator, trials: Trials, points: Tensor, crops: Tensor, phase: str
    ) -> Tensor:
        """Margins (T, n) of points (T, n, m), each seen through its crop (T, n, 3)."""
        owner = torch.arange(len(points)).repeat_interleave(points.shape[1])
        some = generator.micro_batch
        parts = zip(
            *(torch.split(part, some) for part in (points.flatten(0, 1), crops.flatten(0, 1), owner)), strict=True
        )
        y = torch.cat([oracle.scores(_cropped(generator.decode(z), by), own, phase) for z, by, own in parts])
        return self._margin(y, trials.labels[owner]).view(points.shape[:2])

    def _margin(self, y: Tensor, labels: Tensor) -> Tensor:
        """How far the best other class is above the label's (B,), in log scores (B, classes)."""
        scores = bounded(y).clamp(min=self.floor).log()
        own = labels.unsqueeze(1)
        return scores.scatter(1, own, -torch.inf).amax(1) - scores.gather(1, own).squeeze(1)

    def _crops(self, trials: Trials, n: int) -> Tensor:
        """Scale and shifts (T, n, 3), each trial's from its own stream."""
        drawn = trials.streams.randn(torch.arange(len(trials)), n, 3)
        return (drawn / 2).clamp(-1, 1) * self.crop

    def _selected(self, oracle: Oracle, generator: Generator, trials: Trials, candidates: Tensor, each: int) -> Tensor:
        """Of each trial's candidates (T, k, m) the one (T, m) with the lowest mean margin over the same crops."""
        T, k, _ = candidates.shape
        crops = self._crops(trials, each).repeat(1, k, 1)
        L = self._loss(oracle, generator, trials, candidates.repeat_interleave(each, 1), crops, "selection")
        return candidates[torch.arange(T), L.view(T, k, each).mean(2).argmin(1).cpu()]


def _cropped(images: Tensor, by: Tensor) -> Tensor:
    """Images (B, 1, H, W) scaled by 1 + by[:, 0] and shifted by by[:, 1:] of their size, edges repeated."""
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + by[:, 0]
    theta[:, :, 2] = 2 * by[:, 1:]  # the grid spans 2
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
