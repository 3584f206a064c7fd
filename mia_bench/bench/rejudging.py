"""Judging what is there already: a finished run's attempts again, or somebody else's reconstructions. No target is
asked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..plugin.defense import TrainedDefense
from ..plugin.errors import RequestError
from ..protocol import images as pictures
from ..protocol import readers
from ..protocol.model import Protocol
from ..records import attempt as attempts
from ..records import record as records
from ..records.judgement import Judgement
from ..records.record import Record
from ..records.stats import mean_interval
from .controls import Ranks, Scope, controls
from .judging import Terms, examine, hits_of, judge, shares
from .laboratory import Laboratory, mean_of_people
from .registry import Registry

MOST_IMAGES = 100_000
"""In a submission: more is a mistake."""


def judge_again(
    found: Sequence[Record], folder: Path, terms: Terms, lab: Laboratory, registry: Registry
) -> Iterator[Record]:
    """The records of a run's folder, each judged again from its attempt and written in place of what was there.

    Records without results are passed on as they are. RequestError if one is of another experiment, or has no attempt.
    """
    ready = {}
    for record in found:  # all of them, before any is written
        if record.results is not None:
            _check_same(record, terms.protocol)
            made = attempts.read(record.request, lab.protocol.data.image, folder)
            ready[record.cell_id] = (made, _training(record, registry))
    judged = []
    for record in found:
        if record.cell_id in ready:
            made, training = ready[record.cell_id]
            record = _with(record, judge(made, record.request, terms, lab, training))
        judged.append(record)
    for record in judged:
        if record.cell_id in ready:
            records.write(record, folder)
    yield from judged


def _check_same(record: Record, protocol: Protocol) -> None:
    if record.schema_ != records.SCHEMA:
        raise RequestError(
            f"record {record.cell_id} was made by mia-bench {record.request.mia_bench}, which kept no attempts; run it "
            "again to judge it again"
        )
    generator = record.generator
    known = generator in protocol.generators
    if not known or record.request.experiment != protocol.experiment_sha256(generator):
        raise RequestError(
            f"record {record.cell_id} is of {record.protocol.name} v{record.protocol.version} with other photos, split "
            f"or networks than protocol {protocol.name} says now; name the protocol it was made with (--protocol)"
        )


def _training(record: Record, registry: Registry) -> TrainedDefense | None:
    """The defense that trained the target, for the null: it is trained by the same."""
    for stage in record.request.stages:
        if not stage.trains:
            continue
        try:
            found = registry.defense(stage.spec).training
        except RequestError as error:
            said = f"record {record.cell_id}: {error}"
            raise RequestError(f"{said}; give the file that defines it with --plugin") from None
        if found is None or found.source_sha256 != stage.sources:
            raise RequestError(
                f"record {record.cell_id}: {stage.spec} was edited since; run it again to judge it again"
            )
        return found
    return None


def _with(record: Record, results: Judgement) -> Record:
    return Record.model_validate({**{name: getattr(record, name) for name in _KEPT}, "results": results})


_KEPT = ("cell_id", "request", "status", "reason", "finished_at", "wall_s", "environment")


@dataclass(frozen=True)
class Submission:
    """Somebody's reconstructions, by the person that each is meant to show: images (n, 1, H, W) float32 in [0, 1]."""

    images: Mapping[str, Tensor]


def read_submission(source: Path, protocol: Protocol) -> Submission:
    """A folder of one folder per person, or a safetensors file: ``images`` (n, 1, H, W) float32 in [0, 1], ``labels``
    (n,) int64 into the JSON list of names ``people`` in its metadata. RequestError names what is wrong."""
    if source.is_dir():
        return _from_folder(source, protocol)
    return _from_tensors(source, protocol.data.image)


def _from_folder(folder: Path, protocol: Protocol) -> Submission:
    whole = protocol.data.model_copy(update={"crop": None})  # a reconstruction is a face already
    people = readers.folder(folder).people
    if sum(map(len, people.values())) > MOST_IMAGES:
        raise RequestError(f"{folder} holds more than {MOST_IMAGES:,} pictures")
    return Submission(
        {
            person: torch.stack([pictures.decode(file.read_bytes(), file, whole) for file in files])
            for person, files in people.items()
        }
    )


