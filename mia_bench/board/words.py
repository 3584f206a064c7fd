"""What a board says in sentences: controls, every defense in words with its flags, and what the run leaves open."""

from collections.abc import Iterator
from statistics import mean

from ..plugin.headline import HEADLINE
from ..records.record import Record
from .comparison import FEWEST, percent
from .standings import Standing, Standings


def sentences(s: Standings) -> list[str]:
    """All of them, in the order in which they are read."""
    parts = (_versions, _controls, _fitness, _chosen, _defenses, _white_box, _missed, _not_made, _left_out, _open)
    return [sentence for part in parts for sentence in part(s)]


def _versions(s: Standings) -> Iterator[str]:
    made = {(r.request.mia_bench, str(r.environment.get("commit") or "")[:7], r.schema_) for r in s.group.records}
    if len(made) > 1:
        several = ", ".join(
            f"{of}{f' at {commit}' if commit else ''} (schema {schema})" for of, commit, schema in sorted(made)
        )
        yield f"Made by several versions of mia-bench, whose figures may differ for that alone: {several}."


def _controls(s: Standings) -> Iterator[str]:
    unseen = f"{percent(mean(s.null.values()))} against a target that never saw the person (null), " if s.null else ""
    for done in s.done[:1]:
        assert done.floor is not None and done.ceiling is not None
        yield (
            f"R_eval gives {percent(done.floor)} on the seeds (floor), {unseen}{percent(done.ceiling)} on "
            f"D(E(real photo)) (ceiling) and {percent(done.evaluators[HEADLINE].real_top1)} on real photos."
        )


def _fitness(s: Standings) -> Iterator[str]:
    """What the figures cannot mean, where an evaluator does not see faces or the generator cannot draw them."""
    for results in (done.results for done in s.done[:1]):
        assert results
        unfit, fit = results.unfit, sorted(set(results.battery) - set(results.unfit))
        if HEADLINE in unfit:
            why = unfit[HEADLINE]
            yield f"These figures do not mean that anybody's face was found: R_eval fails the battery ({why})."
        others = [f"{name} ({why})" for name, why in sorted(unfit.items()) if name != HEADLINE]
        if others and fit:
            yield f"Evaluators that fail the battery do not count in the majority: {'; '.join(others)}."
        elif unfit and not fit:
            yield "No evaluator here passes the battery, so their majority is no better founded."
        ceiling = mean(row.ceiling for row in results.rows)
        if results.battery and ceiling < FIT:
            yield f"The generator is unfit to draw these people: R_eval knows {percent(ceiling)} of D(E(real photo))."


FIT = 0.5
"""Share of D(E(real photo)) that R_eval must know for a generator to be fit."""


def _chosen(s: Standings) -> Iterator[str]:
    if s.done and not s.chosen_apart:
        yield (
            "No identities are kept apart to choose the attack on: it is chosen by what it shows, so the worst case "
            "over these attacks is an upper bound."
        )
    if not s.group.suite and any(row.defense != "none" and row.verdict.headline for row in s.rows):
        yield "An attack that fails is no protection: --suite v1 measures the worst case over many."


def _defenses(s: Standings) -> Iterator[str]:
    made = {record.attack for record in s.done}
    for row in s.rows:
        headline = row.verdict.headline
        if headline is None:
            reasons = sorted({r.reason for r in row.verdict.records if r.reason and r.attack in made})
            yield f"{row.defense} is not ranked: {'; '.join(reasons) or 'no black-box attack ran'}."
        else:
            yield _in_words(row, s)
            if row.verdict.lacking:
                lacking = "; ".join(row.verdict.lacking)
                yield f"{row.defense} is not ranked, for others met more attacks: {lacking}."
            yield from _skipped(row, made)
        for flag in row.verdict.flags:
            said = "refuses" if flag.kind == "refuses" else "masking suspected"
            yield f"{row.defense}, {said} ({flag.name}): {flag.says}"


