"""What a service's answers give away about how it defends: asked by the bench, from accounts of its own, outside the
ledger."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..plugin.access import Access
from ..plugin.generator import Generator
from ..plugin.scores import refused
from ..plugin.service import Query, Service
from ..records.figures import Probes

INVISIBLE = 0.4 / 255
"""Of a pixel's range: less than the steps of an 8-bit picture."""
STEP = 0.05
"""Of the spread of Q1's codes: what a cautious search takes for a perturbation."""
FEWEST = 5
"""Steps that move a margin, without which nothing is said of how it moves."""
MOVED = 1e-3
"""Of a margin, in logarithms of scores: less is rounding."""


def probe(
    service: Service,
    target: Callable[[Tensor], Tensor],
    generator: Generator,
    codes: Tensor,
    latents: Tensor,
    access: Access,
    rng: torch.Generator,
) -> Probes:
    """Ask about D(z) for ``latents`` (n, m): each twice, in another order, invisibly changed, and a step away.

    Each has an account of its own; nobody else asks this service. ``target`` answers images without the defense;
    ``codes`` are Q1's; ``access`` is what the defense leaves.
    """
    n = len(latents)
    with torch.inference_mode():
        images = generator.decode(latents)
        noise = (torch.rand(images.shape, generator=rng) * 2 - 1).to(images.device)
        step = torch.randn(latents.shape, generator=rng).to(latents.device) * STEP * codes.std(0)
        order = torch.randperm(n, generator=rng)
        near = (images + INVISIBLE * noise).clamp(0, 1)
        moved = generator.decode(latents + step)
    # plain tensors: a service may do with what it is asked whatever works on any tensor
    images, near, moved = (asked.clone() for asked in (images, near, moved))
    callers = torch.arange(n)

    def ask(about: Tensor, who: Tensor) -> Tensor:
        return service(Query(about.clone(), who))

    with torch.no_grad():
        true = [target(about) for about in (images, near, moved)]
        said = [ask(about, callers) for about in (images, images)]
        shuffled = torch.empty_like(said[0])
        shuffled[order.to(shuffled.device)] = ask(images[order.to(images.device)], callers[order])
        said += [shuffled, ask(near, callers), ask(moved, callers)]
    first, again, reordered, nearby, away = said
    none = torch.stack([refused(answer) for answer in said]).any(0)
    other = (_change(first, again) > 1e-6) | (_change(first, reordered) > REORDERED)
    other |= _change(first, nearby) > 10 * _change(true[0], true[1]) + 0.01
    flat = (_change(first, away) == 0) & ~none
    answered = first[~refused(first)]
    constant = len(answered) > 1 and not bool((_change(answered[1:], answered[:1].expand_as(answered[1:])) > 0).any())
    labels = access is Access.LABEL_ONLY  # no scores are released that could be flat, or mislead
    return Probes(
        unrepeatable=_share(other & ~none),
        flat=0.0 if labels or constant else _share(flat),
        agreement=None if labels else _agreement(true[0], true[2], first, away),
        refused=_share(none),
    )


REORDERED = 1e-4
"""A score may differ by this much where an image stands at another place of a batch: networks round there."""


def _agreement(true: Tensor, true_moved: Tensor, said: Tensor, said_moved: Tensor) -> float | None:
    """Share of the steps that move the released margin of the target's first class as they move the true one; None
    where too few move it.

    A released margin may be read from scores or from their logarithms: the reading that agrees more counts, so that no
    monotone change of the scores misleads.
    """
    label = true.argmax(1, keepdim=True)
    before, after = (_margin(scores.clamp(min=1e-12).log(), label) for scores in (true, true_moved))
    real = after - before
    found = []
    for start, end in ((said, said_moved), (said.clamp(min=1e-12).log(), said_moved.clamp(min=1e-12).log())):
        apparent = _margin(end, label) - _margin(start, label)
        told = (real.abs() > MOVED) & apparent.isfinite() & (apparent != 0)
        if int(told.sum()) < FEWEST:
            return None
        found.append(_share((real[told] > 0) == (apparent[told] > 0)))
    return max(found)


def _margin(scores: Tensor, label: Tensor) -> Tensor:
    """The label's score over the best other released one (n,); NaN where one of them is withheld."""
    own = scores.gather(1, label).squeeze(1)
    others = scores.scatter(1, label, torch.nan).nan_to_num(nan=-torch.inf).amax(1)
    return own - others


def _change(one: Tensor, other: Tensor) -> Tensor:
    """The largest change (n,) of a score that both (n, classes) release; infinite where they release other classes
    altogether, none where both refuse."""
    change = (one - other).abs()
    most = change.nan_to_num(nan=0.0).amax(1)
    apart = change.isnan().all(1) & ~(refused(one) & refused(other))
    return most.masked_fill(apart, torch.inf)


def _share(hit: Tensor) -> float:
    return round(float(hit.float().mean()), 6)
