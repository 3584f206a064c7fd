"""White-box model inversion (Yoshimura et al., section IV-A, Eq. 6-8)."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from mia_bench.plugin import Access, Attack, Generator, Oracle, Reconstructions, Trials, alpha


class WhiteBox(Attack):
    """Gradient descent on the latent: z_hat = argmin_z L(R(D(z)); y_hat), L the cross-entropy (Eq. 6).

    Holds the weights, so that nothing done to the released scores concerns it. One step of one trial is one query.
    """

    name = "wb"
    access = Access.WHITE_BOX

    alpha_max: Annotated[float, Field(gt=0)] = 100.0
    step: Annotated[float, Field(gt=0)] = 0.1
    """alpha = min(alpha_max, step / ||g||) (section V-A)."""
    stop: Annotated[float, Field(gt=0, le=1)] = 0.99
    """A trial ends when exp(-L) exceeds this."""
    max_steps: Annotated[int, Field(ge=1)] = 300
    """The paper names no cap; this is ours."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        z = trials.z0.clone()
        converged = torch.zeros(len(trials), dtype=torch.bool)
        active = torch.arange(len(trials))
        for _ in range(min(self.max_steps, oracle.budget)):
            y_hat = trials.labels[active]
            z_active = z[active].requires_grad_()
            x = generator.decode(z_active)
            oracle.offer(x, active)
            L = F.cross_entropy(oracle.logits(x, active), y_hat, reduction="none")
            (g,) = torch.autograd.grad(L.sum(), z_active)  # Eq. 8: the chain rule through R and D

            reached = ((-L).exp() > self.stop).cpu()
            converged[active[reached]] = True
            oracle.finish(active[reached])
            active, g = active[~reached], g[~reached]
            z[active] -= alpha(g, self.alpha_max, self.step) * g  # Eq. 7
            if not len(active):
                break
        oracle.finish(active)
        with torch.inference_mode():
            return Reconstructions(generator.decode(z), converged)