def _in_words(row: Standing, s: Standings) -> str:
    worst, c = row.verdict.headline, row.comparison
    assert worst
    if row.defense == "none":
        return (
            f"none: {worst.attack} does best, with {percent(worst.accuracy)} after {worst.budget:,} queries; no choice "
            f"of an attack for each person has more than {percent(worst.upper)}."
        )
    if c is None:
        return f"{row.defense}: {worst.attack} does best, but no attack on none was carried out to compare it with."
    lowers = c.mean <= 0
    verb, low, high = ("lowers", -c.high, -c.low) if lowers else ("raises", c.low, c.high)
    change = f"{row.defense} {verb} the worst case by {_points(abs(c.mean))} points"
    if not s.conclusive:
        return f"{change} ({worst.attack}), from which nothing can be concluded."
    verdict = "a tie with none" if c.tie else f"{'better' if lowers else 'worse'} than none (p {_p(c.p_holm)})"
    return f"{change} [{_points(low)}, {_points(high)}]: {verdict}; {worst.attack} does best."


def _skipped(row: Standing, made: set[str]) -> Iterator[str]:
    """What others met and this defense leaves nothing to ask; reasons that differ in the attack alone together."""
    alike: dict[str, list[Record]] = {}
    for r in row.verdict.records:
        if r.status == "skipped" and r.attack in made:
            alike.setdefault(r.reason.replace(r.attack, ""), []).append(r)
    for records in alike.values():
        attacks = sorted(r.attack for r in records)
        yield f"{row.defense}: {', '.join(attacks)} skipped ({min(r.reason for r in records)})."


def _white_box(s: Standings) -> Iterator[str]:
    """What whoever holds the weights reconstructs, the defenses with the same figure together."""
    alike: dict[tuple[str, float], list[str]] = {}
    for row in s.rows:
        if row.white_box:
            alike.setdefault(row.white_box, []).append(row.defense)
    for (attack, share), defenses in alike.items():
        yield f"Whoever holds the weights reconstructs {percent(share)} ({attack}) against {', '.join(defenses)}."
    if alike:
        yield "A defense of the outputs does not concern them."


def _missed(s: Standings) -> Iterator[str]:
    """Where the choice of an evaluator's attack on few people went wrong, by evaluator."""
    missed: dict[str, list[str]] = {}
    for row in s.rows if s.many else ():
        for name, (attack, share) in row.missed.items():
            said = f"{attack} has {percent(share)} against {row.defense}, not {percent(row.by_evaluator[name][1])}"
            missed.setdefault(name, []).append(said)
    for name, said_of in missed.items():
        yield (f"By {name}, an attack that was not chosen is far better on the held-out people: {'; '.join(said_of)}.")


def _not_made(s: Standings) -> Iterator[str]:
    """Attacks that were made on nobody: the worst case is over fewer."""
    made = {record.attack for record in s.done}
    reasons = {record.attack: record.reason for record in s.group.records if record.attack not in made}
    for attack, reason in sorted(reasons.items()):
        yield f"{attack} was made on nobody here: {reason}."


def _left_out(s: Standings) -> Iterator[str]:
    reasons = {name: why for r in s.done if r.results for name, why in r.results.left_out.items()}
    for name, reason in sorted(reasons.items()):
        yield f"Evaluator {name} did not judge: {reason}."


def _open(s: Standings) -> Iterator[str]:
    """What a run this small cannot conclude."""
    people = f"{s.held_out} {'held-out ' if s.chosen_apart else ''}identities"
    if s.done and not s.many:
        yield (
            f"Too few identities for intervals, rank intervals or a verdict on any defense: {people}, and it takes at "
            f"least {FEWEST}."
        )
    elif s.many and s.held_out < s.needed:
        yield (
            f"Over {people} no difference from none can be told from chance, however large; with this many defenses it "
            f"takes at least {s.needed}."
        )
    if s.group.records[0].trials < 2:
        yield (
            "With one trial each, luck cannot be told from what makes a person easy to reconstruct: no defense is "
            "called better or worse than none."
        )


def _points(share: float) -> str:
    """0.04 -> 4, 0.035 -> 3.5."""
    return f"{round(100 * share, 1) + 0.0:g}"


def _p(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"
