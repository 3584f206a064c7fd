"""GMI (Zhang et al., "The Secret Revealer: Generative Model-Inversion Attacks Against Deep Neural Networks", CVPR
2020)."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from mia_bench.plugin import Access, AdversarialGenerator, Attack, Generator, Oracle, Reconstructions, Trials


class GMI(Attack):
    """White-box descent on the latent of a GAN: identity loss plus what the GAN's own critic says.

    z_hat = argmin_z lambda_id L_id(z) + L_prior(z) with L_id the cross-entropy of R(D(z)) and L_prior = -critic(D(z)),
    by Nesterov's momentum as in the authors' code. They keep the best of several starts, a trial here has one. Holds
    the weights, so that nothing done to the released scores concerns it. Stops after ``steps``, never earlier.
    """

    name = "gmi"
    access = Access.WHITE_BOX
    adversarial = True

    steps: Annotated[int, Field(ge=1)] = 1500
    rate: Annotated[float, Field(gt=0)] = 0.02
    batch: Annotated[int, Field(ge=1)] = 64
    """Both losses are averaged over so many identities in the authors' code: one's gradient is divided by it."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    lambda_id: Annotated[float, Field(gt=0)] = 100.0
    clip: Annotated[float, Field(gt=0)] = 1.0
    """After each step z is within [-clip, clip]."""
    converged_at: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Score of the target from which a trial counts as converged."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        assert isinstance(generator, AdversarialGenerator)
        every = torch.arange(len(trials))
        z = trials.streams.randn(every, generator.latent)
        v = torch.zeros_like(z)
        y_hat = trials.labels
        score = torch.zeros(len(trials), device=z.device)
        for _ in range(min(self.steps, oracle.budget)):
            z.requires_grad_()
            x = generator.decode(z)
            oracle.offer(x, every)
            L_id = F.cross_entropy(oracle.logits(x, every), y_hat, reduction="none")
            L_prior = -generator.realism(x)
            (g,) = torch.autograd.grad((self.lambda_id * L_id + L_prior).sum(), z)
            score = (-L_id).detach().exp()
            with torch.no_grad():
                v_before, v = v, self.momentum * v - self.rate * g / self.batch
                z = (z - self.momentum * v_before + (1 + self.momentum) * v).clamp(-self.clip, self.clip)
        oracle.finish(every)
        with torch.inference_mode():
            return Reconstructions(generator.decode(z), score.cpu() >= self.converged_at)
