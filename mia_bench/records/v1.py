"""Records of schema 1, as mia-bench 0.1 wrote them: read, checked against themselves, and turned into today's."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..plugin.access import Access
from .figures import (
    AttackAccuracy,
    EvaluatorAccuracy,
    Flag,
    MajorityAccuracy,
    Part,
    Point,
    Queries,
    Share,
    Utility,
)
from .judgement import CLOSE
from .record import Record
from .request import ProtocolId


class RowV1(Part):
    """A row: ``judges`` is what is called evaluators today."""

    identity: str
    fold: str
    trials: int
    top1: Share
    top5: Share
    target_score: Share
    target_top1: Share
    floor: Share
    ceiling: Share
    null: Share | None = None
    judges: dict[str, Share] = {}
    majority: Share | None = None
    converged: Share
    queries: float
    held_out: bool = True
    curve: list[Share] = []


class ProbesV1(Part):
    """Probes: without those that came later."""

    unrepeatable: Share
    flat: Share


class RecordV1(Part):
    """The flat file. Derived figures were stored beside what they derive from."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    cell_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    status: Literal["ok", "error", "skipped"]
    reason: str = ""
    protocol: ProtocolId
    folds: tuple[str, ...]
    target: str
    generator: str = "vae"
    defense: str
    attack: str
    parameters: dict[str, Any]
    access: Access
    seed: int
    trials: int
    identities: int
    budget: int
    suite: str = ""
    budgets: list[int] = []
    transfer: bool = False
    attack_accuracy: AttackAccuracy | None = None
    evaluators: dict[str, EvaluatorAccuracy] = {}
    judges_left_out: dict[str, str] = {}
    majority: MajorityAccuracy | None = None
    target_success: Share | None = None
    floor: Share | None = None
    ceiling: Share | None = None
    null: Share | None = None
    metrics: dict[str, float] = {}
    utility: Utility | None = None
    queries: Queries | None = None
    curve: list[Point] = []
    per_identity: list[RowV1] = []
    probes: ProbesV1 | None = None
    flags: list[Flag] = []
    finished_at: str
    wall_s: float
    environment: dict[str, Any]


def schema_of(content: bytes) -> int | None:
    """The schema that a file says it has; None where it says none, or is not JSON."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    schema = found.get("schema") if isinstance(found, dict) else None
    return schema if isinstance(schema, int) else None


def parse(content: bytes) -> Record:
    """A record of schema 1 as one of today's. ValidationError if it is not one, or contradicts itself."""
    old = RecordV1.model_validate_json(content)
    record = Record.model_validate_json(json.dumps(_today(old)))
    if problem := _contradiction(old, record):
        error = PydanticCustomError("contradiction", "{problem}", {"problem": problem})
        raise ValidationError.from_exception_data("Record", [InitErrorDetails(type=error, input=None)])
    return record


def _today(old: RecordV1) -> dict[str, Any]:
    results = None
    if old.status == "ok":
        results = {
            "evaluators": {name: found.model_dump() for name, found in old.evaluators.items()},
            "left_out": old.judges_left_out,
            "majority": old.majority and old.majority.model_dump(),
            "metrics": old.metrics,
            "utility": old.utility and old.utility.model_dump(),
            "queries": old.queries and old.queries.model_dump(),
            "budgets": [point.budget for point in old.curve],
            "rows": [{**row.model_dump(exclude={"judges"}), "evaluators": row.judges} for row in old.per_identity],
            "probes": old.probes and old.probes.model_dump(),
        }
    parameters = old.parameters
    held = [sum(not row.held_out for row in old.per_identity if row.fold == fold) for fold in old.folds]
    return {
        "schema": 1,
        "cell_id": old.cell_id,
        "request": {
            "mia_bench": str(old.environment.get("mia_bench", "")),
            "protocol": old.protocol.model_dump(),
            "target": {"spec": old.target, "parameters": parameters.get("target", {})},
            "generator": old.generator,
            "folds": old.folds,
            "identities": old.identities,
            "trials": old.trials,
            "budgets": old.budgets or [old.budget],
            "seed": old.seed,
            "device": str(old.environment.get("device", "")).partition(":")[0],
            "defense": old.defense,
            "stages": [
                {"spec": spec, "parameters": {key: value for key, value in stage.items() if key != "name"}}
                for spec, stage in zip(old.defense.split("+"), parameters.get("defense", []), strict=False)
            ],
            "attack": {"spec": old.attack, "parameters": parameters.get("attack", {})},
            "access": old.access,
            "transfer": old.transfer,
            "suite": old.suite,
            "development": max(held, default=0),
        },
        "status": old.status,
        "reason": old.reason,
        "results": results,
        "finished_at": old.finished_at,
        "wall_s": old.wall_s,
        "environment": old.environment,
    }


def _contradiction(old: RecordV1, record: Record) -> str:
    """Where a stored figure is not what the rows give."""
    if record.attack_accuracy is None:
        return ""
    stated: dict[str, float | None] = {"target_success": old.target_success, "floor": old.floor}
    stated |= {"ceiling": old.ceiling, "null": old.null}
    derived: dict[str, float | None] = {name: getattr(record, name) for name in stated}
    accuracy = old.attack_accuracy
    if accuracy is None:
        return "status is ok but attack_accuracy is missing"
    stated |= {"attack_accuracy.top1": accuracy.top1, "attack_accuracy.top5": accuracy.top5}
    derived |= {
        "attack_accuracy.top1": record.attack_accuracy.top1,
        "attack_accuracy.top5": record.attack_accuracy.top5,
    }
    for place, end in enumerate(("low", "high")):
        stated[f"attack_accuracy.ci95 {end}"] = accuracy.ci95[place]
        derived[f"attack_accuracy.ci95 {end}"] = record.attack_accuracy.ci95[place]
    for point, own in zip(old.curve, record.curve, strict=True):
        stated[f"curve at {point.budget}"], derived[f"curve at {point.budget}"] = point.top1, own.top1
    for name, value in stated.items():
        told = derived[name]
        if (value is None) != (told is None) or (value is not None and told is not None and abs(value - told) > CLOSE):
            return f"{name} is {value}, its rows give {told}"
    return ""
