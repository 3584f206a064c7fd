"""What answers queries: images, and the accounts that send them, in; scores out."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Query:
    """Images (B, 1, H, W) float32 in [0, 1], each with the account it comes from."""

    images: Tensor
    callers: Tensor
    """(B,) int64. Numbers mean nothing beyond "the same account" and "another one"."""

    def with_images(self, images: Tensor) -> "Query":
        """The same callers with other images (B, 1, H, W): what a defense that changes images passes on."""
        return replace(self, images=images)

    def take(self, rows: Tensor) -> "Query":
        """The images of these rows (n,) int64, or (B,) bool, alone."""
        return Query(self.images[rows], self.callers[rows])

    def __len__(self) -> int:
        return len(self.images)


Service = Callable[[Query], Tensor]
"""Scores (B, classes) float32 in [0, 1] for a query, NaN where withheld; an image without any was refused.

The recogniser is the innermost service and each defense wraps the one below, so that a composition is a nesting and a
service elsewhere is one like any other.
"""
