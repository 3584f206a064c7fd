"""CMA-ES on the latent (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016; Nomura and Shibata's ``cmaes``), from a
screened pool: the best ranks of a generation move and shape the next, and ranks survive what values do not.

With learning rate adaptation (Nomura, Akimoto, Ono, "CMA-ES with Learning Rate Adaptation", GECCO 2023): where ranks
are mere noise, on a plateau of rounded scores say, the distribution stays where it is.
"""

from typing import Annotated

import numpy as np
import torch
from cmaes import CMA
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import crops, seen
from ._loss import LEAST, log_scores, margin
from ._prior import drawn, screened

HAIR = 1e-5
"""Spread of the noise on pixels between two images that the target can hardly tell apart."""


class CMAES(Attack):
    """One CMA-ES a trial on u = (z - mean) / std of Q1's codes, all trials' generations in one call.

    Minimises the margin of the best other class over the target's in log scores, which goes on falling past 0.99. A
    withheld score is read as the most it can have been less a hair. Noise: some images sent twice, a hair apart, say
    how far answers can be trusted, and a lower score counts as that much. Rounding: points are asked about through
    crops and ``jitter``, so that those near the edge of a plateau lose. Labels only: cannot run; ``brep`` can. A
    refused image tells nothing: each score is read as 1 / classes. Ends after ``generations`` or with the budget; has
    converged if most of the last generation were taken for the identity.
    """

    name = "cmaes"

    sigma: Annotated[float, Field(gt=0)] = 0.5
    """Step size at first, in units of the prior's spread."""
    screen: Annotated[int, Field(ge=1)] = 50
    """Images of the shared pool charged to each trial at first; no more than a fifth of the budget."""
    best: Annotated[int, Field(ge=1)] = 4
    """The mean of so many of the pool is the start."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Each image is scaled and shifted by up to this share of it."""
    jitter: Annotated[float, Field(ge=0)] = 0.5
    """Each point is asked about with Gaussian noise of this spread added: what holds around it, holds."""

    generations: Annotated[int, Field(ge=1)] = 70
    """At most; about 1,000 queries. Later ranks are mostly noise and the mean wanders off: against noise0.05, R_eval
    0.875 after 1,000 queries, 0.75 after 5,000 (40 identities of ``orl``)."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every = torch.arange(len(trials))
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            mean, std = codes.mean(0), codes.std(0)
            floor = self._floor(oracle, generator, trials, codes)
            start = screened(oracle, generator, trials, codes, min(self.screen, oracle.budget // 5), self.best, floor)
            u = (start - mean) / std
            searches = [self._search(u[trial], trials.streams.of(trial)) for trial in range(len(trials))]
            n = searches[0].population_size
            answer = u.clone()
            held = torch.zeros(len(trials), device=u.device)
            for generation in range(1, self.generations + 1):
                oracle.offer(generator.decode(mean + std * answer), every)
                active = every[oracle.remaining() >= n]
                if not len(active):
                    break
                asked = np.stack([[searches[trial].ask() for _ in range(n)] for trial in active.tolist()])
                around = torch.from_numpy(asked).to(u)
                around += self.jitter * trials.streams.randn(active, n, generator.latent)
                by = crops(trials, active, n, self.crop).flatten(0, 1)
                owner = active.repeat_interleave(n)
                y = seen(oracle.scores, generator, (mean + std * around).flatten(0, 1), by, owner, "search")
                L = margin(log_scores(y, floor[owner].unsqueeze(1)), trials.labels[owner]).view(-1, n)
                held[active] = (L < 0).float().mean(1)
                for trial, points, values in zip(active.tolist(), asked, L.tolist(), strict=True):
                    searches[trial].tell(list(zip(points, values, strict=True)))
                    u[trial] = torch.from_numpy(searches[trial].mean).to(u)
                late = min(1.0, 2 / generation)  # a mean in which later generations weigh more
                answer[active] += late * (u - answer)[active]
            oracle.finish(every)
            images = generator.decode(mean + std * answer)
            return Reconstructions(images, held.cpu() > 0.5)

    def _search(self, start: Tensor, draw: torch.Generator) -> CMA:
        """One trial's CMA-ES from u = ``start`` (m,), seeded from its stream."""
        seed = int(torch.randint(2**31, (1,), generator=draw))
        return CMA(mean=start.double().cpu().numpy(), sigma=self.sigma, seed=seed, lr_adapt=True)

    def _floor(self, oracle: Oracle, generator: Generator, trials: Trials, codes: Tensor) -> Tensor:
        """What a score is known to (T,): how much a repetition's answers differ between images a hair apart."""
        every = torch.arange(len(trials))
        floor = torch.full((len(trials),), LEAST, device=codes.device)
        if oracle.budget >= 10:
            x = generator.decode(torch.cat([drawn(codes, 1, trials.streams.of(trial)) for trial in every.tolist()]))
            near = (x + HAIR * trials.streams.randn(every, *x.shape[1:])).clamp(0, 1)
            y, again = (oracle.scores(images, every, "noise") for images in (x, near))
            apart = (y - again).abs().nan_to_num(0.0)
            for replicate in trials.replicates():
                floor[replicate] = apart[replicate].quantile(0.9).clamp(min=LEAST)
        return floor
