"""A collection of photos to a folder of grey frontal faces, as the paper prepared VGGFace2 (section V-A).

One person is one job, which leaves the person's faces and, last of all, a record of what became of the photos. People
who have a record are done: that is all there is to resuming.
"""

import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from ..files import write_atomic
from ..plugin.errors import RequestError
from . import layout
from .faces import CASCADE, HEADROOM, MARGIN, NEIGHBOURS, SCALE_STEP, SUBJECT, Detector, load_opencv
from .photo import grey

MANIFEST = "prepared.json"
_REQUEST, _DONE = ".request.json", ".done"
"""Hidden, so that the folder's reader passes them over."""


@dataclass(frozen=True)
class Settings:
    """What decides which faces come out."""

    size: int = 64
    """Height and width of a face written, in pixels."""
    min_face: int = 40
    """Smallest side of a face found, in pixels of its photo."""
    min_photos: int = 5
    """A person with fewer faces is dropped; 5 is the paper's."""


@dataclass(frozen=True)
class Tally:
    """What became of one person's photos. ``photos`` is the sum of the next five."""

    photos: int
    faces: int
    """Written."""
    undecodable: int
    too_small: int
    """Photos smaller than the smallest face asked for."""
    no_frontal_face: int
    """None found that is large enough."""
    of_people_dropped: int
    """Photos with a face, of a person who has too few of them."""
    several_faces: int
    """Faces written from photos with several."""
    enlarged: int
    """Faces written that were smaller than ``size``."""
    damaged: list[str]
    """Why each undecodable photo is one."""


@dataclass(frozen=True)
class Preparation:
    """A folder being prepared. Made by ``begin``."""

    source: layout.Source
    out: Path
    settings: Settings

    def pending(self) -> list[str]:
        """People who are not done."""
        return [person for person in self.source.people if not self._is_done(person)]

    def _is_done(self, person: str) -> bool:
        """Has a record, and the faces that it counts."""
        if not self._record(person).exists():
            return False
        faces = self.out / person
        return (len(list(faces.glob("*.png"))) if faces.is_dir() else 0) == self._tally(person).faces

    def _tally(self, person: str) -> Tally:
        record = self._record(person)
        try:
            return Tally(**json.loads(record.read_bytes()))
        except (ValueError, TypeError):
            raise _damaged(record) from None

    def execute(self, workers: int) -> Iterator[Tally]:
        """Do the people pending in so many processes; yield what became of each, in the order of finishing."""
        pending = self.pending()
        pool = ProcessPoolExecutor(
            max(1, min(workers, len(pending))),
            # not forked: the caller may have threads, such as a progress bar's
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )
        try:
            jobs = [
                pool.submit(
                    _prepare_person, self.source.people[person], self.out / person, self._record(person), self.settings
                )
                for person in pending
            ]
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool:
            raise RequestError(
                "a worker process was killed (out of memory?); the same command goes on from there, "
                "with fewer --workers if need be"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    def finish(self) -> dict[str, Any]:
        """Write and return the manifest; RequestError if nobody is left."""
        tallies = [self._tally(person) for person in self.source.people]
        total: Counter[str] = Counter()
        for tally in tallies:
            total.update({key: value for key, value in asdict(tally).items() if isinstance(value, int)})
        kept = sum(tally.faces > 0 for tally in tallies)
        if not kept:
            raise RequestError(
                f"nobody in {self.source.root} has {self.settings.min_photos} photos with a frontal face of "
                f"{self.settings.min_face} pixels: of {total['photos']} photos {total['of_people_dropped']} show one, "
                f"{total['undecodable']} cannot be decoded; ask for less with --min-photos or --min-face, and another "
                "--out"
            )
        manifest = {
            **_request(self.source, self.settings),
            "people": {"found": len(tallies), "kept": kept, "dropped": len(tallies) - kept},
            "photos": dict(total),
            "damaged": [reason for tally in tallies for reason in tally.damaged],
        }
        write_atomic(self.out / MANIFEST, _json(manifest))
        return manifest

    def _record(self, person: str) -> Path:
        return self.out / _DONE / f"{person}.json"


def begin(source: Path, out: Path, settings: Settings) -> Preparation:
    """Begin a folder, or go on with one; RequestError, and nothing written, if either folder cannot be used."""
    found = layout.find(source)
    request = _request(found, settings)
    out = out.resolve()
    if out.is_relative_to(found.root) or found.root.is_relative_to(out):
        raise RequestError(f"--out {out} and the photos in {found.root} lie one inside the other; give another --out")
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out} is a file; give a folder")
    begun = out / _REQUEST
    if begun.exists():
        try:
            before = json.loads(begun.read_bytes())
        except ValueError:
            raise _damaged(begun) from None
        if not isinstance(before, dict):
            raise _damaged(begun)
        _check_same(before, request, out)
        for half_written in [*out.glob(f".{MANIFEST}.*"), *(out / _DONE).glob(".*")]:
            half_written.unlink()
    elif out.is_dir() and any(out.iterdir()):
        raise RequestError(f"--out {out} is not empty and was not begun by data prepare; give another --out")
    else:
        write_atomic(begun, _json(request))
    return Preparation(found, out, settings)


