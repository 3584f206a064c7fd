"""Randomness derived by hashing: every defense meets the same trials, and no trial's draws depend on another's.

The one exception is a defense's own noise: as a service answers callers as they come, it is drawn in that order.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def derive(seed: int, *roles: str | int) -> int:
    """A 63-bit seed for (seed, roles...), e.g. ``derive(0, "A", "s07", 3, "attack")``."""
    text = "\x1f".join([str(seed), *map(str, roles)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *roles: str | int) -> torch.Generator:
    """A CPU generator for (seed, roles...). Draws are made on the CPU so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive(seed, *roles))


class Streams:
    """One random stream per trial: a trial's draws do not depend on which other trials run, or still run."""

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._seeds = tuple(seeds)
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = torch.device(device)

    def fresh(self) -> "Streams":
        """The same streams from their beginning."""
        return Streams(self._seeds, self._device)

    def __len__(self) -> int:
        return len(self._generators)

    def of(self, trial: int) -> torch.Generator:
        """One trial's own stream, a CPU generator."""
        return self._generators[trial]

    def randn(self, trials: Tensor, *shape: int) -> Tensor:
        """Standard normal draws (len(trials), *shape) float32, one block from each named trial's own stream."""
        blocks = [torch.randn(*shape, generator=self._generators[trial]) for trial in trials.tolist()]
        return (torch.stack(blocks) if blocks else torch.empty(0, *shape)).to(self._device)
