"""Descent along orthogonal antithetic differences: what the black-box estimate becomes where queries are scarce.

Orthogonal pairs (Choromanski et al. 2018, "Structured Evolution with Compact Architectures for Scalable Policy
Optimization"), momentum, answers shared by all identities, random crops, an average that favours late steps (Shamir and
Zhang 2013, "Stochastic Gradient Descent for Non-smooth Optimization"), a final choice by what the target itself says.
No schedule of the descent looks at the budget, so that one run is good at every budget on its way.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import crops, seen
from ._loss import log_scores, margin, poincare, told
from ._prior import drawn


class Ortho(Attack):
    """L(z + s q) - L(z - s q) along a few orthonormal q a step, L the margin of the best other class over the target's.

    Scores of which none is withheld are the logits up to a constant: the margin goes on falling past 0.99, to where the
    others are below 1e-9, and the same answers tell the slope of the Poincare loss, which has its share of the step. A
    trial ends with its budget, and has converged if its class is first in the final choice. A withheld score is read as
    the most it can have been less a hair, and leaves the step to the margin; while no answer to anybody in the
    repetition has put a trial's class first, the trial asks about faces drawn at random, and one that loses its way
    starts again at the best face known. Where rounding hides every difference of a step, s doubles for the next. Noise
    is met by asking twice about a start, by momentum, by more pairs and wider crops as steps get shorter, and by the
    average. A refused image counts as one that says nothing of any class. Labels only: cannot run; ``brep`` can.
    """

    name = "ortho"

    pairs: Annotated[int, Field(ge=1)] = 4
    """Directions a step at first; each costs two queries."""
    pairs_every: Annotated[int, Field(ge=1)] = 20
    """Steps after which there are so many more, up to ``pairs_max``; never more than m."""
    pairs_max: Annotated[int, Field(ge=1)] = 16
    step: Annotated[float, Field(gt=0)] = 0.3
    """Length of the first step in the latent; the t-th has step / sqrt(1 + t / settle)."""
    settle: Annotated[float, Field(gt=0)] = 40.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    sigma: Annotated[float, Field(gt=0)] = 0.3
    """s at first, and at least."""
    sigma_max: Annotated[float, Field(gt=0)] = 2.0
    pull: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the way back to the mean of Q1's codes that a step takes: what R_tar likes stays a face."""
    screen: Annotated[int, Field(ge=0)] = 20
    """Images of the shared pool charged to each trial; no more than a fifth of the budget."""
    again: Annotated[int, Field(ge=1)] = 4
    """Faces of the pool that are asked about once more for each trial, cropped, before one is its start."""
    explore: Annotated[int, Field(ge=0)] = 60
    """Steps for which a class that nobody has seen is looked for at random."""
    wide: Annotated[float, Field(gt=0)] = 1.3
    """Spread of the faces drawn then, in that of Q1's codes: rare classes lie far out."""
    restart: Annotated[int, Field(ge=1)] = 10
    """Steps after which a trial whose class is not first goes back to the best face known."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Each pair is scaled and shifted by up to this share of the image."""
    grow: Annotated[int, Field(ge=1)] = 60
    """Steps until crops are as wide as that."""
    select: Annotated[int, Field(ge=0)] = 8
    """Crops of each of two candidates that the final choice asks about; no more than a twentieth of the budget."""
    poincare: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the Poincare loss in a step, where no score is withheld; the margin has the rest."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every = torch.arange(len(trials))
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            mean, spread = codes.mean(0), codes.std(0)
            known = self._screened(oracle, generator, trials, codes)
            z = known.z.clone()
            v, settled = torch.zeros_like(z), z.clone()
            s = torch.full((len(z), 1), self.sigma, device=z.device)
            select = min(self.select, oracle.budget // 40)
            t = 0
            while int(oracle.remaining().min()) - 2 * select >= 2 * (n := min(self._pairs_at(t), generator.latent)):
                oracle.offer(generator.decode(settled), every)
                q = torch.linalg.qr(trials.streams.randn(every, generator.latent, n)).Q.mT
                at = torch.cat([z[:, None] + s[..., None] * q, z[:, None] - s[..., None] * q], 1)
                unseen = known.L >= 0 if t < self.explore else torch.zeros_like(known.L, dtype=torch.bool)
                at[unseen] = mean + self.wide * spread * trials.streams.randn(every[unseen.cpu()], 2 * n, len(mean))
                by = crops(trials, every, n, self.crop * min(1, t / self.grow)).repeat(1, 2, 1)
                owner = every.repeat_interleave(2 * n)
                y = seen(oracle.scores, generator, at.flatten(0, 1), by.flatten(0, 1), owner, "search")
                known.note(at.flatten(0, 1), y, owner)

                logits, own = log_scores(y), trials.labels[owner]
                L, P = (loss(logits, own).view(-1, 2 * n) for loss in (margin, poincare))
                full = ~y.isnan().view(len(z), -1).any(1, keepdim=True)
                g = torch.lerp(_uphill(L, q), _uphill(P, q), self.poincare * full)
                blind = (g == 0).all(1, keepdim=True)
                s = torch.where(blind, 2 * s, 0.8 * s).clamp(self.sigma, self.sigma_max)
                v = self.momentum * v + g
                z = z - self.step / (1 + t / self.settle) ** 0.5 * F.normalize(v, dim=1)
                z = z + self.pull * (mean - z)
                t += 1
                settled = settled + (z - settled) * 3 / (t + 2)  # weights rise with the square of t
                back = unseen
                if t % self.restart == 0:
                    back = unseen | (L.mean(1) > 0) & (L.amin(1) > known.L)
                z[back], settled[back], v[back] = known.z[back], known.z[back], 0.0
            held = torch.zeros(len(trials), dtype=torch.bool)
            if select:
                settled, L = self._selected(oracle, generator, trials, torch.stack([settled, z], 1), select)
                held = (L < 0).cpu()
            oracle.finish(every)
            return Reconstructions(generator.decode(settled), held)

    def _pairs_at(self, t: int) -> int:
        return min(self.pairs * (1 + t // self.pairs_every), max(self.pairs, self.pairs_max))

    def _screened(self, oracle: Oracle, generator: Generator, trials: Trials, codes: Tensor) -> "_Known":
        """A start for each trial: of its repetition's pool, the face that its class scores highest, twice."""
        known = _Known(trials)
        each = min(self.screen, oracle.budget // 5)
        for replicate in trials.replicates() if each else []:
            owner = replicate.repeat(each)
            pool = drawn(codes, len(owner), trials.streams.of(int(replicate[0])))
            y = oracle.scores(generator.decode(pool), owner, "screening")
            k = min(self.again, each)
            likeliest = known.margins(y, replicate).topk(k, dim=0, largest=False).indices.T
            candidates, owner = pool[likeliest], replicate.repeat_interleave(k)
            by = crops(trials, replicate, k, self.crop).flatten(0, 1)
            twice = told(seen(oracle.scores, generator, candidates.flatten(0, 1), by, owner, "screening"))
            twice = (twice + told(y[likeliest].flatten(0, 1))) / 2  # before the logarithm: noise averages out
            L, which = margin(log_scores(twice), trials.labels[owner]).view(-1, k).min(1)
            known.L[replicate], known.z[replicate] = L, candidates[torch.arange(len(replicate)), which]
        return known

    def _selected(
        self, oracle: Oracle, generator: Generator, trials: Trials, candidates: Tensor, each: int
    ) -> tuple[Tensor, Tensor]:
        """Of each trial's candidates (T, k, m) the one (T, m) of lowest margin (T,), its scores averaged over crops."""
        T, k, _ = candidates.shape
        every = torch.arange(T)
        by = crops(trials, every, each, self.crop).repeat(1, k, 1).flatten(0, 1)
        owner = every.repeat_interleave(k * each)
        z = candidates.repeat_interleave(each, 1).flatten(0, 1)
        y = told(seen(oracle.scores, generator, z, by, owner, "selection")).view(T * k, each, -1).mean(1)
        L, which = margin(log_scores(y), trials.labels.repeat_interleave(k)).view(T, k).min(1)
        return candidates[every, which.cpu()], L


def _uphill(L: Tensor, q: Tensor) -> Tensor:
    """Unit vectors (T, m) along the slope that losses L (T, 2 n) at both ends of directions q (T, n, m) tell."""
    n = q.shape[1]
    return F.normalize(((L[:, :n] - L[:, n:]).unsqueeze(1) @ q).squeeze(1), dim=1)


class _Known:
    """For each trial, of all that was asked within its repetition, the face that its class scores best."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self.z = trials.z0.clone()
        """(T, m)."""
        self.L = torch.full((len(trials),), torch.inf, device=self.z.device)
        """Its margin (T,)."""

    def margins(self, y: Tensor, replicate: Tensor) -> Tensor:
        """Margins (B, n) of the classes of a repetition's n trials in answers (B, classes)."""
        labels = self._trials.labels[replicate]
        each = margin(log_scores(y).repeat_interleave(len(labels), 0), labels.repeat(len(y)))
        return each.view(len(y), len(labels))

    def note(self, z: Tensor, y: Tensor, owner: Tensor) -> None:
        """Answers (B, classes) about latents (B, m), asked for the trials ``owner`` (B,)."""
        for replicate in self._trials.replicates():
            asked = torch.isin(owner, replicate).to(z.device)
            lowest, which = self.margins(y[asked], replicate).min(0)
            better = lowest < self.L[replicate]
            of = replicate[better.cpu()]
            self.L[of], self.z[of] = lowest[better], z[asked][which[better]]
