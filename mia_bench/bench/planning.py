"""From what is asked to cells: validated whole before anything runs."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from ..files import check_writable
from ..networks.store import cache_dir
from ..plugin.attack import Attack
from ..plugin.defense import Defense, Pipeline
from ..plugin.errors import RequestError, told
from ..plugin.target import Target
from ..protocol import model as protocols
from ..protocol import readers
from ..protocol import suite as suites
from ..protocol.model import Protocol
from ..records.record import Record
from . import runner
from .cell import Cell, Settings
from .executor import Executor
from .laboratory import evaluators_of
from .registry import Registry
from .watcher import Watcher


def open_protocol(name_or_path: str, data: str | Path | None = None) -> Protocol:
    """A protocol tied to its photos: where its file names no hash of them, that of the photos found now is filled in,
    so that records of other photos are never taken for this experiment's. ``data`` is where they are, for a protocol
    that does not say."""
    protocol = protocols.load(name_or_path, Path(data) if data else None)
    found = readers.index(protocol)
    if protocol.data.sha256 is not None:
        return protocol
    section = protocol.data.model_copy(update={"sha256": found.sha256()})
    return protocol.model_copy(update={"data": section})


def plan(
    registry: Registry,
    protocol: Protocol,
    *,
    defenses: Sequence[str | Defense | Pipeline] = (),
    attacks: Sequence[str | Attack] = (),
    suite: str | None = None,
    target: str | Target | None = None,
    generator: str | None = None,
    folds: Sequence[str] = (),
    identities: int | None = None,
    trials: int | None = None,
    budget: int | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> list[Cell]:
    """The cells of a request, ``none`` always among them and first; what is not given comes from the protocol.

    A suite brings its attacks, to which ``attacks`` are added, its trials and its budgets, of which those above
    ``budget`` fall away. One of its attacks that a generator of so many dimensions does not suit becomes a cell that is
    skipped: a suite is written for many protocols.

    Raises RequestError, naming the thing and its mend, for whatever cannot be run as asked.
    """
    _check_request(protocol, generator, folds, identities, trials, budget, seed)
    terms = suites.load(suite) if suite is not None else None
    people = identities or protocol.split.targets
    if terms and people < 2:
        raise RequestError("--identities 1: a suite needs at least 2, one to choose the attack on, one to report")
    if terms:
        most = budget or terms.budgets_on(protocol.name)[-1]
        budgets = (*(smaller for smaller in terms.budgets_on(protocol.name) if smaller < most), most)
    else:
        budgets = (budget or protocol.run.budget,)
    settings = Settings(
        protocol=protocol,
        target=registry.target(target or protocol.run.target),
        generator=generator or protocol.run.generator,
        folds=tuple(fold for fold in protocol.split.folds if not folds or fold in folds),
        identities=people,
        trials=trials or (terms.trials if terms else protocol.run.trials),
        budgets=budgets,
        seed=protocol.run.seed if seed is None else seed,
        device=device_of(device),
        evaluators=evaluators_of(protocol, registry),
        null_attack=registry.attack(protocol.run.null_attack),
        suite=terms.title if terms else "",
        development=terms.development_of(people) if terms else 0,
    )
    latent = protocol.generators[settings.generator].latent
    _accept(f"run.null_attack {protocol.run.null_attack!r}", settings.null_attack.check, latent)
    if settings.null_attack.adversarial and not protocol.generators[settings.generator].has_critic:
        raise RequestError(f"run.null_attack {protocol.run.null_attack!r} needs a generator with a critic")
    pipelines: dict[str, Pipeline] = {}
    for spec in ("none", *defenses):
        pipeline = registry.defense(spec)
        _accept(f"defense {_said(spec, pipeline)!r}", pipeline.check, protocol.split.target_classes)
        _one_of(pipelines, pipeline.spec, pipeline, [type(stage) for stage in pipeline.stages])
    chosen = {}
    for spec in terms.attacks if terms else ():
        try:
            attack = registry.attack(spec)
        except RequestError as error:
            raise RequestError(f"suite {suite}: {error}") from None
        chosen[attack.spec] = attack
    for asked in attacks or (() if terms else protocol.run.attacks):
        attack = registry.attack(asked)
        _accept(f"attack {_said(asked, attack)!r}", attack.check, latent)
        chosen[attack.spec] = attack
    return [Cell(settings, pipeline, attack) for pipeline in pipelines.values() for attack in chosen.values()]


def execute(
    cells: Sequence[Cell],
    out: Path,
    *,
    fresh: bool = False,
    watcher: Watcher | None = None,
    executor: Executor | None = None,
) -> list[Record]:
    """Run planned cells into a folder of records, resuming what is there; their records in the order of the cells."""
    check_writable(out)
    try:
        check_writable(cache_dir())
    except RequestError as error:
        raise RequestError(f"the cache {error}; name another folder in MIA_BENCH_CACHE") from None
    return in_order(cells, runner.run(cells, out, fresh=fresh, watcher=watcher, executor=executor))


def in_order(cells: Sequence[Cell], found: Iterable[Record]) -> list[Record]:
    """The records of cells in their order, whichever were done first."""
    by_id = {record.cell_id: record for record in found}
    return [by_id[cell.cell_id] for cell in cells]


def default_out(protocol: Protocol) -> Path:
    """Where a protocol's records go unless told otherwise."""
    return Path("runs") / protocol.name


