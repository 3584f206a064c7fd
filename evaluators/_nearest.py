"""Recognition by the nearest of a person's photos in a descriptor's space."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances
from torch import Tensor

from mia_bench.plugin import Recogniser

Describe = Callable[[Tensor], NDArray[np.float64]]
"""Images (B, 1, H, W) -> descriptors (B, d)."""


class NearestPhoto(Recogniser):
    """Scores 1 / (1 + distance to the person's nearest photo); NaN for who is farther than ``accept``."""

    def __init__(
        self,
        describe: Describe,
        images: Tensor,
        labels: Tensor,
        classes: int,
        device: torch.device,
        accept: Callable[[NDArray[np.float64], NDArray[np.int64]], float] = lambda descriptors, labels: np.inf,
    ) -> None:
        """``accept`` gives the distance beyond which nobody is recognised, from the enrolled descriptors and labels."""
        self._describe, self._device = describe, device
        self._enrolled = describe(images)
        self._of = [np.flatnonzero(labels.numpy() == label) for label in range(classes)]
        self.accept = accept(self._enrolled, labels.numpy())

    def scores(self, images: Tensor) -> Tensor:
        distance = pairwise_distances(self._describe(images), self._enrolled)
        nearest = np.stack([distance[:, own].min(1) for own in self._of], axis=1)
        scores = np.where(nearest <= self.accept, 1 / (1 + nearest), np.nan)
        return torch.as_tensor(scores, dtype=torch.float32, device=self._device)
