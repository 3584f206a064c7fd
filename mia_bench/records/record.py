"""The record of a cell: one validated JSON file from which every table, figure and leaderboard is drawn."""

from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ..files import write_atomic
from ..plugin.access import Access
from ..plugin.errors import RequestError, first_problem
from . import flags
from .figures import (
    AttackAccuracy,
    EvaluatorAccuracy,
    Flag,
    IdentityRow,
    MajorityAccuracy,
    Part,
    Point,
    Queries,
    Utility,
)
from .judgement import Judgement
from .request import ProtocolId, Request
from .stats import mean_interval

SCHEMA: Literal[2] = 2


class Record(Part):
    """One cell: what was asked, what came of it, on which machine. ``results`` is None where ``status`` is not ``ok``.

    Derived figures are properties: no file can hold one that contradicts its rows.
    """

    schema_: Annotated[Literal[1, 2], Field(alias="schema")] = SCHEMA
    """1 for what was read from a file of that schema (``records.v1``)."""
    cell_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    request: Request
    status: Literal["ok", "error", "skipped"]
    reason: str = ""
    results: Judgement | None = None
    finished_at: str
    """UTC, ISO 8601."""
    wall_s: Annotated[float, Field(ge=0)]
    environment: dict[str, Any]
    """Versions, commit, device, engine setting, threads."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status == "ok") != (self.results is not None):
            raise ValueError(f"status is {self.status} {'without' if self.results is None else 'with'} results")
        if self.schema_ == SCHEMA and self.cell_id != self.request.cell_id:
            raise ValueError(f"cell_id is {self.cell_id}, what was asked gives {self.request.cell_id}")
        if self.results is not None:
            asked = self.request
            if len(self.results.rows) != asked.identities * len(asked.folds):
                raise ValueError(f"{len(self.results.rows)} rows for {asked.identities} identities a fold")
            if {row.fold for row in self.results.rows} != set(asked.folds):
                raise ValueError("its rows are of other folds than were asked for")
            if any(row.trials != asked.trials for row in self.results.rows):
                raise ValueError(f"a row has other trials than the {asked.trials} asked for")
            if self.results.queries.budget != asked.budget or not set(asked.budgets) <= set(self.results.budgets):
                raise ValueError("its queries or curve are of other budgets than were asked for")
            if asked.development and all(row.held_out for row in self.results.rows):
                raise ValueError("no identity is for development")
            if not any(row.held_out for row in self.results.rows):
                raise ValueError("no identity is held out")
        return self

    # What was asked, under the names that tables use.

    @property
    def protocol(self) -> ProtocolId:
        """Which experiment."""
        return self.request.protocol

    @property
    def folds(self) -> tuple[str, ...]:
        """Its folds."""
        return self.request.folds

    @property
    def target(self) -> str:
        """Canonical spec."""
        return self.request.target.spec

    @property
    def generator(self) -> str:
        """The attacker's D, by its name in the protocol."""
        return self.request.generator

    @property
    def defense(self) -> str:
        """Canonical spec."""
        return self.request.defense

    @property
    def attack(self) -> str:
        """Canonical spec."""
        return self.request.attack.spec

    @property
    def access(self) -> Access:
        """What the attack was granted."""
        return self.request.access

    @property
    def transfer(self) -> bool:
        """True if the attack is made on a copy of the target."""
        return self.request.transfer

    @property
    def seed(self) -> int:
        """Of every trial."""
        return self.request.seed

    @property
    def trials(self) -> int:
        """Per identity."""
        return self.request.trials

    @property
    def identities(self) -> int:
        """Per fold."""
        return self.request.identities

    @property
    def budget(self) -> int:
        """Queries a trial might spend."""
        return self.request.budget

    @property
    def budgets(self) -> list[int]:
        """Queries a trial at which defenses are compared, ascending."""
        return list(self.request.budgets)

    @property
    def suite(self) -> str:
        """The suite whose terms these are, '' for none."""
        return self.request.suite

    # What follows from the rows.

    @property
    def per_identity(self) -> list[IdentityRow]:
        """All rows; none where ``status`` is not ``ok``."""
        return self.results.rows if self.results else []

    @property
    def attack_accuracy(self) -> AttackAccuracy | None:
        """R_eval on the reconstructions, over all identities."""
        if not self.results:
            return None
        top1 = [row.top1 for row in self.results.rows]
        return AttackAccuracy(top1=_mean(top1), top5=self._over("top5") or 0.0, ci95=mean_interval(top1))

    @property
    def target_success(self) -> float | None:
        """Share of reconstructions that the undefended target takes for the identity."""
        return self._over("target_top1")

    @property
    def floor(self) -> float | None:
        """R_eval on the seeds."""
        return self._over("floor")

    @property
    def ceiling(self) -> float | None:
        """R_eval on D(E(photo))."""
        return self._over("ceiling")

    @property
    def null(self) -> float | None:
        """R_eval where the target never saw the person."""
        return self._over("null")

    @property
    def curve(self) -> list[Point]:
        """Success against budget."""
        if not self.results:
            return []
        columns = [[row.curve[place] for row in self.results.rows] for place in range(len(self.results.budgets))]
        return [
            Point(budget=budget, top1=_mean(column), ci95=mean_interval(column))
            for budget, column in zip(self.results.budgets, columns, strict=True)
        ]

    @property
    def flags(self) -> list[Flag]:
        """What this cell alone shows; ``board.verdict`` adds what several show together."""
        if not self.results or not self.results.probes:
            return []
        return flags.of_cell(self.access, self.results.probes, self.results.queries)

    @property
    def evaluators(self) -> dict[str, EvaluatorAccuracy]:
        """By name; none where ``status`` is not ``ok``."""
        return self.results.evaluators if self.results else {}

    @property
    def majority(self) -> MajorityAccuracy | None:
        """What more than half of the evaluators say."""
        return self.results.majority if self.results else None

    @property
    def utility(self) -> Utility | None:
        """What honest users still get."""
        return self.results.utility if self.results else None

    @property
    def queries(self) -> Queries | None:
        """From the ledger."""
        return self.results.queries if self.results else None

    @property
    def top1_by_identity(self) -> dict[str, float]:
        """R_eval top-1 by ``FOLD/IDENTITY``."""
        return {row.name: row.top1 for row in self.per_identity}

    @property
    def top1_held_out(self) -> dict[str, float]:
        """The same of the held-out identities."""
        return {row.name: row.top1 for row in self.per_identity if row.held_out}

    @property
    def settings(self) -> tuple[object, ...]:
        """What two records must share for their figures to be compared: all that was asked but defense and attack.

        The target is the one underneath: what a defense trains in its place stands beside ``none``.
        """
        asked = self.request
        run = (asked.seed, asked.trials, asked.identities, asked.budgets, asked.suite, asked.device)
        return (asked.protocol.sha256, asked.folds, asked.target.spec, asked.fingerprint, asked.generator, *run)

    def _over(self, name: str) -> float | None:
        values = [getattr(row, name) for row in self.per_identity]
        return _mean(values) if values and None not in values else None

    def to_json(self) -> str:
        """As written to disk."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    def flat(self) -> dict[str, Any]:
        """As ``run --json`` prints it: the names that others rely on, with the figures that follow from the rows."""
        asked, results = self.request, self.results
        accuracy = self.attack_accuracy
        return {
            "schema": self.schema_,
            "cell_id": self.cell_id,
            "status": self.status,
            "reason": self.reason,
            "mia_bench": asked.mia_bench,
            "protocol": asked.protocol.model_dump(),
            "folds": asked.folds,
            "target": self.target,
            "generator": asked.generator,
            "defense": asked.defense,
            "attack": self.attack,
            "parameters": {
                "target": asked.target.parameters,
                "defense": [{"spec": stage.spec, **stage.parameters} for stage in asked.stages],
                "attack": asked.attack.parameters,
            },
            "access": asked.access.value,
            "transfer": asked.transfer,
            "seed": asked.seed,
            "trials": asked.trials,
            "identities": asked.identities,
            "budget": asked.budget,
            "budgets": asked.budgets,
            "suite": asked.suite,
            "attack_accuracy": accuracy.model_dump() if accuracy else None,
            "evaluators": {name: found.model_dump() for name, found in self.evaluators.items()},
            "left_out": results.left_out if results else {},
            "battery": results.battery if results else {},
            "unfit": results.unfit if results else {},
            "majority": self.majority.model_dump() if self.majority else None,
            "target_success": self.target_success,
            "floor": self.floor,
            "null": self.null,
            "ceiling": self.ceiling,
            "metrics": results.metrics if results else {},
            "utility": results.utility.model_dump() if results else None,
            "queries": results.queries.model_dump() if results else None,
            "curve": [point.model_dump() for point in self.curve],
            "per_identity": [row.model_dump() for row in self.per_identity],
            "probes": results.probes.model_dump() if results and results.probes else None,
            "flags": [flag.model_dump() for flag in self.flags],
            "finished_at": self.finished_at,
            "wall_s": self.wall_s,
            "environment": self.environment,
        }


def _mean(values: list[float]) -> float:
    return round(mean(values), 6)


def read(file: Path) -> Record:
    """A record from a file, of this schema or an older one; RequestError naming the file if it is not one."""
    from . import v1

    try:
        content = file.read_bytes()
    except OSError as error:
        raise RequestError(f"record {file}: {error.strerror or error}") from None
    try:
        schema = v1.schema_of(content)
        if schema == 1:
            return v1.parse(content)
        if schema is not None and schema > SCHEMA:
            raise RequestError(f"{file} has record schema {schema}; this mia-bench reads up to {SCHEMA}: update it")
        return Record.model_validate_json(content)
    except ValidationError as error:
        raise RequestError(f"{file} is not a mia-bench record: {first_problem(error)}") from None


def read_folder(folder: Path) -> list[Record]:
    """The records of a run's folder, by defense and attack; RequestError if there is none.

    Of records that differ in nothing but the code that made them (a plugin was edited) only the newest counts.
    """
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise RequestError(f"{folder} holds no records; give the folder that 'mia-bench run' wrote")
    newest: dict[tuple[object, ...], Record] = {}
    for found in sorted(map(read, files), key=lambda found: (found.defense, found.attack, found.finished_at)):
        newest[(*found.settings, found.defense, found.attack)] = found
    return list(newest.values())


def write(record: Record, folder: Path) -> None:
    """Write a record into a run's folder, atomically, under its cell id."""
    write_atomic(folder / f"{record.cell_id}.json", record.to_json().encode())
