"""The sections with a row a defense: the ranking, each evaluator's view, utility."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..records.figures import MAJORITY
from .columns import Column, Section, fields, figure, naming
from .comparison import interval, percent, points, short, signs
from .standings import Estimate, Standing, Standings
from .verdict import Worst

CONTROLS = {"floor": "(floor)", "null": "(null)", "ceiling": "(ceiling)", "real_top1": "(real photos)"}
"""Rows below the evaluators' views, over all identities, by the field of the record."""
UTILITY = {"top-1": ("top1", "%"), "top-5": ("top5", "%"), "log-loss": ("log_loss", ".3f"), "ECE": ("ece", ".3f")}
UTILITY |= {"AUC": ("auc", ".4f"), "refused": ("refused", "%")}
"""By title: the field of ``Utility``, and its format."""
FILE = "leaderboard"


@dataclass(frozen=True)
class Line:
    """A standing at one budget; at none where no black-box attack ran."""

    of: Standing
    worst: Worst | None = None
    leak: Estimate | None = None

    @property
    def last(self) -> bool:
        """At the largest budget: the one that is shown, and of which the headline's figures are."""
        return self.worst is self.of.verdict.headline

    @property
    def label(self) -> str:
        """The defense."""
        return self.of.defense

    @property
    def views(self) -> Mapping[str, tuple[str, float]]:
        """An attack and its share by evaluator."""
        return self.of.by_evaluator if self.last else {}


@dataclass(frozen=True)
class Control:
    """A row of controls."""

    label: str
    views: Mapping[str, tuple[str, float]]
    """The share by evaluator, of no attack."""


def sections(s: Standings) -> tuple[Section[Line], Section[Line | Control], Section[Line]]:
    """The ranking, the evaluators' views, utility."""
    pairs = [(row, list(zip(row.verdict.worst, row.leak, strict=True))) for row in s.rows]
    data = [line for row, at in pairs for line in ([Line(row, *each) for each in at] or [Line(row)])]
    shown = [line for line in data if line.last]
    return _ranking(s, shown, data), _evaluators(s, shown, data), _utility(shown, data)


def _ranking(s: Standings, shown: list[Line], data: list[Line]) -> Section[Line]:
    budgets = s.group.records[0].budgets
    above = "above null" if s.null else "(its null was not measured)"
    on, over = ("the development identities", "held-out") if s.chosen_apart else ("all identities", "same")

    def rank(line: Line) -> str:
        ranks = ", ".join(map(str, line.of.ranks or "?"))
        return "-" if line.of.rank is None else f"{line.of.rank} [{ranks}]"

    def worst(line: Line) -> str:
        if line.leak is None:
            return "-"
        return f"{percent(line.leak[0])} {interval(*line.leak[1:]) if s.many else '[?]'}"

    def worst_csv(line: Line) -> dict[str, object]:
        at = line.worst
        values = (at.budget, at.attack, at.accuracy, *at.ci95, at.upper, *(line.leak or ())) if at else None
        return fields("budget attack top1 ci95_low ci95_high upper leak leak_low leak_high", values)

    def versus(line: Line) -> str:
        c = line.of.comparison
        if c is None:
            return "-"
        return points((c.mean, c.low, c.high)) if s.many else f"{100 * c.mean:+.1f} [?]"

    def versus_csv(line: Line) -> dict[str, object]:
        c = line.of.comparison if line.last else None
        values = (c.mean, c.low, c.high, c.p, c.p_holm, c.tie) if c else None
        return fields("difference difference_low difference_high p p_holm tie", values)

    def by_budget(line: Line) -> str:
        return " / ".join(f"{100 * at.accuracy:.0f}" for at in line.of.verdict.worst) + "%" if line.worst else "-"

    def flags(line: Line) -> str:
        kinds = {flag.kind for flag in line.of.verdict.flags}
        return ", ".join(["masking suspected"] * ("hides" in kinds) + ["refuses"] * ("refuses" in kinds))

    columns = [
        Column(
            "rank [95%]",
            rank,
            lambda line: fields("rank rank_low rank_high", (line.of.rank, *(line.of.ranks or (None, None)))),
        ),
        naming("defense", lambda line: line.label, "defense"),
        Column(
            f"worst case{' above null' if s.null else ''} [95% CI]",
            worst,
            worst_csv,
            f"Worst case: R_eval's top-1 {above} under the black-box attack that does best on {on}, over the {over} "
            f"{s.held_out}, at {budgets[-1]:,} queries a trial; intervals are over identities.",
        ),
        Column(
            "vs none",
            versus,
            versus_csv,
            "vs none: points, paired by identity, with the interval of the level at which Holm's procedure tests them, "
            "so that an interval with 0 in it is a tie.",
            signs,
        ),
        Column(f"top-1 at {' / '.join(map(short, budgets))}", by_budget),
        naming("attack", lambda line: line.worst.attack if line.worst else "-"),
        figure("utility", lambda line: line.of.utility and line.of.utility.top1, "%"),
        Column("flags", flags, lambda line: {"flags": ";".join(f.name for f in line.of.verdict.flags)}, name=True),
    ]
    ran = s.held_out > 0  # without a black-box attack there is no worst case
    return Section("ranking", "Worst case", columns, shown * ran, 2, FILE, data)


def _evaluators(s: Standings, shown: list[Line], data: list[Line]) -> Section[Line | Control]:
    """Each evaluator's and their majority's own worst case, above what they say of the controls' images."""
    names = list(dict.fromkeys(name for line in data for name in line.views))
    seen = {**s.done[0].evaluators, MAJORITY: s.done[0].majority} if s.done else {}
    controls = []
    for field, label in CONTROLS.items():
        figures = {name: getattr(seen.get(name), field, None) for name in names}
        views = {name: ("", figure) for name, figure in figures.items() if figure is not None}
        controls += [Control(label, views)] if views else []

    def view(name: str) -> Column[Line | Control]:
        def text(row: Line | Control) -> str:
            attack, share = row.views.get(name, ("", None))
            return "-" if share is None else f"{percent(share)} ({attack})" if attack else percent(share)

        def csv(row: Line | Control) -> dict[str, object]:
            return {f"evaluator_{name}": round(row.views[name][1], 6) if name in row.views else None}

        return Column(name, text, csv)

    note = (
        "By evaluator: each one's own worst case, its attack chosen as that evaluator has it; below it what that "
        "evaluator says of the controls' images."
    )
    columns = [naming("defense", lambda row: row.label, note=note), *map(view, names)]
    return Section("evaluators", "Worst case by evaluator", columns, [*shown, *controls] * bool(names), 1, FILE, data)


def _utility(shown: list[Line], data: list[Line]) -> Section[Line]:
    """What honest users still get; not shown where no more than top-1 was measured."""

    def measure(title: str, field: str, form: str) -> Column[Line]:
        return figure(title, lambda line: getattr(line.of.utility, field, None), form, f"utility_{field}")

    note = "Utility: of the released scores on held-out photos; latency and memory as ratios to none."
    columns = [
        naming("defense", lambda line: line.label, note=note),
        *(measure(title, *of) for title, of in UTILITY.items()),
        figure("latency", lambda line: line.of.latency_ratio, ".2f", "latency_ratio"),
        figure("memory", lambda line: line.of.memory_ratio, ".2f", "memory_ratio"),
    ]
    measured = any(line.of.utility and line.of.utility.log_loss is not None for line in shown)
    rows = [line for line in shown if line.of.utility] if measured else []
    return Section("utility", "Utility", columns, rows, 1, FILE, data)
