"""What a service's answers give away about how it defends: asked by the bench, after the attack, outside its ledger."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..plugin.access import Access
from ..plugin.defense import Pipeline
from ..plugin.generator import Generator
from ..plugin.scores import refused
from ..plugin.target import Recogniser

INVISIBLE = 0.4 / 255
"""Of a pixel's range: less than the steps of an 8-bit picture."""
STEP = 0.05
"""Of the spread of Q1's codes: what a cautious search takes for a perturbation."""


@dataclass(frozen=True)
class Answers:
    """Shares, in [0, 1], of the images asked about."""

    unrepeatable: float
    """Asked again, or about an image that differs invisibly, the service answers otherwise than before."""
    flat: float
    """A small step in the latent changes the target's scores and none of those released."""


def probe(
    target: Recogniser, defense: Pipeline, generator: Generator, codes: Tensor, latents: Tensor, rng: torch.Generator
) -> Answers:
    """Ask about D(z) for ``latents`` (n, m), each again, invisibly changed, and a step away; ``codes`` are Q1's."""
    with torch.inference_mode():
        images = generator.decode(latents)
        noise = (torch.rand(images.shape, generator=rng) * 2 - 1).to(images.device)
        step = torch.randn(latents.shape, generator=rng).to(latents.device) * STEP * codes.std(0)
        true = target.scores(images)
        near = target.scores((images + INVISIBLE * noise).clamp(0, 1))
        moved = target.scores(generator.decode(latents + step))
        said = [defense.release(scores, rng) for scores in (true, true, near, moved)]
    again, nearby = _change(said[0], said[1]), _change(said[0], said[2])
    other = (again > 1e-6) | (nearby > 10 * _change(true, near) + 0.01)
    flat = (_change(said[0], said[3]) == 0) & (_change(true, moved) > 0)
    flat &= ~refused(said[0])
    if defense.access is Access.LABEL_ONLY:  # no scores are released that could be flat
        flat = torch.zeros_like(flat)
    return Answers(_share(other), _share(flat))


def _change(one: Tensor, other: Tensor) -> Tensor:
    """The largest change (n,) of a score that both (n, classes) release; infinite where they release other classes
    altogether, none where both refuse."""
    change = (one - other).abs()
    most = change.nan_to_num(nan=0.0).amax(1)
    apart = change.isnan().all(1) & ~(refused(one) & refused(other))
    return most.masked_fill(apart, torch.inf)


def _share(hit: Tensor) -> float:
    return round(float(hit.float().mean()), 6)
