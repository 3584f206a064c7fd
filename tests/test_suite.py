"""Suites, their verdicts, and the flags of masking."""

import json

import pytest
import torch

import mia_bench
from mia_bench.bench.controls import Scope
from mia_bench.bench.judging import development
from mia_bench.bench.planning import open_protocol, plan
from mia_bench.bench.probes import probe
from mia_bench.board.board import make
from mia_bench.board.verdict import as_json, verdicts, worth_seeing
from mia_bench.plugin import Defense, Pipeline
from mia_bench.plugin.access import Access
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import suite
from mia_bench.records import flags
from mia_bench.records.figures import Probes, Queries

from .helpers import mia, refused, service_of

SMALL = """
schema = 1
name = "small"
version = 1
attacks = ["wb", "bb", "ortho"]
trials = 1
development = 0.5
[budgets]
default = [40, 150]
"""


BUDGETS = (40, 150, 300)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small suite, and the records of a run of it: fold A, four people, one trial."""
    folder = tmp_path_factory.mktemp("suite")
    file = folder / "small.toml"
    file.write_text(SMALL)
    records = mia_bench.evaluate(
        ["topk5", "labelonly"], suite=str(file), folds=["A"], identities=4, budget=300, out=folder / "out"
    )
    return file, records


def test_a_suite_brings_attacks_trials_and_budgets(small, registry):
    file, records = small
    assert [(r.defense, r.attack) for r in records[:3]] == [("none", "wb"), ("none", "bb"), ("none", "ortho")]
    for found in records:
        assert (found.suite, found.budgets, found.budget, found.trials) == (
            suite.load(str(file)).title,
            [40, 150, 300],
            300,
            1,
        )
    assert [r.status for r in records[-3:]] == ["ok", "skipped", "skipped"], "labelonly leaves no scores"
    for found in records:
        if found.status == "ok":
            chosen_on = {row.identity for row in found.per_identity if not row.held_out}
            assert len(chosen_on) == found.request.development == 2
            people = tuple(row.identity for row in found.per_identity)
            assert chosen_on == development(records[0].request, scope_of(registry, "A", people))


def scope_of(registry, fold, people):
    return Scope(fold, "vae", people, 1, 0, registry.attack("wb"), None)


def test_the_identities_that_an_attack_is_chosen_on_are_drawn_by_seed_and_fold(small, registry):
    _, records = small
    people = tuple(row.identity for row in records[0].per_identity)
    drawn = [
        development(asked(records[0], seed=seed).request, scope_of(registry, fold, people))
        for seed in range(10)
        for fold in ("A", "B")
    ]
    assert all(len(some) == 2 and some < set(people) for some in drawn)
    assert len(set(drawn)) > 3
    assert set().union(*drawn) == set(people), "not the first by name"
    assert development(records[0].request, scope_of(registry, "A", people)) == drawn[0]


def test_success_against_budget_comes_from_one_run(small):
    _, records = small
    for found in records:
        if found.status != "ok":
            continue
        assert [point.budget for point in found.curve] == [10, 20, 40, 50, 100, 150, 200, 300]
        assert found.curve[-1].top1 == found.attack_accuracy.top1, "the curve ends at what was handed in"
        assert [row.curve[-1] for row in found.per_identity] == [row.top1 for row in found.per_identity]
    undefended = {r.attack: r for r in records if r.defense == "none"}
    assert undefended["ortho"].curve[0].top1 <= undefended["ortho"].curve[-1].top1


def test_a_smaller_budget_from_the_curve_is_what_a_run_of_that_budget_gives(small, tmp_path):
    """``wb`` does not look at its budget: its curve can be checked against runs."""
    _, records = small
    wb = records[0]
    place = [point.budget for point in wb.curve].index(10)
    (alone,) = mia_bench.evaluate(attacks=["wb"], folds=["A"], identities=4, trials=1, budget=10, out=tmp_path)
    assert [row.top1 for row in alone.per_identity] == [row.curve[place] for row in wb.per_identity]


def test_a_gallery_shows_what_each_headline_rests_on(small):
    _, records = small
    shown = worth_seeing(records)
    assert [(r.defense, r.attack) for r in shown] == [
        (v.defense, v.headline.attack) for v in verdicts(records) if v.worst
    ]
    plain = [asked(r, suite="") for r in records]
    assert worth_seeing(plain) == plain


def test_a_suite_leaves_its_verdicts_and_figures_beside_the_records(small):
    file, records = small
    found = json.loads((file.parent / "out" / "report" / "verdicts.json").read_text())
    assert found == json.loads(json.dumps([as_json(verdict) for verdict in verdicts(records)]))
    assert (file.parent / "out" / "gallery.png").exists()
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install -e '.[figures]'")
    assert {"plane-dark.svg", "curves-light.png"} <= {path.name for path in (file.parent / "out" / "report").iterdir()}


def asked(found, **changes):
    """A record of another request."""
    return found.model_copy(update={"request": found.request.model_copy(update=changes)})


def with_curve(found, curves):
    """A record of as many identities with these curves (held out: all but the first two)."""
    like = {row.held_out: row for row in found.per_identity}
    rows = [
        like[place > 1].model_copy(update={"identity": f"p{place}", "curve": curve, "top1": curve[-1]})
        for place, curve in enumerate(curves)
    ]
    return found.model_copy(update={"results": found.results.model_copy(update={"rows": rows, "budgets": BUDGETS})})


def test_the_worst_case_is_chosen_on_development_identities_and_reported_on_the_others(small):
    _, records = small
    wb, bb, ortho = records[:3]
    wb = with_curve(wb, [[1, 1, 1]] * 4)
    bb = with_curve(bb, [[0, 0.5, 0.5], [0, 0.5, 0.5], [0, 1, 1], [0, 1, 0]])
    ortho = with_curve(ortho, [[0.5, 0, 1], [0.5, 0, 1], [0, 0, 0], [0, 1, 1]])
    (verdict,) = verdicts([ortho, bb, wb])
    assert [(w.budget, w.attack) for w in verdict.worst] == [(40, "ortho"), (150, "bb"), (300, "ortho")]
    assert [w.accuracy for w in verdict.worst] == [0, 1, 0.5]
    assert [w.upper for w in verdict.worst] == [0, 1, 1]
    assert verdict.headline.by_identity == {"A/p2": 0, "A/p3": 1}
    assert json.loads(json.dumps(as_json(verdict)))["worst_case"][2]["attack"] == "ortho"


def test_flags_that_several_cells_show_together(small):
    _, records = small
    wb, bb, ortho = records[:3]
    low, high = [[0, 0, 0]] * 8, [[0, 0.9, 0.9], [0, 1, 1]] * 4
    copied = asked(with_curve(ortho, high), transfer=True)
    label_only = asked(with_curve(ortho, high), access=Access.LABEL_ONLY)
    quiet = [with_curve(wb, high), with_curve(bb, high)]

    def raised(*cells, undefended=quiet):
        against = [asked(cell, defense="topk:k=5") for cell in cells]
        none, defended = verdicts([*undefended, *against])
        assert none.flags == ()
        return {flag.name for flag in defended.flags}

    assert raised(*quiet) == set()
    loud = (with_curve(wb, low), with_curve(bb, low), copied)
    assert raised(*loud) == {flags.WHITE_BOX_WEAKER, flags.TRANSFER_STRONGER}
    assert raised(with_curve(wb, high), with_curve(bb, low), label_only) == {flags.LABELS_STRONGER}
    assert raised(*loud, undefended=loud) == set(), "what shows without a defense is not a defense's doing"


def test_more_queries_that_do_not_help_are_flagged_where_there_is_something_to_gain():
    budgets = [300, 1000, 5000]
    for null in (None, 0.0):
        assert flags.no_gain([0.1, 0.1, 0.12], [0.2, 0.6, 0.9], budgets, null).name == flags.NO_GAIN
        assert flags.no_gain([0.1, 0.4, 0.8], [0.2, 0.6, 0.9], budgets, null) is None
        assert flags.no_gain([0.88, 0.88, 0.88], [0.9, 0.9, 0.9], budgets, null) is None
    assert flags.no_gain([0.1, 0.1, 0.12], [0.2, 0.6, 0.9], budgets, 0.05) is None, "what is left is the null"


class Refuser(Defense):
    name = "refuser"
    refuses = True

    def release(self, scores, rng):
        return torch.full_like(scores, torch.nan)


def probed(registry, lab, pipeline, count):
    """What the probes say of the paper's target behind a defense, asked about so many latents."""
    generator, codes = lab.generator("A", "vae"), lab.codes("A", "vae")
    target = lab.target("A", registry.target("paper"))
    draw = torch.Generator().manual_seed(0)
    about = (generator, codes, codes[:count], pipeline.access, draw)
    return probe(service_of(target, pipeline), target.scores, *about)


