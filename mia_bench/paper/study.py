"""The paper's own experiment: both of its attacks on the undefended target, five people, a hundred trials each."""

from dataclasses import dataclass
from pathlib import Path

from ..bench import planning
from ..bench.cell import Cell
from ..bench.registry import Registry
from ..protocol.model import Protocol
from ..records.record import Record

WHITE_BOX, BLACK_BOX = "wb", "bb"
IDENTITIES, TRIALS = 5, 100
"""Section V-A."""


@dataclass(frozen=True)
class Study:
    """A protocol's version of the experiment; figures of one study come from the same trials."""

    protocol: Protocol
    identities: int = IDENTITIES
    trials: int = TRIALS
    generator: str | None = None
    seed: int | None = None
    device: str = "auto"

    def cells(self, *attacks: str, budget: int | None = None, trials: int | None = None) -> list[Cell]:
        """One cell an attack, on the first identities of the protocol's first fold; ``budget`` is queries per trial."""
        return planning.plan(
            Registry(),
            self.protocol,
            attacks=attacks,
            generator=self.generator,
            folds=self.protocol.split.folds[:1],
            identities=self.identities,
            trials=trials or self.trials,
            budget=budget,
            seed=self.seed,
            device=self.device,
        )

    @property
    def out(self) -> Path:
        """Where its records go, a folder for each experiment, unless told otherwise."""
        name = self.generator or self.protocol.run.generator
        suffix = "" if name == self.protocol.run.generator else f"-{name}"
        return Path("runs") / f"{self.protocol.name}-paper{suffix}"


def failed(records: list[Record]) -> list[str]:
    """A line for each record that has no figures."""
    return [f"{record.attack}: {record.status}: {record.reason}" for record in records if record.status != "ok"]
