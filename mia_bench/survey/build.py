"""Makes a survey: one page to hand out, which does not hold the truth, and the key, which does."""

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..bench import planning
from ..board.comparison import groups
from ..files import write_atomic
from ..plugin.access import Access
from ..plugin.errors import RequestError
from ..plugin.seeds import rng
from ..protocol import model as protocol
from ..protocol import split as splits
from ..protocol.images import picture
from ..protocol.model import Protocol
from ..protocol.split import Split
from ..records import attempt as attempts
from ..records.record import Record, read_folder
from .key import KEY, NO, PAGE, SCHEMA, YES, Key, Question

T = TypeVar("T")

DECOYS = 2
"""Faces of questionnaire 1 whose reconstructions are not shown, as in the paper."""
MOST_IDENTITIES = 9 - DECOYS
"""A face is chosen with one key, 1 to 9."""
PLACEHOLDER = "__SURVEY__"


@dataclass(frozen=True)
class Request:
    """What to build a survey from. The defaults are the paper's: 5 targets, 20 reconstructions, 7 faces."""

    run: Path
    """Folder of the records and their reconstructions."""
    protocol: str | None = None
    """Name or file; without it the built-in one that the records name."""
    data: Path | None = None
    """Folder of the photos, for a protocol that brings none."""
    generator: str | None = None
    """The D of the records to take, where the folder has those of several."""
    defense: str = "none"
    attacks: tuple[str, ...] = ()
    """Without any, all that the records have."""
    fold: str | None = None
    """Without it, the records' first."""
    identities: int = 5
    trials: int = 2
    """Reconstructions of each identity by each attack."""
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """All that the page shows, and what it means. Pictures are images (1, H, W) in [0, 1]."""

    faces: dict[str, str]
    """Who each face of questionnaire 1 is, by its id, in the page's order."""
    portraits: dict[str, Tensor]
    """The picture of each face, by its id."""
    questions: list[Question]
    """In the page's order."""
    pictures: dict[str, dict[str, Tensor]]
    """By question id: ``image``, the reconstruction, and ``photo`` where one stands beside it."""


def build(request: Request, out: Path, *, force: bool = False) -> Key:
    """Write index.html and key.json into ``out``, the same bytes for the same request; RequestError writes nothing."""
    _check(request, out, force)
    records = _records(request)
    first = records[0]
    loaded = _protocol(request, first)
    fold = request.fold or first.folds[0]
    if fold not in first.folds:
        raise RequestError(f"{request.run} has no fold {fold!r}; it has {', '.join(first.folds)}")
    plan = _plan(request, records, loaded, splits.make(loaded, fold))
    page, build_id = _page(plan)
    key = Key(
        build=build_id,
        seed=request.seed,
        protocol=first.protocol,
        fold=fold,
        defense=first.defense,
        cells={record.attack: record.cell_id for record in records},
        identities=sorted({question.identity for question in plan.questions}),
        faces=plan.faces,
        questions=plan.questions,
    )
    write_atomic(out / KEY, key.to_json().encode())
    write_atomic(out / PAGE, page)  # last: a page without its key would be answered in vain
    return key


def _check(request: Request, out: Path, force: bool) -> None:
    if not 1 <= request.identities <= MOST_IDENTITIES:
        raise RequestError(f"--identities {request.identities}: give 1 to {MOST_IDENTITIES}; each face has one key")
    if request.trials < 1:
        raise RequestError(f"--trials {request.trials}: give at least 1")
    if request.seed < 0:
        raise RequestError(f"--seed {request.seed}: give 0 or more")
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file; name a folder for the survey")
    if not force and out.is_dir() and any(out.iterdir()):
        raise RequestError(f"{out} is not empty; name another folder, or replace the survey in it with --force")


def _records(request: Request) -> list[Record]:
    """The finished record of each attack, white-box first as in the paper's tables."""
    found = read_folder(request.run)
    if request.generator is not None:
        known = ", ".join(sorted({record.generator for record in found}))
        found = [record for record in found if record.generator == request.generator]
        if not found:
            raise RequestError(f"{request.run} has no records with generator {request.generator!r}; it has {known}")
    against = [record for record in found if record.defense == request.defense]
    if not against:
        known = ", ".join(sorted({record.defense for record in found}))
        raise RequestError(f"{request.run} has no records of defense {request.defense!r}; it has {known}")
    known = ", ".join(sorted({record.attack for record in against}))
    for attack in request.attacks:
        if attack not in {record.attack for record in against}:
            raise RequestError(
                f"{request.run} has no record of attack {attack!r} against {request.defense}, but {known}"
            )
    chosen = [record for record in against if not request.attacks or record.attack in request.attacks]
    if len(settings := groups(chosen)) > 1:
        titles = "; ".join(group.title for group in settings)
        raise RequestError(
            f"the records in {request.run} were made under different settings ({titles}); give each run "
            "a folder of its own with --out"
        )
    for record in chosen:
        if record.status != "ok":
            raise RequestError(
                f"{record.attack} against {record.defense} left no reconstructions ({record.status}: {record.reason}); "
                "name the others with --attack"
            )
    first = chosen[0]
    for name, asked, there in (
        ("identities", request.identities, first.identities),
        ("trials", request.trials, first.trials),
    ):
        if asked > there:
            raise RequestError(f"--{name} {asked}: the records in {request.run} have {there}; ask for fewer")
    return sorted(chosen, key=lambda record: (record.access is not Access.WHITE_BOX, record.attack))


