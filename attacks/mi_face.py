"""MI-Face (Fredrikson, Jha, Ristenpart, "Model Inversion Attacks that Exploit Confidence Information and Basic
Countermeasures", CCS 2015, Algorithm 1)."""

from typing import Annotated

import torch
from pydantic import Field

from mia_bench.plugin import Access, Attack, Generator, Oracle, Reconstructions, Trials


class MIFace(Attack):
    """White-box descent on the pixels' cost c(x) = 1 - f_y(x) from a black image, without auxiliary knowledge.

    Algorithm 1 with PROCESS the clipping to [0, 1]; the image of lowest cost is returned. Holds the weights, so that
    nothing done to the released scores concerns it. Its trials differ in nothing: the algorithm draws nothing and
    starts from one image.
    """

    name = "mi-face"
    access = Access.WHITE_BOX

    alpha: Annotated[int, Field(ge=1)] = 5000
    """Steps at most."""
    beta: Annotated[int, Field(ge=1)] = 100
    """Patience: a trial ends when its cost is not below the highest of the last beta."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    """A trial ends when f_y reaches this (printed as c <= gamma, which the first image would meet)."""
    rate: Annotated[float, Field(gt=0)] = 0.1
    """lambda, the size of a step."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        x = torch.zeros_like(generator.decode(trials.z0))
        best = x.clone()
        lowest = torch.full((len(trials),), torch.inf)
        converged = torch.zeros(len(trials), dtype=torch.bool)
        costs = torch.full((len(trials), self.beta), torch.inf)
        active = torch.arange(len(trials))
        for step in range(min(self.alpha, oracle.budget)):
            x_active = x[active].requires_grad_()
            f = oracle.logits(x_active, active).softmax(1)
            c = 1 - f.gather(1, trials.labels[active].unsqueeze(1)).squeeze(1)
            (g,) = torch.autograd.grad(c.sum(), x_active)
            c = c.detach().cpu()

            better = active[c < lowest[active]]
            best[better] = x[better]
            oracle.offer(best[active], active)
            lowest[active] = torch.minimum(lowest[active], c)
            reached = c <= 1 - self.gamma
            stuck = c >= costs[active].amax(1)
            costs[active, step % self.beta] = c
            converged[active[reached]] = True
            ended = reached | stuck
            oracle.finish(active[ended])
            active, g = active[~ended], g[~ended]
            if not len(active):
                break
            x[active] = (x[active] - self.rate * g).clamp(0, 1)
        oracle.finish(active)
        return Reconstructions(best, converged)