def sent(total, refused=0):
    return Queries(mean=total, median=total, total=total, budget=total, by_phase={"search": total}, refused=refused)


@pytest.mark.parametrize(
    ("spec", "raised"),
    [
        ("none", set()),
        ("topk5", set()),
        ("noise0.05", {flags.RANDOMISED, flags.MISLEADING}),
        ("round1", {flags.ZERO_GRADIENTS}),
        ("labelonly", set()),
    ],
)
def test_probes_tell_what_answers_do(registry, lab, spec, raised):
    found = probed(registry, lab, registry.defense(spec), 60)
    assert (found.unrepeatable > flags.MUCH) == (flags.RANDOMISED in raised), found
    assert (found.flat > flags.MUCH) == (flags.ZERO_GRADIENTS in raised), found
    seen = flags.of_cell(Access.SCORES, found, sent(9))
    assert {flag.name for flag in seen} == raised, found
    assert {flag.kind for flag in seen} <= {"hides"}
    assert flags.of_cell(Access.WHITE_BOX, found, sent(9)) == [], "no answer concerns who holds the weights"


def test_refused_queries_are_counted_and_flagged(registry, lab):
    found = probed(registry, lab, Pipeline((Refuser(),)), 5)
    assert (found.unrepeatable, found.flat, found.agreement, found.refused) == (0, 0, None, 1)
    (flag,) = flags.of_cell(Access.SCORES, Probes(unrepeatable=0, flat=0), sent(9, refused=3))
    assert (flag.name, flag.kind) == (flags.REFUSED, "refuses")
    assert "3 of the attack's 9" in flag.says


