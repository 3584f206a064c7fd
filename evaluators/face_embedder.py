"""An independent face-verification model: dlib's 128-d residual network (King, 2017; 99.4% on LFW's pairs), trained on
millions of photos of other people."""

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.distance import pdist
from skimage.transform import resize
from torch import Tensor

from mia_bench.plugin import Evaluator, Fitting, Recogniser

from ._nearest import NearestPhoto

NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
SIDE = 200
"""Pixels that an image is enlarged to."""
PADDING = 0.25
"""Around the aligned face, as the network was trained."""


class FaceEmbedder(Evaluator):
    """dlib's face-verification network, nearest photo within a calibrated distance; slow (0.1 s an image).

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
    for picture in images[:, 0].detach().cpu().double().numpy():
        enlarged = resize(picture, (SIDE, SIDE), order=3)  # type: ignore[no-untyped-call]
        colour = np.repeat((255 * enlarged).round().astype(np.uint8)[..., None], 3, axis=2)
        found.append(np.array(network.compute_face_descriptor(colour, landmarks(colour, face), 0, PADDING)))
    return np.stack(found)


@cache
def _models() -> tuple[Any, Any, Any]:
    """dlib, its network and its landmarks. The package that ships them is not imported: it needs an old setuptools."""
    dlib = import_module("dlib")
    try:
        shipped = {file.name: str(file.locate()) for file in files("face-recognition-models") or []}
    except PackageNotFoundError as error:
        raise FileNotFoundError("the models of face-recognition-models: its metadata is gone") from error
    return dlib, dlib.face_recognition_model_v1(shipped[NETWORK]), dlib.shape_predictor(shipped[LANDMARKS])
