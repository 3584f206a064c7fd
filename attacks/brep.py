"""Boundary repulsion: BREP-MI (Kahla, Chen, Just, Jia, "Label-Only Model Inversion Attacks via Boundary Repulsion",
CVPR 2022), and more from each label.

As there: points on a sphere around the present one, a step away from those that lose the label, a sphere that grows
while few do. Here besides: the points are orthogonal pairs, steps have momentum, images are cropped, spheres have the
shape of the prior, and one image serves all identities that are still without a start.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Access, Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import crops, seen


class BoundaryRepulsion(Attack):
    """Walks to where the label holds farthest around, in u = (z - mean) / std of Q1's codes.

    A trial begins on the sphere where Q1's codes lie. Its start is the mean of those points of its repetition, sent
    for whichever identity, that were answered with its label; until there is one it goes on drawing, and at the end
    hands in its seed. Uses labels only, so withheld and rounded scores concern it no more than exact ones. Noise that
    changes labels is outvoted: steps average over many points, a start taken in error shrinks to nothing and is given
    up, and a trial has converged if most crops of its answer have the label. A refused image is a miss. Ends with the
    budget.
    """

    name = "brep"
    access = Access.LABEL_ONLY

    pairs: Annotated[int, Field(ge=1)] = 8
    """Orthogonal directions a step, each with its opposite; at most m."""
    radius: Annotated[float, Field(gt=0)] = 0.5
    """Of a start's sphere, in units of the one where Q1's codes lie."""
    radius_min: Annotated[float, Field(gt=0)] = 0.1
    """A sphere that shrinks below this was around an error."""
    radius_max: Annotated[float, Field(gt=0)] = 2.0
    hold: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """The sphere grows while more than this share of its points has the label, and shrinks else (paper: 0.75)."""
    growth: Annotated[float, Field(gt=0)] = 0.5
    """How fast: the radius is multiplied by exp(growth (share - hold))."""
    step: Annotated[float, Field(gt=0)] = 0.3
    """Share of the radius (paper: min(R / 3, 3))."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    pull: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the way back to the mean of Q1's codes that a step takes."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Each pair is scaled and shifted by up to this share of the image."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Weight of the past in the running mean of the points, which is the answer."""
    votes: Annotated[int, Field(ge=1)] = 9
    """Crops of the answer that vote in the end; no more than a twentieth of the budget."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        T, m = len(trials), generator.latent
        pairs = min(self.pairs, m)
        n = 2 * pairs
        every = torch.arange(T)
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            mean, std = codes.mean(0), codes.std(0)
            seed = (trials.z0 - mean) / std
            answer = seed
            u, v = torch.zeros_like(answer), torch.zeros_like(answer)
            radius = torch.ones(T, device=u.device)
            started = torch.zeros(T, dtype=torch.bool, device=u.device)
            votes = max(1, min(self.votes, oracle.budget // 20))
            while int(oracle.remaining().min()) >= n + votes:
                q = torch.linalg.qr(trials.streams.randn(every, m, pairs)).Q.mT * m**0.5
                q = torch.cat([q, -q], 1)
                at = u.unsqueeze(1) + radius.view(-1, 1, 1) * q
                by = crops(trials, every, pairs, self.crop).repeat(1, 2, 1)
                y = self._labels(oracle, generator, mean + std * at, by, "search")
                hit = (y == trials.labels.unsqueeze(1)).float()
                share = hit.mean(1)

                away = ((hit - share.unsqueeze(1)).unsqueeze(1) @ q).squeeze(1)  # from the misses to the hits
                v = self.momentum * v + (1 - self.momentum) * m**0.5 * F.normalize(away, dim=1)
                moved = (1 - self.pull) * (u + self.step * radius.unsqueeze(1) * v)
                u = torch.where(started.unsqueeze(1), moved, 0.0)
                scaled = (radius * torch.exp(self.growth * (share - self.hold))).clamp(max=self.radius_max)
                started = started & (scaled >= self.radius_min)
                radius = torch.where(started, scaled, 1.0)
                settled = self.average * answer + (1 - self.average) * u
                answer = torch.where(started.unsqueeze(1), settled, seed)
                for trial, start in self._starts(trials, at, y, ~started):
                    u[trial] = answer[trial] = start
                    v[trial], radius[trial], started[trial] = 0.0, self.radius, True
                oracle.offer(generator.decode(mean + std * answer), every)

            z = mean + std * answer
            by = crops(trials, every, votes, self.crop)
            y = self._labels(oracle, generator, z.unsqueeze(1).expand(-1, votes, -1), by, "vote")
            held = (y == trials.labels.unsqueeze(1)).float().mean(1) > 0.5
            oracle.finish(every)
            return Reconstructions(generator.decode(z), held.cpu())

    def _labels(self, oracle: Oracle, generator: Generator, z: Tensor, by: Tensor, phase: str) -> Tensor:
        """Labels (T, n) of points z (T, n, m), each seen through its crop (T, n, 3)."""
        owner = torch.arange(len(z)).repeat_interleave(z.shape[1])
        return seen(oracle.labels, generator, z.flatten(0, 1), by.flatten(0, 1), owner, phase).view(z.shape[:2])

    def _starts(self, trials: Trials, at: Tensor, y: Tensor, without: Tensor) -> list[tuple[int, Tensor]]:
        """For trials ``without`` (T,) one: the mean of the points at (T, n, m) that any trial of their repetition sent
        and whose answer y (T, n) was their label."""
        found = []
        for replicate in trials.replicates():
            points, labels = at[replicate].flatten(0, 1), y[replicate].flatten()
            for trial in replicate[without[replicate].cpu()].tolist():
                own = points[labels == trials.labels[trial]]
                if len(own):
                    found.append((trial, own.mean(0)))
        return found
