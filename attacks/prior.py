"""What an attacker has before attacking: the floor that every defense must be read against."""

from typing import Annotated

import torch
from pydantic import Field

from mia_bench.plugin import Access, Attack, Generator, Oracle, Reconstructions, Trials

from ._crops import cropped
from ._prior import drawn


class Prior(Attack):
    """A random face D(z), z drawn around Q1's codes. Asks nothing, so that no defense of any kind concerns it."""

    name = "prior"
    access = Access.LABEL_ONLY

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        every = torch.arange(len(trials))
        with torch.inference_mode():
            codes = generator.encode(trials.public.images)
            images = generator.decode(
                torch.cat([drawn(codes, 1, trials.streams.of(trial)) for trial in every.tolist()])
            )
        oracle.offer(images, every)
        oracle.finish(every)
        return Reconstructions(images, torch.zeros(len(trials), dtype=torch.bool))


class LookAlike(Attack):
    """The Q1 photo that the target takes for the identity most often, seen through crops.

    The photos are sent again and again, each time with crops a little larger; all identities of a replicate share the
    answers and each image is charged to one of its trials in turn. Uses labels only, whatever is released: withheld
    scores, rounding and noise concern it only where they change the top label, which the count over crops outvotes.
    A refused image counts for nobody. An identity that no photo was taken for gets a random photo. A trial has
    converged if most looks at its photo were taken for the identity.
    """

    name = "look-alike"
    access = Access.LABEL_ONLY

    looks: Annotated[int, Field(ge=1)] = 10
    """How often every photo is sent, as far as the budget goes."""
    crop: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Crops of the last time scale and shift by up to this share of the image; the first time whole photos are sent."""

    def run(self, oracle: Oracle, generator: Generator, trials: Trials) -> Reconstructions:
        photos = trials.public.images.to(trials.z0.device)
        picked = [int(torch.randint(len(photos), (1,), generator=trials.streams.of(t))) for t in range(len(trials))]
        chosen = torch.tensor(picked, device=photos.device)
        converged = torch.zeros(len(trials), dtype=torch.bool)
        with torch.inference_mode():
            for replicate in trials.replicates():
                taken = torch.zeros(len(replicate), len(photos), device=photos.device)  # how often, for each identity
                owner = replicate.repeat(len(photos) // len(replicate) + 1)[: len(photos)]
                draw = trials.streams.of(int(replicate[0]))
                looks = min(self.looks, oracle.budget // -(-len(photos) // len(replicate)))
                for look in range(looks):
                    by = torch.randn(len(photos), 3, generator=draw).to(photos.device).clamp(-2, 2) / 2
                    images = cropped(photos, by * self.crop * look / self.looks)
                    y = oracle.labels(images, owner, "search")
                    taken += y == trials.labels[replicate].unsqueeze(1)
                    some = taken.sum(1) > 0
                    chosen[replicate] = torch.where(some, taken.argmax(1), chosen[replicate])
                    oracle.offer(photos[chosen[replicate]], replicate)
                converged[replicate] = (taken.amax(1) > looks / 2).cpu()
                oracle.finish(replicate)
        return Reconstructions(photos[chosen], converged)
