"""What ``mia-bench run`` does, for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench import planning
from .bench.executor import Executor
from .bench.registry import Registry
from .plugin.attack import Attack
from .plugin.defense import Defense, Pipeline
from .plugin.target import Target
from .records.record import Record
from .report import report


def evaluate(
    defense: str | Defense | Pipeline | Sequence[str | Defense | Pipeline] = (),
    *,
    protocol: str = "orl",
    data: str | Path | None = None,
    attacks: str | Attack | Sequence[str | Attack] = (),
    suite: str | None = None,
    target: str | Target | None = None,
    generator: str | None = None,
    folds: Sequence[str] = (),
    identities: int | None = None,
    trials: int | None = None,
    budget: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    fresh: bool = False,
    executor: Executor | None = None,
) -> list[Record]:
    """Attack a target with and without defenses and return the records, as ``mia-bench run`` does.

    ``defense`` is one spec such as ``"topk5+round2"`` or an object such as ``Mine()``, or several; ``attacks`` and
    ``target`` likewise; ``data`` the folder of photos of a protocol that does not say where they are; ``suite`` a list
    of attacks such as ``"v1"``; ``generator`` the attacker's D by its name in the protocol; ``out`` the folder of
    records (``runs/PROTOCOL``).

    Raises RequestError for a request that cannot be carried out. A cell that fails is a record with status ``error``.
    """
    loaded = planning.open_protocol(protocol, data)
    cells = planning.plan(
        Registry(tuple(map(Path, plugins))),
        loaded,
        defenses=_several(defense),
        attacks=_several(attacks),
        suite=suite,
        target=target,
        generator=generator,
        folds=folds,
        identities=identities,
        trials=trials,
        budget=budget,
        seed=seed,
        device=device,
    )
    folder = Path(out) if out else planning.default_out(loaded)
    records = planning.execute(cells, folder, fresh=fresh, executor=executor)
    report.write(records, loaded, folder)
    return records


def _several(asked: Any) -> Sequence[Any]:
    """What is asked for, as a sequence; whether each of it makes sense is the registry's to say."""
    return list(asked) if isinstance(asked, list | tuple) else [asked]