def _protocol(request: Request, record: Record) -> Protocol:
    name = request.protocol or record.protocol.name
    if request.protocol is None and name not in protocol.built_in():
        raise RequestError(
            f"{request.run} was made with protocol {name}, which is not built in; give its --protocol FILE"
        )
    loaded = planning.open_protocol(name, request.data)
    if loaded.sha256 != record.protocol.sha256:
        raise RequestError(
            f"{request.run} was made with protocol {record.protocol.name} v{record.protocol.version} "
            f"({record.protocol.sha256[:8]}), not with this {loaded.name} v{loaded.version} ({loaded.sha256[:8]}): its "
            "text or its photos differ"
        )
    return loaded


class _Draw:
    """Random choices; what is drawn for one thing does not depend on what was drawn for another."""

    def __init__(self, seed: int, fold: str) -> None:
        self._seed, self._fold = seed, fold

    def some(self, items: Sequence[T], count: int, *roles: str | int) -> list[T]:
        """So many of the items, in random order."""
        order = torch.randperm(len(items), generator=rng(self._seed, "survey", self._fold, *roles))
        return [items[place] for place in order.tolist()[:count]]

    def order(self, items: Sequence[T], *roles: str | int) -> list[T]:
        """All of the items, in random order."""
        return self.some(items, len(items), *roles)


def _plan(request: Request, records: Sequence[Record], loaded: Protocol, split: Split) -> Plan:
    first, draw = records[0], _Draw(request.seed, split.fold)
    identities = draw.some(split.targets[: first.identities], request.identities, "identities")
    others = sorted({*split.q2.people, *split.q3.people} - set(identities))
    if len(others) < DECOYS:
        raise RequestError(
            f"fold {split.fold} of protocol {loaded.name} enrols {len(others)} besides the {len(identities)} "
            f"shown, and {DECOYS} are needed as decoys; ask for fewer --identities"
        )
    people = draw.order([*identities, *draw.some(others, DECOYS, "decoys")], "faces")
    faces = {f"f{place}": person for place, person in enumerate(people, start=1)}
    face_of = {person: face for face, person in faces.items()}
    portraits = {face: draw.some(_photos(split, person)[0], 1, "face", person)[0] for face, person in faces.items()}
    beside = {person: cycle(draw.order(_photos(split, person)[1], "pairs", person)) for person in people}

    who: list[tuple[Question, dict[str, Tensor]]] = []
    same: list[tuple[Question, dict[str, Tensor]]] = []
    found = {
        record.attack: attempts.reconstructions(record.request, loaded.data.image, request.run)[split.fold]
        for record in records
    }
    for identity in sorted(identities):
        strangers = [person for person in people if person != identity]
        # the same trials of every attack, so that all start from the same seeds
        for trial in draw.some(range(first.trials), request.trials, "trials", identity):
            for attack, images in found.items():
                image = images[split.targets.index(identity), trial]
                question = partial(Question, id="", identity=identity, attack=attack, trial=trial)
                who.append((question(kind="who", right=face_of[identity]), {"image": image}))
                stranger = draw.some(strangers, 1, "stranger", identity, trial, attack)[0]
                for person, right in ((identity, YES), (stranger, NO)):
                    pair = {"image": image, "photo": next(beside[person])}
                    same.append((question(kind="same", right=right, photo_of=person), pair))
    shown = [*draw.order(who, "who"), *draw.order(same, "same")]
    width = len(str(len(shown)))
    ids = [f"q{place:0{width}}" for place in range(1, len(shown) + 1)]
    return Plan(
        faces=faces,
        portraits=portraits,
        questions=[question.model_copy(update={"id": name}) for name, (question, _) in zip(ids, shown, strict=True)],
        pictures={name: pictures for name, (_, pictures) in zip(ids, shown, strict=True)},
    )


def _photos(split: Split, person: str) -> tuple[list[Tensor], list[Tensor]]:
    """A person's photos (1, H, W): those for a face of questionnaire 1, and others for the pairs of questionnaire 2.

    Whoever only R_eval knows has no photos in Q2.
    """
    seen, unseen = (split.q2, split.q2_test) if person in split.q2.people else (split.q3, split.q3_test)
    return list(seen.of(person)), list(unseen.of(person))


def _png(image: Tensor) -> str:
    """An image (1, H, W) as a data URI."""
    buffer = io.BytesIO()
    picture(image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _page(plan: Plan) -> tuple[bytes, str]:
    """The page, and its build id: the hash of the template and of all that is put into it."""
    content = {
        "schema": SCHEMA,
        "faces": [{"id": face, "image": _png(image)} for face, image in plan.portraits.items()],
        "questions": [
            {"id": question.id, "kind": question.kind}
            | {name: _png(image) for name, image in plan.pictures[question.id].items()}
            for question in plan.questions
        ],
    }
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    build_id = hashlib.sha256((template + json.dumps(content)).encode()).hexdigest()[:16]
    # "<" could end the element that holds the JSON, or open a comment in it
    embedded = json.dumps({"build": build_id} | content, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace(PLACEHOLDER, embedded).encode(), build_id
