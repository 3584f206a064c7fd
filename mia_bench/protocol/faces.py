"""The frontal face in a photo, by OpenCV's cascade (Viola and Jones 2001; Lienhart and Maydt 2002)."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
from PIL import Image

from ..plugin.errors import RequestError

CASCADE = "haarcascade_frontalface_alt2.xml"
"""Of the package's frontal cascades, the one that missed fewest LFW photos at the highest speed."""
SCALE_STEP, NEIGHBOURS = 1.1, 5
SUBJECT = 0.3
"""A face must fill so much of the photo's shorter side: the photo's subject does, and large photos stay cheap."""
HEADROOM = 0.8
"""The search begins at so much of the smallest size: below where it begins, the cascade still finds a face but boxes it
too large (88 pixels as 110)."""
MARGIN = 1.1
"""Side of the cut over the cascade's box, which ends at the chin and on the cheeks: a tenth more takes the chin in."""


@dataclass(frozen=True)
class Face:
    """A frontal face found in a photo; lengths in the photo's pixels."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the square to cut out, within the photo."""
    alone: bool
    """No other frontal face was found."""

    @property
    def side(self) -> float:
        """Of the square."""
        return self.box[2] - self.box[0]

    def cut(self, photo: Image.Image, size: int) -> Image.Image:
        """The square, resized to (size, size)."""
        return photo.resize((size, size), Image.Resampling.LANCZOS, box=self.box)


class Detector:
    """Finds the frontal face nearest a photo's centre, where photo collections have their subject.

    "Frontal" is what the cascade takes for it: profiles and sideways photos fall out, half-turned faces may stay.
    """

    def __init__(self, min_face: int) -> None:
        """``min_face``: side of the smallest face to find, in pixels."""
        opencv = load_opencv()
        opencv.setNumThreads(1)  # the work is divided by person, one process a core
        self._min_face = min_face
        self._cascade = opencv.CascadeClassifier(opencv.data.haarcascades + CASCADE)

    def find(self, photo: Image.Image) -> Face | None:
        """The face in a grey photo, if there is one that is large enough."""
        smallest = max(self._min_face, round(SUBJECT * min(photo.size)))
        least = round(HEADROOM * smallest)
        found = self._cascade.detectMultiScale(np.asarray(photo), SCALE_STEP, NEIGHBOURS, minSize=(least, least))
        boxes = np.asarray(found).reshape(-1, 4)  # (faces, [left, top, width, height])
        boxes = boxes[boxes[:, 2] >= smallest]
        if not len(boxes):
            return None
        sides, centres = boxes[:, 2], boxes[:, :2] + boxes[:, 2:] / 2
        distances = np.hypot(*(centres - np.array(photo.size) / 2).T)
        nearest = np.lexsort((-sides, distances))[0]
        side = min(MARGIN * float(sides[nearest]), *photo.size)
        left, top = (
            float(np.clip(centre - side / 2, 0, length - side))
            for centre, length in zip(centres[nearest], photo.size, strict=True)
        )
        return Face((left, top, left + side, top + side), alone=len(boxes) == 1)


def load_opencv() -> ModuleType:
    """OpenCV, of a version that has the cascades; RequestError says how to install it."""
    try:
        opencv = import_module("cv2")  # from an extra: absent where types are checked, too
    except ImportError:
        raise RequestError("data prepare needs OpenCV to find faces: pip install -e '.[prepare]'") from None
    if not hasattr(opencv, "CascadeClassifier"):
        raise RequestError(
            f"OpenCV {opencv.__version__} has no face cascades: pip install -e '.[prepare]' brings one that has"
        )
    return opencv
