"""An independent face-verification model: dlib's 128-d residual network (King, 2017; 99.4% on LFW's pairs), trained on
millions of photos of other people."""

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import pdist
from skimage.transform import resize
from torch import Tensor, nn

from mia_bench.plugin import Evaluator, Fitting, Recogniser

from ._dlib_network import SIDE as CHIP
from ._dlib_network import DlibNetwork
from ._nearest import NearestPhoto

NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
SIDE = 200
"""Pixels that an image is enlarged to."""
PADDING = 0.25
"""Around the aligned face, as the network was trained."""
BATCH = 16


class FaceEmbedder(Evaluator):
    """dlib's face-verification network, nearest photo within a calibrated distance; 10 ms an image.

    Each image is taken for one face, aligned by five landmarks. A person is accepted within the distance at which
    ``false_matches`` of the pairs of different people in Q3 would match.
    """

    name = "face-embedder"

    false_matches: Annotated[float, Field(gt=0, lt=1)] = 0.01

    @classmethod
    def missing(cls) -> str:
        absent = [name for name in ("dlib", "face_recognition_models") if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed: pip install 'mia-bench[embedder]'" if absent else ""

    def fit(self, fitting: Fitting) -> Recogniser:
        photos = fitting.photos
        return NearestPhoto(describe, photos.images, photos.labels, photos.classes, fitting.engine.device, self._accept)

    def _accept(self, descriptors: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """The distance that only ``false_matches`` of the pairs of different people stay within."""
        impostors = pdist(labels[:, None], "hamming") > 0
        return float(np.quantile(pdist(descriptors)[impostors], self.false_matches))


def describe(images: Tensor) -> NDArray[np.float64]:
    """Descriptors (B, 128) of images (B, 1, H, W), each a face that fills its image."""
    dlib, network, landmarks = _models()
    face = dlib.rectangle(0, 0, SIDE - 1, SIDE - 1)
    found = []
    for piece in torch.split(images[:, 0].detach().cpu().double(), BATCH):
        chips = []
        for picture in piece.numpy():
            enlarged = resize(picture, (SIDE, SIDE), order=3)  # type: ignore[no-untyped-call]
            colour = np.repeat((255 * enlarged).round().astype(np.uint8)[..., None], 3, axis=2)
            chips.append(dlib.get_face_chip(colour, landmarks(colour, face), size=CHIP, padding=PADDING))
        with torch.inference_mode():
            found.append(network(torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float()))
    return torch.cat(found).double().numpy()


@cache
def _models() -> tuple[Any, nn.Module, Any]:
    """dlib, its network and its landmarks. The package that ships them is not imported: it needs an old setuptools."""
    dlib = import_module("dlib")
    try:
        shipped = {file.name: str(file.locate()) for file in files("face-recognition-models") or []}
    except PackageNotFoundError as error:
        raise FileNotFoundError("the models of face-recognition-models: its metadata is gone") from error
    network = DlibNetwork(Path(shipped[NETWORK])).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return dlib, network, dlib.shape_predictor(shipped[LANDMARKS])
