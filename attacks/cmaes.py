"""CMA-ES on the latent (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016; Nomura and Shibata's ``cmaes``), from a
screened pool: the best ranks of a generation move and shape the next, and ranks survive what values do not."""

from typing import Annotated

import numpy as np
import torch
from cmaes import CMA
from pydantic import Field
from torch import Tensor

from mia_bench.core import Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import crops, seen
from ._loss import margin, steadiest
from ._prior import drawn, screened

LEAST = 1e-9
"""A score below this counts as this."""
HAIR = 1e-5
"""Spread of the noise on pixels between two images that the target can hardly tell apart."""


class CMAES(Attack):
    """One CMA-ES a trial on u = (z - mean) / std of Q1's codes, all trials' generations in one call.

    Minimises the margin of the best other class over the target's in log scores, which goes on falling past 0.99, plus
    ``pull`` ||u||^2. A withheld score is read as the most it can have been (``bounded``). Noise: some images sent
    twice, a hair apart, say how far answers can be trusted, and a lower score counts as that much. Rounding: where half
    of a generation ties, the trial looks farther around each point (``jitter``), on to the middle of the plateau.
    Labels only: cannot run; ``brep`` can. A refused image tells nothing: each score is read as 1 / classes. Ends with
    the budget.
    """

    name = "cmaes"

    sigma: Annotated[float, Field(gt=0)] = 0.5
    """Step size at first, in units of the prior's spread."""
    screen: Annotated[int, Field(ge=1)] = 50
    """Images of the shared pool charged to each trial at first; no more than a fifth of the budget."""
    best: Annotated[int, Field(ge=1)] = 4
    """The mean of so many of the pool is the start."""
    pull: Annotated[float, Field(ge=0)] = 0.02
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Each image is scaled and shifted by up to this share of it; twice that in the final choice."""
    jitter: Annotated[float, Field(ge=0)] = 0.5
    """Each point is asked about with Gaussian noise of this spread added: what holds around it, holds."""
    jitter_max: Annotated[float, Field(ge=0)] = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Weight of the past in the running mean of the distribution's means, which is the answer meanwhile."""
    select: Annotated[int, Field(ge=1)] = 16
    """Crops of the last mean and of the running one that the final choice asks about; no more than a tenth of the
    budget in all."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every = torch.arange(len(trials))
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            mean, std = codes.mean(0), codes.std(0)
            floor = self._floor(oracle, generator, trials, codes)
            start = screened(oracle, generator, trials, codes, min(self.screen, oracle.budget // 5), self.best, floor)
            u = (start - mean) / std
            searches = [self._search(u[trial], trials.streams.of(trial)) for trial in range(len(trials))]
            n, select = searches[0].population_size, min(self.select, oracle.budget // 20)
            settled, jitter = u.clone(), torch.full((len(u), 1, 1), self.jitter, device=u.device)
            generation = 0
            while True:
                oracle.offer(generator.decode(mean + std * settled), every)
                active = every[oracle.remaining() >= n + 2 * select]
                if not len(active):
                    break
                asked = np.stack([[searches[trial].ask() for _ in range(n)] for trial in active.tolist()])
                points = torch.from_numpy(asked).to(u)
                around = points + jitter[active] * trials.streams.randn(active, n, generator.latent)
                by = crops(trials, active, n, self.crop).flatten(0, 1)
                owner = active.repeat_interleave(n)
                y = seen(oracle.scores, generator, (mean + std * around).flatten(0, 1), by, owner, "search")
                M = margin(y, trials.labels[owner], floor[owner].unsqueeze(1)).view(-1, n)
                L = M + self.pull * points.square().sum(2)
                for trial, x, values in zip(active.tolist(), asked, L.double().cpu().numpy(), strict=True):
                    searches[trial].tell(list(zip(x, values.tolist(), strict=True)))
                    u[trial] = torch.from_numpy(searches[trial].mean).to(u)
                ties = M.quantile(0.5, 1) == M.amin(1)
                jitter[active] *= torch.where(ties, 1.2, 1 / 1.2).view(-1, 1, 1)
                jitter.clamp_(self.jitter, max(self.jitter, self.jitter_max))
                generation += 1
                settled[active] += max(1 - self.average, 1 / generation) * (u - settled)[active]
            if select and generation:
                candidates = mean + std * torch.stack([u, settled], 1)
                z = steadiest(oracle, generator, trials, candidates, select, 2 * self.crop, floor)
            else:
                z = mean + std * settled
            oracle.finish(every)
            return Reconstructions(generator.decode(z), torch.ones(len(trials), dtype=torch.bool))

    def _search(self, start: Tensor, draw: torch.Generator) -> CMA:
        """One trial's CMA-ES from u = ``start`` (m,), seeded from its stream."""
        seed = int(torch.randint(2**31, (1,), generator=draw))
        return CMA(mean=start.double().cpu().numpy(), sigma=self.sigma, seed=seed)

    def _floor(self, oracle: Oracle, generator: Generator, trials: Trials, codes: Tensor) -> Tensor:
        """What a score is known to (T,): how much a repetition's answers differ between images a hair apart."""
        every = torch.arange(len(trials))
        if oracle.budget < 2 * self.best:
            return torch.full((len(trials),), LEAST, device=codes.device)
        x = generator.decode(torch.cat([drawn(codes, 1, trials.streams.of(trial)) for trial in every.tolist()]))
        near = (x + HAIR * trials.streams.randn(every, *x.shape[1:])).clamp(0, 1)
        y, again = (oracle.scores(images, every, "noise") for images in (x, near))
        apart = (y - again).abs().nan_to_num(0.0)
        floor = torch.empty(len(trials), device=y.device)
        for replicate in trials.replicates():
            floor[replicate] = apart[replicate].quantile(0.9)
        return floor.clamp(min=LEAST)