def _request(source: layout.Source, settings: Settings) -> dict[str, Any]:
    """All that decides the outcome, by the name under which a person knows it."""
    return {
        "source": str(source.root),
        "parts": list(source.parts),
        **asdict(settings),
        "cascade": CASCADE,
        "scale_step": SCALE_STEP,
        "neighbours": NEIGHBOURS,
        "subject": SUBJECT,
        "headroom": HEADROOM,
        "margin": MARGIN,
        "opencv": load_opencv().__version__,
        "pillow": PIL.__version__,
    }


def _check_same(begun: dict[str, Any], request: dict[str, Any], out: Path) -> None:
    for key, value in request.items():
        if begun.get(key) != value:
            raise RequestError(
                f"--out {out} was begun with {key} {begun.get(key)}, this is {value}; go on with the same, or give "
                "another --out"
            )


def _damaged(file: Path) -> RequestError:
    return RequestError(f"{file} is damaged: remove it if it is a person's, or give another --out")


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _prepare_person(source: Path, target: Path, record: Path, settings: Settings) -> Tally:
    """Write the person's faces into ``target`` if they suffice, then the record."""
    detector = Detector(settings.min_face)
    outcomes: Counter[str] = Counter()
    damaged: list[str] = []
    faces: dict[str, bytes] = {}
    photos = layout.photos(source)
    for photo, file in zip(photos, _names(photos), strict=True):
        try:
            picture = grey(photo.read_bytes(), photo)
        except RequestError as error:
            damaged.append(str(error))
            continue
        if min(picture.size) < settings.min_face:
            outcomes["too_small"] += 1
            continue
        face = detector.find(picture)
        if face is None:
            outcomes["no_frontal_face"] += 1
            continue
        outcomes["several_faces"] += not face.alone
        outcomes["enlarged"] += face.side < settings.size
        faces[file] = _png(face.cut(picture, settings.size))
    if target.exists():  # a run was killed while it wrote here
        shutil.rmtree(target)
    kept = len(faces) >= settings.min_photos
    if kept:
        for file, content in faces.items():
            write_atomic(target / file, content)
    tally = Tally(
        photos=len(photos),
        faces=len(faces) if kept else 0,
        undecodable=len(damaged),
        too_small=outcomes["too_small"],
        no_frontal_face=outcomes["no_frontal_face"],
        of_people_dropped=0 if kept else len(faces),
        several_faces=outcomes["several_faces"] if kept else 0,
        enlarged=outcomes["enlarged"] if kept else 0,
        damaged=damaged,
    )
    write_atomic(record, _json(asdict(tally)))
    return tally


def _names(photos: list[Path]) -> list[str]:
    """The faces' file names; RequestError if two photos would share one."""
    taken: dict[str, Path] = {}
    for photo in photos:
        first = taken.setdefault(f"{photo.stem}.png", photo)
        if first != photo:
            raise RequestError(f"{first} and {photo.name} would both become {photo.stem}.png; rename one of them")
    return list(taken)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver lets each worker finish its person
    warnings.simplefilter("ignore")  # Pillow's remarks on photos' metadata
    threading.Thread(target=_end_with_the_driver, daemon=True).start()


def _end_with_the_driver() -> None:
    """Without this, the workers of a killed driver would wait for jobs for ever."""
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
