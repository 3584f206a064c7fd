"""A set of photos with its people, as networks take it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Photos:
    """Photos of ``people``: images (n, 1, H, W) float32 in [0, 1], labels (n,) int64 into ``people``.

    ``hashes`` holds each photo's SHA-256, by which the splits are proved disjoint.
    """

    images: Tensor
    labels: Tensor
    people: tuple[str, ...]
    hashes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> int:
        """How many people there are."""
        return len(self.people)

    @property
    def names(self) -> list[str]:
        """Whom each photo shows."""
        return [self.people[label] for label in self.labels.tolist()]

    def copied(self) -> "Photos":
        """The same photos in memory of their own: whoever gets them may change them."""
        return replace(self, images=self.images.clone(), labels=self.labels.clone())

    def of(self, person: str) -> Tensor:
        """The photos (k, 1, H, W) of one person."""
        return self.images[self.labels == self.people.index(person)]

    def take(self, rows: Tensor) -> "Photos":
        """These photos (n,) int64 alone, of the same people."""
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            hashes=tuple(self.hashes[i] for i in rows.tolist()),
        )

    def labels_of(self, people: tuple[str, ...]) -> Tensor:
        """The class index (len(people),) int64 of each named person."""
        return torch.tensor([self.people.index(person) for person in people])
