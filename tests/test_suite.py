"""Suites, their verdicts, and the flags of masking."""

import json

import pytest
import torch

import mia_bench
from mia_bench.bench import flags
from mia_bench.bench.planning import plan
from mia_bench.bench.probes import probe
from mia_bench.board.comparison import groups
from mia_bench.board.standings import standings
from mia_bench.board.suite_board import SuiteBoard
from mia_bench.board.verdict import as_json, verdicts, worth_seeing
from mia_bench.plugin import Defense, Pipeline
from mia_bench.plugin.access import Access
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import suite
from mia_bench.records.record import Probes

from .helpers import mia, refused

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
    rows = records[0].per_identity
    assert [row.held_out for row in rows] == [False, False, True, True]


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
    plain = [r.model_copy(update={"suite": ""}) for r in records]
    assert worth_seeing(plain) == plain


def test_a_suite_leaves_its_verdicts_and_figures_beside_the_records(small):
    file, records = small
    found = json.loads((file.parent / "out" / "report" / "verdicts.json").read_text())
    assert found == json.loads(json.dumps([as_json(verdict) for verdict in verdicts(records)]))
    assert (file.parent / "out" / "gallery.png").exists()
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install -e '.[figures]'")
    assert {"plane-dark.svg", "curves-light.png"} <= {path.name for path in (file.parent / "out" / "report").iterdir()}


def with_curve(found, curves):
    """A record of as many identities with these curves (held out: all but the first two)."""
    rows = [
        found.per_identity[-1 if place > 1 else 0].model_copy(
            update={"identity": f"p{place}", "curve": curve, "top1": curve[-1]}
        )
        for place, curve in enumerate(curves)
    ]
    points = [
        point.model_copy(update={"budget": budget}) for point, budget in zip(found.curve, (40, 150, 300), strict=False)
    ]
    return found.model_copy(update={"per_identity": rows, "curve": points})


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
    copied = with_curve(ortho, high).model_copy(update={"transfer": True})
    label_only = with_curve(ortho, high).model_copy(update={"access": Access.LABEL_ONLY})
    quiet = [with_curve(wb, high), with_curve(bb, high)]

    def raised(*cells, undefended=quiet):
        against = [cell.model_copy(update={"defense": "topk:k=5"}) for cell in cells]
        none, defended = verdicts([*undefended, *against])
        assert none.flags == ()
        return {flag.name for flag in defended.flags}

    assert raised(*quiet) == set()
    loud = (with_curve(wb, low), with_curve(bb, low), copied)
    assert raised(*loud) == {flags.WHITE_BOX_WEAKER, flags.TRANSFER_STRONGER}
    assert raised(with_curve(wb, high), with_curve(bb, low), label_only) == {flags.LABELS_STRONGER}
    assert raised(*loud, undefended=loud) == set(), "what shows without a defense is not a defense's doing"


def test_more_queries_that_do_not_help_are_flagged_where_there_is_something_to_gain():
    assert flags.no_gain([0.1, 0.1, 0.12], [0.2, 0.6, 0.9], [300, 1000, 5000]).name == flags.NO_GAIN
    assert flags.no_gain([0.1, 0.4, 0.8], [0.2, 0.6, 0.9], [300, 1000, 5000]) is None
    assert flags.no_gain([0.88, 0.88, 0.88], [0.9, 0.9, 0.9], [300, 1000, 5000]) is None


class Refuser(Defense):
    name = "refuser"
    refuses = True

    def release(self, scores, rng):
        return torch.full_like(scores, torch.nan)


@pytest.mark.parametrize(
    ("spec", "unrepeatable", "flat"),
    [("none", 0, 0), ("topk5", 0, 0), ("noise0.05", 1, 0), ("round1", 0, 1), ("labelonly", 0, 0)],
)
def test_probes_tell_what_answers_do(registry, lab, spec, unrepeatable, flat):
    generator, codes = lab.generator("A", "vae"), lab.codes("A", "vae")
    target = lab.target("A", registry.target("paper"))
    found = probe(target, registry.defense(spec), generator, codes, codes[:60], torch.Generator().manual_seed(0))
    assert (found.unrepeatable > flags.MUCH, found.flat > flags.MUCH) == (bool(unrepeatable), bool(flat)), found
    seen = {
        flag.name
        for flag in flags.of_cell(
            Access.SCORES, Probes(unrepeatable=found.unrepeatable, flat=found.flat), refused=0, total=9
        )
    }
    assert seen == {name for name, on in ((flags.RANDOMISED, unrepeatable), (flags.ZERO_GRADIENTS, flat)) if on}


def test_refused_queries_are_counted_and_flagged(registry, lab):
    generator, codes = lab.generator("A", "vae"), lab.codes("A", "vae")
    target = lab.target("A", registry.target("paper"))
    found = probe(target, Pipeline((Refuser(),)), generator, codes, codes[:5], torch.Generator().manual_seed(0))
    assert (found.unrepeatable, found.flat) == (0, 0)
    (flag,) = flags.of_cell(Access.SCORES, Probes(unrepeatable=0, flat=0), refused=3, total=9)
    assert flag.name == flags.REFUSED
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
        plan(registry, mia_bench.planning.open_protocol("orl"), suite=str(file), identities=1)


def test_an_attack_of_a_suite_that_does_not_suit_the_generator_is_skipped(registry, tmp_path):
    """One that is asked for by name is refused."""
    file = tmp_path / "wide.toml"
    file.write_text(SMALL.replace('"bb"', '"bb:M=8"'))
    protocol = mia_bench.planning.open_protocol("orl")
    wb, bb, ortho = plan(registry, protocol, suite=str(file))
    assert (wb.mismatch(), ortho.mismatch()) == ("", "")
    assert "bb:M=8" in bb.mismatch()
    small = {"folds": ["A"], "identities": 2, "budget": 40, "out": tmp_path / "out"}
    records = mia_bench.evaluate("topk5", suite=str(file), **small)
    assert [(r.attack, r.status) for r in records[:3]] == [("wb", "ok"), ("bb:M=8", "skipped"), ("ortho", "ok")]
    board = SuiteBoard(standings(groups(records)[0]))
    assert any(line.startswith("bb:M=8 was made on nobody here: attack bb:M=8:") for line in board.notes())
    (said,) = json.loads((tmp_path / "out" / "report" / "verdicts.json").read_text())[0]["skipped"].items()
    assert said[0] == "bb:M=8"
    with pytest.raises(RequestError, match="bb:M=8"):
        plan(registry, protocol, suite=str(file), attacks=["bb:M=8"])


def test_every_suite_that_comes_with_the_package_bounds_what_labels_give_away(registry):
    """Output-side defenses that keep the top label cannot be safer than labels alone: such attacks are always in."""
    for name in suite.built_in():
        accesses = {registry.attack(spec).access for spec in suite.load(name).attacks if spec != "prior"}
        assert set(Access) <= accesses