def _said(asked: object, found: Pipeline | Attack) -> str:
    """As it was asked for."""
    return asked if isinstance(asked, str) else found.spec


def _one_of(pipelines: dict[str, Pipeline], spec: str, pipeline: Pipeline, kinds: list[type[Defense]]) -> None:
    """Add a pipeline under its spec; RequestError if another defense has it."""
    other = pipelines.setdefault(spec, pipeline)
    if [type(stage) for stage in other.stages] != kinds:
        raise RequestError(f"two defenses are both called {spec!r}; rename one of them")


def _accept(what: str, check: Callable[[int], None], size: int) -> None:
    """A component's own check of its parameters, its refusal as a RequestError."""
    try:
        check(size)
    except ValueError as error:
        raise RequestError(f"{what}: {error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's check may fail in any way: whatever it raises is the answer
        raise RequestError(f"{what}: its check raised {told(error)}") from error


def _check_request(
    protocol: Protocol,
    generator: str | None,
    folds: Sequence[str],
    identities: int | None,
    trials: int | None,
    budget: int | None,
    seed: int | None,
) -> None:
    if generator is not None and generator not in protocol.generators:
        known = ", ".join(protocol.generators)
        raise RequestError(f"protocol {protocol.name} has no generator {generator!r}; it has {known}")
    for fold in folds:
        if fold not in protocol.split.folds:
            known = ", ".join(protocol.split.folds)
            raise RequestError(f"protocol {protocol.name} has no fold {fold!r}; it has {known}")
    bounds = {"identities": (identities, 1, 10**6), "trials": (trials, 1, 10**5), "budget": (budget, 1, 10**9)}
    for name, (value, least, most) in (bounds | {"seed": (seed, 0, 2**62)}).items():
        if value is None:
            continue
        if type(value) is not int:
            raise RequestError(f"--{name} {value!r}: give a whole number")
        if not least <= value <= most:
            raise RequestError(f"--{name} {value}: give at least {least} and at most {most:,}")
    most = protocol.split.targets
    if identities is not None and identities > most:
        raise RequestError(f"--identities {identities}: protocol {protocol.name} has {most} in each fold")


def device_of(name: str) -> str:
    """``auto`` made concrete; RequestError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RequestError(f"--device {name}: not a device; write auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"--device {name}: this machine's torch sees no CUDA device; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s), from cuda:0")
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"--device {name}: mia-bench runs on cpu and cuda")
    return name
