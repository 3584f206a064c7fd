"""One network of one fold: what it learns, how, and where its weights are. The one way to pin, cache and train."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..plugin.errors import RequestError
from ..plugin.evaluator import Evaluator
from ..plugin.fitting import Trainable
from ..plugin.photos import Photos
from ..protocol.model import Pinned
from . import store


@dataclass(frozen=True)
class Role:
    """Which network of a fold: one of the protocol's, or one that a component trains (in its place)."""

    name: str
    """One of ``Protocol.roles``."""
    by: Trainable | None = None
    """Who trains it, where it is not the protocol's own recipe."""

    @property
    def key(self) -> str:
        """As files and pins name it."""
        if self.by is None:
            return self.name
        return self.by.spec if isinstance(self.by, Evaluator) else f"{self.name}+{self.by.spec}"


@dataclass(frozen=True)
class Lesson:
    """All that decides a network's weights, and the two functions that make them."""

    role: Role
    fold: str
    recipe: dict[str, Any]
    seed: int
    data: dict[str, Any]
    """How photos become images."""
    photos: Photos
    network: Callable[[], nn.Module]
    """Untrained."""
    train: Callable[[], nn.Module]
    """Trained now, whatever is pinned or cached."""
    quick: bool = False
    """Made from weights that the protocol brings, in less time than a cache would take."""

    @property
    def sha256(self) -> str:
        """SHA-256 of recipe, seed, and photos as the network sees them.

        What ``networks/`` fixes in code is covered by ``format``: raise it when that changes.
        """
        content = {
            "format": 2,
            "recipe": self.recipe,
            "seed": self.seed,
            "data": self.data,
            "photos": self.photos.hashes,
            "labels": self.photos.labels.tolist(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def file(self) -> str:
        """The name of its pinned weights."""
        return re.sub(r"[^\w.-]", "-", f"{self.fold}-{self.role.key}.safetensors")

    def obtain(self, pinned: Pinned | None, protocol: str) -> nn.Module:
        """Pinned weights, else cached ones, else trained now and cached."""
        key = self.role.key
        if pinned is not None and key in pinned.sha256[self.fold]:
            if pinned.recipe[self.fold][key] != self.sha256:
                raise RequestError(
                    f"protocol {protocol}: [pinned] {self.fold}-{key} was trained with another recipe, seed or "
                    "photos; remove [pinned], or pin anew with 'mia-bench train --export'"
                )
            return store.read_pinned(self.network(), Path(pinned.path) / self.file, pinned.sha256[self.fold][key])
        if self.quick:
            return self.train()
        return store.cached(self.network(), self.sha256, self.train)


def recipe_of(by: Trainable, base: dict[str, Any]) -> dict[str, Any]:
    """What a component's parameters say of a training. Its code is covered by ``version`` where mia-bench brings it,
    and by its sources where somebody else does; ``base`` is the protocol's recipe where it trains in its place."""
    own = {"version": by.version, **by.parameters}
    if not type(by).__module__.startswith("mia_bench."):
        own["sources"] = by.source_sha256
    return own if isinstance(by, Evaluator) else {**own, "base": base, "by": by.name}
