"""The record of a cell: one validated JSON file from which every table, figure and leaderboard is drawn."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..files import write_atomic
from ..plugin.access import Access
from ..plugin.errors import RequestError, first_problem

SCHEMA = 1

MAJORITY = "majority"
"""More than half of the judges: stands beside them as if it were one."""

HEADLINE = "reval"
"""The judge whose accuracy is the headline: the paper's R_eval."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProtocolId(_Part):
    """Which experiment."""

    name: str
    version: int
    sha256: str


class AttackAccuracy(_Part):
    """R_eval on the reconstructions: trials averaged within an identity, then over identities."""

    top1: Share
    top5: Share
    ci95: tuple[Share, Share]
    """Of top1, over identities (``stats.mean_interval``)."""


class MajorityAccuracy(_Part):
    """Shares of images whose person is put first: of the reconstructions, of real photos that the judges have not seen,
    and of the controls' images (``controls.py``)."""

    top1: Share
    real_top1: Share
    floor: Share | None = None
    null: Share | None = None
    ceiling: Share | None = None


class EvaluatorAccuracy(MajorityAccuracy):
    """One judge's view."""

    top5: Share


class Cost(_Part):
    """Answering with the defense, over answering without it, on the same images in one run. Timings differ from run to
    run."""

    latency_ratio: float
    added_latency_s: float
    """Per image."""
    memory_ratio: float | None
    """Of the bytes of tensors made while answering; None where the target makes none of its own here."""


class Utility(_Part):
    """What honest users still get (``utility.py``): the share of held-out photos whose person the *released* scores put
    first or among the first five (a withheld score puts nobody anywhere), and how far those scores can be trusted."""

    top1: Share
    top5: Share
    log_loss: float | None = None
    """Natural logarithm; a withheld score counts as its share of what the released ones leave of 1."""
    ece: Share | None = None
    """Expected calibration error of the top score."""
    auc: Share | None = None
    """Verification: the released score for the claimed person, genuine claims against all false ones."""
    refused: Share = 0.0
    """Share of these photos that got no answer: misses for top1 and top5, left out of the other figures."""
    cost: Cost | None = None


class Queries(_Part):
    """Images sent to the target, from the oracle's ledger."""

    mean: float
    median: float
    total: int
    budget: int
    """Per trial."""
    by_phase: dict[str, int]
    refused: int = 0
    """Of the total, images that the service would not answer."""


class Point(_Part):
    """Success against budget: what the attack would have reached with fewer queries."""

    budget: int
    """Images per trial."""
    top1: Share
    ci95: tuple[Share, Share]


class Flag(_Part):
    """A reason to suspect that a defense hides the leak rather than closes it."""

    name: str
    says: str
    """A sentence, with the figures it rests on."""


class Probes(_Part):
    """What the defended service's answers give away (``probes.py``): shares of the images it was asked about."""

    unrepeatable: Share
    flat: Share


class IdentityRow(_Part):
    """All trials of one identity."""

    identity: str
    fold: str
    trials: int
    top1: Share
    top5: Share
    target_score: Share
    """The undefended target's score for the identity on the reconstructions, mean."""
    target_top1: Share
    """Share of reconstructions that the undefended target takes for the identity."""
    floor: Share
    """R_eval top-1 on the trials' seeds D(z0), before any attack."""
    ceiling: Share
    """R_eval top-1 on D(E(photo)) of the identity's real photos."""
    null: Share | None = None
    """R_eval top-1 where the target was trained with another person's photos in the identity's place."""
    judges: dict[str, Share] = {}
    """top1 by each judge."""
    majority: Share | None = None
    """Share of reconstructions that more than half of the judges take for the identity."""
    converged: Share
    queries: float
    """Mean per trial."""
    held_out: bool = True
    """False for those on which a suite's best attack is chosen."""
    curve: list[Share] = []
    """top1 at each budget of the record's ``curve``."""

    @property
    def seen_by(self) -> dict[str, float]:
        """top1 by each judge, and by their ``majority``."""
        return self.judges | ({MAJORITY: self.majority} if self.majority is not None else {})

    @property
    def name(self) -> str:
        """``FOLD/IDENTITY``: how an identity is called across folds."""
        return f"{self.fold}/{self.identity}"


class Record(_Part):
    """One cell. Result fields are None where ``status`` is not ``ok``."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    cell_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    status: Literal["ok", "error", "skipped"]
    reason: str = ""
    protocol: ProtocolId
    folds: tuple[str, ...]
    target: str
    generator: str = "vae"
    """The attacker's D, by its name in the protocol."""
    defense: str
    attack: str
    parameters: dict[str, Any]
    """Every parameter of target, defense (by stage) and attack, defaults included."""
    access: Access
    seed: int
    trials: int
    """Per identity."""
    identities: int
    """Attacked in each fold."""
    budget: int
    """Queries per trial."""
    suite: str = ""
    """The suite whose terms these are, e.g. ``v1``; '' for none."""
    budgets: list[int] = []
    """Those at which defenses are compared, ascending; the last is ``budget``."""
    transfer: bool = False
    """The attack attacks a copy made from the target's answers."""
    attack_accuracy: AttackAccuracy | None = None
    evaluators: dict[str, EvaluatorAccuracy] = {}
    judges_left_out: dict[str, str] = {}
    """Why judges of the protocol did not judge, and what enables them."""
    majority: MajorityAccuracy | None = None
    target_success: Share | None = None
    floor: Share | None = None
    ceiling: Share | None = None
    null: Share | None = None
    """The headline is attack_accuracy.top1 minus this."""
    metrics: dict[str, float] = {}
    """Other measures of the field (``metrics.py``); those that too few images allow are left out."""
    utility: Utility | None = None
    queries: Queries | None = None
    curve: list[Point] = []
    """Success against budget, all from this one run."""
    per_identity: list[IdentityRow] = []
    probes: Probes | None = None
    flags: list[Flag] = []
    """What this cell alone shows; ``verdict.py`` adds what several show together."""
    finished_at: str
    """UTC, ISO 8601."""
    wall_s: float
    environment: dict[str, Any]
    """Versions, commit, device, engine setting, threads."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.status == "ok":
            for name in ("attack_accuracy", "target_success", "floor", "ceiling", "utility", "queries"):
                if getattr(self, name) is None:
                    raise ValueError(f"status is ok but {name} is missing")
            if HEADLINE not in self.evaluators or not self.per_identity:
                raise ValueError(f"status is ok but evaluators.{HEADLINE} or per_identity is missing")
        return self

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
        """What two records must share for their figures to be compared."""
        device = str(self.environment.get("device", "")).partition(":")[0]
        run = (self.seed, self.trials, self.identities, self.budget, self.suite, tuple(self.budgets), device)
        return (self.protocol.sha256, self.folds, self.target, self.generator, *run)

    def to_json(self) -> str:
        """As written to disk."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read(file: Path) -> Record:
    """A record from a file; RequestError naming the file if it is not one."""
    try:
        return Record.model_validate_json(file.read_bytes())
    except OSError as error:
        raise RequestError(f"record {file}: {error.strerror or error}") from None
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