def _from_tensors(file: Path, image: tuple[int, int]) -> Submission:
    if not file.is_file():
        raise RequestError(f"{file}: neither a folder nor a file")
    try:
        with safe_open(file, "pt") as opened:
            people = json.loads((opened.metadata() or {}).get("people", "null"))
            found = {name: opened.get_tensor(name) for name in ("images", "labels")}
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RequestError(f"{file} is neither a folder nor a safetensors file of images and labels: {said}") from None
    images, labels = found["images"], found["labels"]
    named = isinstance(people, list) and people and all(isinstance(name, str) for name in people)
    if not named or len(set(people)) < len(people):
        raise RequestError(f"{file}: its metadata needs people, a JSON list of names, each once")
    if images.dtype != torch.float32 or images.ndim != 4 or tuple(images.shape[1:]) != (1, *image):
        raise RequestError(
            f"{file}: images are {images.dtype} {tuple(images.shape)}, expected float32 (n, 1, *{image})"
        )
    if len(images) > MOST_IMAGES or not len(images) or not bool(((images >= 0) & (images <= 1)).all()):
        raise RequestError(f"{file}: images need values in [0, 1], and at least 1 and at most {MOST_IMAGES:,} of them")
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise RequestError(f"{file}: labels are {labels.dtype} {tuple(labels.shape)}, expected int64 ({len(images)},)")
    if int(labels.min()) < 0 or int(labels.max()) >= len(people):
        raise RequestError(f"{file}: a label is not one of the {len(people)} people")
    return Submission(
        {person: images[labels == place] for place, person in enumerate(people) if (labels == place).any()}
    )


def judge_submission(submission: Submission, terms: Terms, lab: Laboratory) -> dict[str, Any]:
    """What each evaluator, and their majority, says of them, with all controls of the people shown; fractions in 0..1.

    RequestError if somebody shown is no target of the protocol.
    """
    shown = set(submission.images)
    run = terms.protocol.run
    scopes = []
    for fold in terms.protocol.split.folds:
        identities = tuple(person for person in lab.split(fold).targets if person in shown)
        shown -= set(identities)
        if identities:
            scopes.append(Scope(fold, run.generator, identities, run.trials, run.seed, terms.null_attack, None))
    if shown:
        some = ", ".join(sorted(shown)[:3])
        raise RequestError(f"{some}{' ...' if len(shown) > 3 else ''}: no target of protocol {terms.protocol.name}")
    fitness = examine(lab, scopes)
    found: dict[str, dict[str, list[float]]] = {}
    rows = [row for scope in scopes for row in _fold(submission, scope, lab, fitness.counted, found)]
    return {
        "protocol": {"name": terms.protocol.name, "version": terms.protocol.version, "sha256": terms.protocol.sha256},
        "judgement": terms.judgement_id,
        "images": sum(map(len, submission.images.values())),
        "evaluators": {
            name: {
                kind: round(sum(values) / len(values), 6)
                if kind != "top1"
                else {"share": round(sum(values) / len(values), 6), "ci95": mean_interval(values)}
                for kind, values in figures.items()
            }
            for name, figures in found.items()
        },
        "left_out": lab.left_out,
        "battery": fitness.battery,
        "unfit": fitness.unfit,
        "per_identity": rows,
    }


def _fold(
    submission: Submission,
    scope: Scope,
    lab: Laboratory,
    counted: frozenset[str],
    found: dict[str, dict[str, list[float]]],
) -> list[dict[str, Any]]:
    """Add the fold's shares by evaluator and kind to ``found``; a row an identity."""
    fold, identities = scope.fold, scope.identities
    made = controls(lab, scope)
    ranks_of = {evaluator.spec: made.ranks(lab, evaluator, fold) for evaluator in lab.evaluators_present}
    people = [person for person in identities for _ in submission.images[person]]
    images = torch.cat([submission.images[person] for person in identities]).to(lab.engine.device)
    top1 = hits_of({name: fitted.rank_of(images, people) for name, fitted in lab.fitted(fold).items()}, counted)
    unseen = lab.split(fold).q3_test
    for name, hit in top1.items():
        own = found.setdefault(name, {kind: [] for kind in ("top1", "floor", "null", "ceiling", "real_top1")})
        own["top1"] += shares(hit, people, identities)
        for kind in Ranks.model_fields:
            hits = hits_of({one: torch.tensor(getattr(ranks, kind)) for one, ranks in ranks_of.items()}, counted)[name]
            if kind == "real":
                own["real_top1"].append(mean_of_people(hits, unseen))
            else:
                own[kind] += shares(hits, getattr(made, kind).people, identities)
    by_identity = {name: shares(hit, people, identities) for name, hit in top1.items()}
    return [
        {
            "identity": person,
            "fold": fold,
            "images": len(submission.images[person]),
            **{name: values[place] for name, values in by_identity.items()},
        }
        for place, person in enumerate(identities)
    ]


def scopes_of(lab: Laboratory, terms: Terms) -> list[Scope]:
    """All targets of every fold, as the protocol's own run takes them."""
    run = terms.protocol.run
    return [
        Scope(fold, run.generator, lab.split(fold).targets, run.trials, run.seed, terms.null_attack, None)
        for fold in terms.protocol.split.folds
    ]
