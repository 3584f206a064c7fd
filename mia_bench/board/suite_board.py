"""The leaderboard of a suite run: the ranking, what each judge says, and every row in words."""

from dataclasses import dataclass
from statistics import mean

from ..plugin.access import Access
from ..plugin.evaluator import HEADLINE
from ..records.figures import MAJORITY, MajorityAccuracy, Utility
from ..records.record import Record
from .comparison import FEWEST, Table, interval, percent, points, short
from .standings import Standing, Standings

CONTROLS = {"floor": "(floor)", "null": "(null)", "ceiling": "(ceiling)", "real_top1": "(real photos)"}
"""Rows below the judges' table, over all identities, by the field of the record."""


@dataclass(frozen=True)
class SuiteBoard:
    """Standings as text."""

    standings: Standings

    @property
    def name(self) -> str:
        """Which board this is, e.g. ``orl-v1``."""
        first = self.standings.group.records[0]
        return f"{first.protocol.name}-{first.suite}"

    @property
    def title(self) -> str:
        """What was run, in one line."""
        first = self.standings.group.records[0]
        return f"{self.standings.group.title}, suite {first.suite}"

    @property
    def ranked_by(self) -> dict[str, float]:
        """The worst case of each ranked defense."""
        headlines = {row.defense: row.verdict.headline for row in self.standings.rows}
        return {defense: worst.accuracy for defense, worst in headlines.items() if worst}

    def tables(self) -> list[Table]:
        """The ranking; each judge's view, where there are several; utility, where measured; every attack against every
        defense."""
        several = any(row.by_judge for row in self.standings.rows)
        measured = any(row.utility and row.utility.log_loss is not None for row in self.standings.rows)
        judges, utility = [self._judges()] if several else [], [self._utility()] if measured else []
        return [self._ranking(), *judges, *utility, self.attacks()]

    def attacks(self) -> Table:
        """R_eval's top-1 and the median queries a trial of each attack against each defense, over all identities."""
        rows = self.standings.rows
        access_order = list(Access)[::-1]
        attacks = {(access_order.index(r.access), r.attack) for row in rows for r in row.verdict.records}
        by_pair = {(r.attack, r.defense): r for row in rows for r in row.verdict.records}
        body = []
        for place, attack in sorted(attacks):
            cells = [_outcome(by_pair.get((attack, row.defense))) for row in rows]
            body.append([attack, access_order[place].value, *cells])
        return ["attack, top-1 (median queries)", "access", *(row.defense for row in rows)], body

    def notes(self) -> list[str]:
        """How to read the tables, then every row in words."""
        s, budgets = self.standings, self.standings.group.records[0].budgets
        above = "above null" if s.null else "(its null was not measured)"
        how = (
            f"Worst case: R_eval's top-1 {above} under the attack that does best on the development identities, over "
            f"the {s.held_out} held-out ones, at {budgets[-1]:,} queries a trial; intervals are over identities. vs "
            "none: points, paired by identity, with the interval of the level at which Holm's procedure tests them, so "
            "that an interval with 0 in it is a tie. By judge: each judge's own worst case, its attack chosen as that "
            "judge has it; below it what that judge says of the controls' images. Utility: of the released scores on "
            "held-out photos; latency and memory as ratios to none. Attack by defense: over all identities."
        )
        return [how, *self._controls(), *self.sentences()]

    def sentences(self) -> list[str]:
        """Every row in words with its flags, then what the run leaves open."""
        found = []
        for row in self.standings.rows:
            found.append(self._in_words(row))
            if row.verdict.lacking and row.verdict.headline:
                lacking = "; ".join(row.verdict.lacking)
                found.append(f"{row.defense} is not ranked, for others met more attacks: {lacking}.")
            found += [f"{row.defense}, masking suspected ({flag.name}): {flag.says}" for flag in row.verdict.flags]
        return [*found, *self._white_box(), *self._missed(), *self._left_out(), *self._open()]

    def csv_rows(self) -> list[list[object]]:
        """A header, then a row a defense and budget: fractions in 0..1, queries as counts; what belongs to the headline
        stands at the last budget only."""
        judges = list(dict.fromkeys(name for row in self.standings.rows for name in row.by_judge))
        useful = [name for name in Utility.model_fields if name != "cost"]
        header = ["rank", "rank_low", "rank_high", "defense", "budget", "attack"]
        header += ["top1", "ci95_low", "ci95_high", "upper", "leak", "leak_low", "leak_high"]
        header += ["difference", "difference_low", "difference_high", "p", "p_holm", "tie"]
        header += [f"judge_{name}" for name in judges] + [f"utility_{name}" for name in useful]
        header += ["latency_ratio", "memory_ratio", "flags"]
        rows: list[list[object]] = [[*header]]
        for row in self.standings.rows:
            flags = ";".join(flag.name for flag in row.verdict.flags)
            utility = row.utility.model_dump() if row.utility else {}
            for worst, leak in zip(row.verdict.worst, row.leak, strict=True):
                last = worst is row.verdict.headline
                c = row.comparison if last else None
                shown = row.by_judge if last else {}
                rows.append(
                    [row.rank, *(row.ranks or ("", "")), row.defense, worst.budget, worst.attack]
                    + [worst.accuracy, *worst.ci95, worst.upper, *leak]
                    + ([c.mean, c.low, c.high, c.p, c.p_holm, c.tie] if c else [""] * 6)
                    + [round(shown[name][1], 6) if name in shown else "" for name in judges]
                    + [utility.get(name, "") for name in useful]
                    + [row.latency_ratio, row.memory_ratio, flags]
                )
        return rows

    def _ranking(self) -> Table:
        s, budgets = self.standings, self.standings.group.records[0].budgets
        header = ["rank [95%]", "defense", f"worst case{' above null' if s.null else ''} [95% CI]"]
        header += ["vs none", f"top-1 at {' / '.join(map(short, budgets))}", "attack", "utility", "flags"]
        return header, [self._line(row) for row in s.rows]

    def _line(self, row: Standing) -> list[str]:
        many, c = self.standings.many, row.comparison
        utility = percent(row.utility.top1) if row.utility else "-"
        flags = "masking suspected" if row.verdict.flags else ""
        if row.verdict.headline is None:
            return ["-", row.defense, *["-"] * 4, utility, flags]
        leak, low, high = row.leak[-1]
        place = "-" if row.rank is None else f"{row.rank} [{row.ranks[0]}, {row.ranks[1]}]" if row.ranks else None
        return [
            place or f"{row.rank} [?]",
            row.defense,
            f"{percent(leak)} {interval(low, high) if many else '[?]'}",
            "-" if c is None else points((c.mean, c.low, c.high)) if many else f"{100 * c.mean:+.1f} [?]",
            " / ".join(f"{100 * worst.accuracy:.0f}" for worst in row.verdict.worst) + "%",
            row.verdict.headline.attack,
            utility,
            flags,
        ]

    def _judges(self) -> Table:
        views = self._views()
        body = [
            [row.defense, *(_judged(*row.by_judge[name]) if name in row.by_judge else "-" for name in views)]
            for row in self.standings.rows
        ]
        for field, label in CONTROLS.items():
            figures = [getattr(view, field) for view in views.values()]
            if any(figure is not None for figure in figures):
                body.append([label, *("-" if figure is None else percent(figure) for figure in figures)])
        return ["defense, worst case by judge", *views], body

    def _utility(self) -> Table:
        def number(value: float | None, form: str) -> str:
            return "-" if value is None else f"{value:{form}}"

        header = ["defense, utility", "top-1", "top-5", "log-loss", "ECE", "AUC", "refused", "latency", "memory"]
        return header, [
            [
                row.defense,
                *(percent(share) for share in (u.top1, u.top5)),
                number(u.log_loss, ".3f"),
                number(u.ece, ".3f"),
                number(u.auc, ".4f"),
                percent(u.refused),
                number(row.latency_ratio, ".2f"),
                number(row.memory_ratio, ".2f"),
            ]
            for row in self.standings.rows
            if (u := row.utility)
        ]

    def _views(self) -> dict[str, MajorityAccuracy]:
        """Judges, and their majority, by name."""
        first = self._done()
        if first is None:
            return {}
        return {**first.evaluators, **({MAJORITY: first.majority} if first.majority else {})}

    def _done(self) -> Record | None:
        return next((record for record in self.standings.group.records if record.status == "ok"), None)

    def _controls(self) -> list[str]:
        done, null = self._done(), self.standings.null
        if done is None or done.floor is None or done.ceiling is None:
            return []
        unseen = f"{percent(mean(null.values()))} against a target that never saw the person (null), " if null else ""
        real = percent(done.evaluators[HEADLINE].real_top1)
        return [
            f"R_eval gives {percent(done.floor)} on the seeds (floor), {unseen}{percent(done.ceiling)} on "
            f"D(E(real photo)) (ceiling) and {real} on real photos."
        ]

    def _in_words(self, row: Standing) -> str:
        worst, c = row.verdict.headline, row.comparison
        if worst is None:
            reasons = "; ".join(sorted({r.reason for r in row.verdict.records if r.reason and r.attack in self._made}))
            return f"{row.defense} is not ranked: {reasons or 'no black-box attack ran'}."
        if c is None and row.defense != "none":
            return f"{row.defense}: {worst.attack} does best, but no attack on none was carried out to compare it with."
        if c is None:
            return (
                f"{row.defense}: {worst.attack} does best, with {percent(worst.accuracy)} after {worst.budget:,} "
                f"queries; no choice of an attack for each person has more than {percent(worst.upper)}."
            )
        lowers = c.mean <= 0
        verb, low, high = ("lowers", -c.high, -c.low) if lowers else ("raises", c.low, c.high)
        change = f"{row.defense} {verb} the worst case by {_points(abs(c.mean))} points"
        if not self.standings.conclusive:
            return f"{change} ({worst.attack}), from which nothing can be concluded."
        verdict = "a tie with none" if c.tie else f"{'better' if lowers else 'worse'} than none (p {_p(c.p_holm)})"
        return f"{change} [{_points(low)}, {_points(high)}]: {verdict}; {worst.attack} does best."

    def _white_box(self) -> list[str]:
        """What whoever holds the weights reconstructs, the defenses with the same figure together."""
        alike: dict[tuple[str, float], list[str]] = {}
        for row in self.standings.rows:
            if row.white_box:
                alike.setdefault(row.white_box, []).append(row.defense)
        return [
            f"Whoever holds the weights reconstructs {percent(share)} ({attack}) against {', '.join(defenses)}."
            for (attack, share), defenses in alike.items()
        ]

    def _missed(self) -> list[str]:
        """Where the choice of a judge's attack on few people went wrong, by judge."""
        rows = self.standings.rows if self.standings.many else ()
        missed: dict[str, list[str]] = {}
        for row in rows:
            for judge, (attack, share) in row.missed.items():
                said = f"{attack} has {percent(share)} against {row.defense}, not {percent(row.by_judge[judge][1])}"
                missed.setdefault(judge, []).append(said)
        return [
            f"By {judge}, an attack that was not chosen is far better on the held-out people: {'; '.join(said)}."
            for judge, said in missed.items()
        ]

    def _left_out(self) -> list[str]:
        """Attacks of the suite that were made on nobody: the worst case is over fewer."""
        reasons = {r.attack: r.reason for r in self.standings.group.records if r.attack not in self._made}
        return [f"{attack} was made on nobody here: {reason}." for attack, reason in reasons.items()]

    @property
    def _made(self) -> set[str]:
        """Attacks that were carried out at least once."""
        return {record.attack for record in self.standings.group.records if record.status == "ok"}

    def _open(self) -> list[str]:
        """What a run this small cannot conclude."""
        s, found = self.standings, []
        if not s.many:
            found.append(
                f"{s.held_out} held-out identities are too few for intervals, rank intervals or a verdict on any "
                f"defense: it takes at least {FEWEST}."
            )
        elif s.held_out < s.needed:
            found.append(
                f"Over {s.held_out} held-out identities no difference from none can be told from chance, however "
                f"large; with this many defenses it takes at least {s.needed}."
            )
        if s.group.records[0].trials < 2:
            found.append(
                "With one trial each, luck cannot be told from what makes a person easy to reconstruct: no defense is "
                "called better or worse than none."
            )
        return found


def _judged(attack: str, share: float) -> str:
    return f"{percent(share)} ({attack})"


def _outcome(record: Record | None) -> str:
    if record is None:
        return "-"
    if record.attack_accuracy is None or record.queries is None:
        return record.status
    return f"{100 * record.attack_accuracy.top1:.0f}% ({record.queries.median:,.0f})"


def _points(share: float) -> str:
    """0.04 -> 4, 0.035 -> 3.5."""
    return f"{round(100 * share, 1) + 0.0:g}"


def _p(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