def test_wrong_suites(tmp_path):
    refused(mia("run", "--suite", "v9"), "unknown suite 'v9'", "v1")
    refused(mia("run", "--suite", tmp_path / "none.toml"), "none.toml", "No such file")
    file = tmp_path / "bad.toml"
    file.write_text(SMALL.replace("[40, 150]", "[150, 40]"))
    refused(mia("run", "--suite", file), "bad.toml", "not ascending")
    file.write_text(SMALL.replace("default", "orl"))
    refused(mia("run", "--suite", file), "bad.toml", "default")
    file.write_text(SMALL.replace('"wb"', '"wbb"'))
    refused(mia("run", "--suite", file), "bad.toml: unknown attack 'wbb'")


def test_a_suite_needs_two_identities(small, registry):
    file, _ = small
    with pytest.raises(RequestError, match="at least 2"):
        plan(registry, open_protocol("orl"), suite=str(file), identities=1)


def test_an_attack_of_a_suite_that_does_not_suit_the_generator_is_skipped(registry, tmp_path):
    """One that is asked for by name is refused."""
    file = tmp_path / "wide.toml"
    file.write_text(SMALL.replace('"bb"', '"bb:M=8"'))
    protocol = open_protocol("orl")
    wb, bb, ortho = plan(registry, protocol, suite=str(file))
    assert (wb.mismatch(), ortho.mismatch()) == ("", "")
    assert "bb:M=8" in bb.mismatch()
    small = {"folds": ["A"], "identities": 2, "budget": 40, "out": tmp_path / "out"}
    records = mia_bench.evaluate("topk5", suite=str(file), **small)
    assert [(r.attack, r.status) for r in records[:3]] == [("wb", "ok"), ("bb:M=8", "skipped"), ("ortho", "ok")]
    assert any(line.startswith("bb:M=8 was made on nobody here: attack bb:M=8:") for line in make(records).sentences)
    (said,) = json.loads((tmp_path / "out" / "report" / "verdicts.json").read_text())[0]["skipped"].items()
    assert said[0] == "bb:M=8"
    with pytest.raises(RequestError, match="bb:M=8"):
        plan(registry, protocol, suite=str(file), attacks=["bb:M=8"])


def test_every_suite_that_comes_with_the_package_bounds_what_labels_give_away(registry):
    """Output-side defenses that keep the top label cannot be safer than labels alone: such attacks are always in."""
    for name in suite.built_in():
        accesses = {registry.attack(spec).access for spec in suite.load(name).attacks if spec != "prior"}
        assert set(Access) <= accesses
