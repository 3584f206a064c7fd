"""Where the photos to prepare lie: one folder per person, in one place or in VGGFace2's two."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..plugin.errors import RequestError
from .readers import SUFFIXES

PARTS = ("test", "train")
"""VGGFace2's own division, by person. The paper's is another, so both parts are taken."""
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


@dataclass(frozen=True)
class Source:
    """Folders of photos, by person, sorted by name."""

    root: Path
    parts: tuple[str, ...]
    """Which of PARTS were found; none where the people's folders lie in ``root`` itself."""
    people: dict[str, Path]


def find(root: Path) -> Source:
    """The people under ROOT/PERSON or ROOT/{train,test}/PERSON; RequestError says what is there instead."""
    if root.is_file():
        mend = "unpack it first and give the folder" if root.suffix.lower() in ARCHIVES else "give a folder"
        raise RequestError(f"{root} is a file, not a folder of one folder per person; {mend}")
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder")
    root = root.resolve()
    parts = tuple(part for part in PARTS if (root / part).is_dir())
    people: dict[str, Path] = {}
    for place in [root / part for part in parts] or [root]:
        for person in _folders(place):
            if person.name in people:
                raise RequestError(
                    f"{person.name} is in both {people[person.name].parent} and {place}; leave a person in one of them"
                )
            people[person.name] = person
    if not any(photos(person) for person in people.values()):
        raise RequestError(_instead(root))
    return Source(root, parts, dict(sorted(people.items())))


def photos(person: Path) -> list[Path]:
    """The photo files of a person's folder, sorted by name."""
    with os.scandir(person) as entries:
        names = [entry.name for entry in entries if _is_photo(entry.name) and entry.is_file()]
    return [person / name for name in sorted(names)]


def _folders(place: Path) -> Iterator[Path]:
    return (path for path in place.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _is_photo(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _instead(root: Path) -> str:
    """What lies under a folder in which no person has a photo, and what to do about it."""
    expected = "expected SOURCE/PERSON/PHOTO, or SOURCE/train/PERSON/PHOTO and SOURCE/test/PERSON/PHOTO"
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not any(map(_is_photo, files)):
            continue
        person = Path(place)
        if person == root or person.parent == root:  # the latter is a part: other folders in ROOT are people
            return f"photos lie directly in {person}; {expected}: put them into one folder per person"
        above = person.parent.parent if person.parent.name in PARTS else person.parent
        return f"photos lie too deep for {root}, in {person}; {expected}: give {above}"
    packed = sorted(file.name for file in root.iterdir() if file.suffix.lower() in ARCHIVES)
    if packed:
        return f"{root} holds no photo but the archive {packed[0]}; unpack it first"
    return f"{root} holds no photo ({', '.join(SUFFIXES)}); {expected}"
