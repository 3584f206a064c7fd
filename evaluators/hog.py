"""Histograms of oriented gradients (Dalal and Triggs, 2005) with the nearest photo."""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from skimage.feature import hog
from torch import Tensor

from mia_bench.plugin import Evaluator, Fitting, Recogniser

from ._nearest import NearestPhoto


class HOG(Evaluator):
    """Histograms of oriented gradients, compared with the nearest photo of each person: no training at all."""

    name = "hog"

    cells: Annotated[int, Field(ge=2)] = 8
    """Along the shorter side of the image."""
    orientations: Annotated[int, Field(ge=2)] = 9

    def fit(self, fitting: Fitting) -> Recogniser:
        photos = fitting.photos
        images, labels = torch.cat([photos.images, photos.images.flip(-1)]), photos.labels.repeat(2)
        return NearestPhoto(self.describe, images, labels, photos.classes, fitting.engine.device)

    def describe(self, images: Tensor) -> NDArray[np.float64]:
        """Descriptors (B, d) of unit length."""
        side = max(2, min(images.shape[-2:]) // self.cells)
        found: NDArray[np.float64] = np.stack(
            [
                hog(picture, self.orientations, pixels_per_cell=(side, side), cells_per_block=(2, 2))
                for picture in images[:, 0].detach().cpu().double().numpy()
            ]
        )
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(length > 0, length, 1)
