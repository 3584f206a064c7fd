"""White-box descent that does not depend on one loss, one start or one crop.

Crops at each step and the final choice by mean confidence after Struppek et al. ("Plug & Play Attacks", ICML 2022),
whose Poincare loss is one of four; the logit after Nguyen et al. ("Re-thinking Model Inversion Attacks", CVPR 2023),
the margin after Yuan et al. ("Pseudo Label-Guided Model Inversion Attack", AAAI 2023).
"""

from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mia_bench.plugin import Access, Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import cropped, crops, seen
from ._loss import margin, poincare


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p (B,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def logit(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the target's logit (B,)."""
    return -logits.gather(1, labels.unsqueeze(1)).squeeze(1)


class RobustWhiteBox(Attack):
    """Rounds of screening, one descent for each of four losses, and a choice among their ends and the best so far.

    Holds the weights, so that nothing done to the released scores (withheld, rounded, noisy, labels only, refused)
    concerns it. One gradient or one look at an image is one query; ends after ``rounds``, or before the budget does.
    """

    name = "wb-robust"
    access = Access.WHITE_BOX

    losses: ClassVar[tuple[Callable[[Tensor, Tensor], Tensor], ...]] = (cross_entropy, margin, poincare, logit)

    rounds: Annotated[int, Field(ge=1)] = 2
    screen: Annotated[int, Field(ge=4)] = 20
    """Draws from the prior a round and trial; each loss starts from another of the best four."""
    steps: Annotated[int, Field(ge=1)] = 50
    """Adam steps of each loss; fewer where the budget is smaller."""
    rate: Annotated[float, Field(gt=0)] = 0.1
    """In units of the spread of Q1's codes."""
    pull: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the way back to the mean of Q1's codes that a step takes."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Each step sees the image scaled and shifted by up to this share of it; twice that in the choice."""
    select: Annotated[int, Field(ge=1)] = 12
    """Crops of each candidate that the choice asks about."""
    converged_at: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Mean confidence from which a trial counts as converged."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every, k = torch.arange(len(trials)), len(self.losses)
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
        mean, std = codes.mean(0).clone(), codes.std(0).clone()  # not inference tensors: gradients pass
        best = trials.z0.clone()
        confidence = torch.zeros(len(trials), device=best.device)
        for _ in range(self.rounds):
            spare = int(oracle.remaining().min()) - self.screen - (k + 1) * self.select
            steps = min(self.steps, spare // k)
            if steps < 1:
                break
            u = trials.streams.randn(every, self.screen, generator.latent)
            with torch.no_grad():
                lowest = margin(*self._asked(oracle, generator, trials, mean + std * u, 0.0, "screening"))
            u = u[every.unsqueeze(1), lowest.view(len(u), -1).topk(k, largest=False).indices].requires_grad_()
            optimiser = torch.optim.Adam([u], self.rate)
            for _ in range(steps):
                logits, labels = self._asked(oracle, generator, trials, mean + std * u, self.crop, "search")
                parts = [loss(logits[j::k], labels[j::k]) for j, loss in enumerate(self.losses)]
                (u.grad,) = torch.autograd.grad(torch.cat(parts).sum(), u)
                optimiser.step()
                with torch.no_grad():
                    u.mul_(1 - self.pull)
            candidates = torch.cat([mean + std * u.detach(), best.unsqueeze(1)], 1)
            with torch.no_grad():
                best, confidence = self._selected(oracle, generator, trials, candidates)
                oracle.offer(generator.decode(best), every)
        oracle.finish(every)
        with torch.inference_mode():
            return Reconstructions(generator.decode(best), confidence.cpu() >= self.converged_at)

    def _asked(
        self, oracle: Oracle, generator: Generator, trials: Trials, z: Tensor, share: float, phase: str
    ) -> tuple[Tensor, Tensor]:
        """Logits (T * n, classes) of z (T, n, m), each image through a crop of its own, with their labels (T * n,)."""
        T, n, _ = z.shape
        owner = torch.arange(T).repeat_interleave(n)
        by = crops(trials, torch.arange(T), n, share).flatten(0, 1)
        return oracle.logits(cropped(generator.decode(z.flatten(0, 1)), by), owner, phase), trials.labels[owner]

    def _selected(
        self, oracle: Oracle, generator: Generator, trials: Trials, candidates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of candidates (T, k, m) the one (T, m) of highest mean confidence over the same crops, and that (T,)."""
        T, k, _ = candidates.shape
        every = torch.arange(T)
        owner = every.repeat_interleave(k * self.select)
        by = crops(trials, every, self.select, 2 * self.crop).repeat(1, k, 1).flatten(0, 1)
        z = candidates.repeat_interleave(self.select, 1).flatten(0, 1)
        p = seen(oracle.logits, generator, z, by, owner, "selection").softmax(1)
        own = p.gather(1, trials.labels[owner].unsqueeze(1)).view(T, k, self.select).mean(2)
        confidence, place = own.max(1)
        return candidates[every, place.cpu()], confidence
