"""The board: ranks, comparisons, evaluators, words, what small runs cannot conclude, figures. Of a suite and of a plain
run, through the same code."""

import csv
import re
from io import StringIO
from pathlib import Path
from statistics import mean

import pytest
from rich.console import Console

from mia_bench.board import render
from mia_bench.board.board import boards, make
from mia_bench.board.terminal import print_records
from mia_bench.plugin.access import Access
from mia_bench.plugin.errors import RequestError
from mia_bench.records import record
from mia_bench.records.figures import Cost, EvaluatorAccuracy, MajorityAccuracy, Probes, Queries, Utility
from mia_bench.records.record import Record
from mia_bench.report import figures

from .helpers import mia, refused

PUBLISHED = Path(__file__).parent.parent / "leaderboard" / "orl" / "records"
BUDGETS = (300, 1000, 5000)
MOST = {"none": 0.9, "topk:k=5": 0.85, "noise:sigma=0.05": 0.7, "topk:k=1": 0.4, "labelonly": 0.2}
"""Of each defense, the share of people that its best attack reconstructs at the largest budget."""


def changed(found: Record, request=None, results=None, **own) -> Record:
    """A record with parts replaced, under the id that its request gives."""
    asked = found.request.model_copy(update=request or {})
    came = found.results.model_copy(update=results or {}) if found.results else None
    return found.model_copy(update={"request": asked, "cell_id": asked.cell_id, "results": came, **own})


def undone(found: Record, status: str, reason: str) -> Record:
    return found.model_copy(update={"status": status, "reason": reason, "results": None})


def attack(found: Record, spec: str, **request) -> Record:
    return changed(found, {"attack": found.request.attack.model_copy(update={"spec": spec}), **request})


def made(source: Record, defense: str, spec: str, share: float, people: int, trials: int, suite: str, null=True):
    """A record of schema 2 that reads back: an attack that reconstructs this share of people from 1,000 queries on."""
    rows = []
    for place, row in enumerate(source.per_identity[:people]):
        hit = float((place * 7) % people / people < share)
        own = {"curve": [hit * (place % 2), hit, hit], "top1": hit, "top5": 1.0, "majority": hit, "trials": trials}
        own |= {"evaluators": {"reval": hit, "lda": hit / 2}, "null": 0.05 if null else None, "queries": 100.0}
        rows.append(row.model_copy(update={**own, "held_out": not suite or place >= people // 4}))
    total = 100 * people * trials
    queries = Queries(mean=100, median=100, total=total, budget=BUDGETS[-1], by_phase={"search": total})
    results = {
        "rows": rows,
        "budgets": BUDGETS,
        "evaluators": {
            name: EvaluatorAccuracy(
                top1=round(mean(r.evaluators[name] for r in rows), 6),
                top5=1,
                real_top1=0.97,
                null=0.05 if name == "reval" else 0.04,
            )
            for name in ("reval", "lda")
        },
        "majority": MajorityAccuracy(top1=round(mean(r.majority or 0.0 for r in rows), 6), real_top1=0.98, null=0.01),
        "utility": Utility(top1=source.utility.top1, top5=source.utility.top5),
        "queries": queries,
        "probes": None,
    }
    request = {"defense": defense, "suite": suite, "trials": trials, "budgets": BUDGETS, "identities": people}
    request |= {"folds": ("A",), "development": people // 4 if suite else 0}
    found = attack(changed(source, request, results, schema_=2), spec)
    return Record.model_validate(found.model_dump(by_alias=True))


def run_of(found, people=20, trials=2, most=MOST, null=True, suite="v1"):
    """Records like published ones: ``bb`` and a weaker ``ortho`` against some defenses, under a suite or ''."""
    source = next(r for r in found if (r.defense, r.attack) == ("none", "bb"))
    return [
        made(source, defense, spec, share - weaker, people, trials, suite, null)
        for defense, share in most.items()
        for spec, weaker in (("bb", 0), ("ortho", 0.2))
    ]


def section(board, name):
    """A section's rows as text, each by the titles."""
    header, *body = next(s.table for s in board.sections if s.name == name)
    return [dict(zip(header, row, strict=True)) for row in body]


@pytest.fixture(scope="module")
def published():
    return record.read_folder(PUBLISHED)


@pytest.mark.parametrize("suite", ["v1", ""])
def test_the_least_leak_ranks_first_with_an_interval_of_its_rank(published, suite):
    rows = make(run_of(published, suite=suite)).standings.rows
    assert [row.defense for row in rows] == [*reversed(MOST)]
    for row in rows:
        assert row.ranks is not None
        assert row.ranks[0] <= row.rank <= row.ranks[1]
        assert row.verdict.headline.attack == "bb", "the stronger on the development identities"
        assert len(row.verdict.headline.by_identity) == (15 if suite else 20)
        leak, low, high = row.leak[-1]
        assert leak == pytest.approx(row.verdict.headline.accuracy - 0.05, abs=1e-5)
        assert low < leak < high
    assert rows[-1].comparison is None
    assert not rows[0].comparison.tie and rows[0].comparison.high < 0
    assert rows[-2].comparison.tie


@pytest.mark.parametrize("suite", ["v1", ""])
def test_every_row_says_what_it_means(published, suite):
    text = render.markdown(make(run_of(published, suite=suite)))
    assert "worst case above null" in text
    assert re.search(
        r"topk:k=5 lowers the worst case by [\d.]+ points \[[-\d.]+, [\d.]+\]: a tie with none; bb does best", text
    )
    assert re.search(r"labelonly lowers .*: better than none \(p [=<&lt;]+ 0\.\d+\)", text)
    assert "none: bb does best" in text
    assert "5.0% against a target that never saw the person (null)" in text
    assert "masking suspected" not in text
    assert not re.search(r"\bjudges?\b|\bpanel", text.replace("did not judge", "")), "one word: evaluator"


def test_a_run_without_a_suite_says_that_its_worst_case_is_an_upper_bound(published):
    plain, suite = (make(run_of(published, suite=suite)) for suite in ("", "v1"))
    assert (plain.name, suite.name) == ("orl", "orl-v1")
    assert suite.title == f"{plain.title}, suite v1"
    assert any("chosen by what it shows" in said and "upper bound" in said for said in plain.sentences)
    assert any("--suite v1" in said for said in plain.sentences)
    assert "on all identities" in " ".join(plain.notes) and "development" not in " ".join(plain.notes)
    assert not any("upper bound" in said for said in suite.sentences)
    assert "on the development identities, over the held-out 15," in " ".join(suite.notes)


def test_a_run_without_a_suite_shows_every_attack_against_every_defense(published):
    found = run_of(published, most={"none": 0.9, "topk:k=1": 0.4})
    plain = run_of(published, most={"none": 0.9, "topk:k=1": 0.4}, suite="")
    board = make(plain)
    rows = {(row["defense"], row["attack"]): row for row in section(board, "cells")}
    assert len(rows) == len(plain) == 4
    for r in plain:
        row = rows[r.defense, r.attack]
        assert row["R_eval top-1 [95% CI]"].startswith(f"{100 * r.attack_accuracy.top1:.1f}% [")
        assert row["majority"] == f"{100 * r.majority.top1:.1f}%"
        assert row["R_tar fooled"] == f"{100 * r.target_success:.1f}%"
        assert row["queries"] == "100"
        assert (row["vs none"] == "-") == (r.defense == "none")
    assert re.fullmatch(r"-50\.0 \[-\d+\.\d, -\d+\.\d\]", rows["topk:k=1", "bb"]["vs none"])
    assert section(board, "attacks") == [] and section(make(found), "cells") == []
    assert [row["attack, top-1 (median queries)"] for row in section(make(found), "attacks")] == ["bb", "ortho"]
    for one in (board, make(found)):
        assert len(list(csv.DictReader(StringIO(render.csv(one)["cells"])))) == 4


def test_disagreeing_evaluators_are_shown_beside_each_other(published):
    board = make(run_of(published))
    rows = section(board, "evaluators")
    assert list(rows[0]) == ["defense", "reval", "lda", "majority"]
    none = next(row for row in rows if row["defense"] == "none")
    shares = [float(none[name].split("%")[0]) for name in ("reval", "lda")]
    assert shares[0] == pytest.approx(2 * shares[1], abs=0.2)
    assert all(cell.endswith("(bb)") for cell in list(none.values())[1:])
    assert {"defense": "(null)", "reval": "5.0%", "lda": "4.0%", "majority": "1.0%"} in rows
    assert len(section(board, "ranking")) == len(MOST)


def test_evaluators_that_not_all_records_have_are_not_compared(published):
    found = run_of(published)
    rows = [row.model_copy(update={"evaluators": {"reval": row.top1}}) for row in found[0].per_identity]
    board = make([changed(found[0], results={"rows": rows}), *found[1:]])
    assert {row["defense"]: row["lda"] for row in section(board, "evaluators")}["none"] == "-"
    rows_of = list(csv.DictReader(StringIO(render.csv(board)["leaderboard"])))
    assert {row["evaluator_lda"] == "" for row in rows_of if row["budget"] == "5000"} == {True, False}


@pytest.mark.parametrize(
    ("results", "mark", "said"),
    [
        (
            {"probes": Probes(unrepeatable=0, flat=0.9)},
            "masking suspected",
            "topk:k=1, masking suspected (zero-gradients): 90% of small steps change nothing",
        ),
        (
            {"probes": Probes(unrepeatable=0, flat=0), "refused": 500},
            "refuses",
            "topk:k=1, refuses (refused-queries): 500 of the attack's",
        ),
        (
            {"probes": Probes(unrepeatable=0.9, flat=0), "refused": 500},
            "masking suspected, refuses",
            "topk:k=1, refuses (refused-queries)",
        ),
    ],
)
def test_a_flag_marks_the_row_and_stands_below_as_a_sentence(published, results, mark, said):
    """A refusal is no masking: who only refuses is not suspected."""
    refused_queries = results.pop("refused", 0)
    found = run_of(published)
    results["queries"] = found[0].queries.model_copy(update={"refused": refused_queries})
    board = make([changed(r, results=results) if r.defense == "topk:k=1" else r for r in found])
    assert {row["defense"]: row["flags"] for row in section(board, "ranking")} == {
        **dict.fromkeys(MOST, ""),
        "topk:k=1": mark,
    }
    assert any(line.startswith(said) for line in board.sentences)
    suspected = {row.defense for row in board.standings.rows if row.verdict.suspected}
    assert suspected == ({"topk:k=1"} if "masking" in mark else set())


def test_an_attack_that_failed_protects_nobody(published):
    """Without its strongest attack a defense would look the better for it: it has no rank, and the board says why."""
    failed = [
        undone(r, "error", "no luck") if (r.defense, r.attack) == ("topk:k=5", "bb") else r
        for r in run_of(published)
        if (r.defense, r.attack) != ("topk:k=1", "bb")
    ]
    board = make(failed)
    ranks = {row.defense: row.rank for row in board.standings.rows}
    assert [defense for defense, rank in ranks.items() if rank is None] == ["topk:k=1", "topk:k=5"]
    assert sorted(rank for rank in ranks.values() if rank) == [1, 2, 3]
    assert board.standings.ranked_by.keys() == {defense for defense, rank in ranks.items() if rank}
    text = " ".join(board.sentences)
    assert "topk:k=5 is not ranked, for others met more attacks: bb failed (no luck)" in text
    assert "topk:k=1 is not ranked, for others met more attacks: bb was not run" in text


def test_an_attack_that_failed_against_everybody_costs_nobody_its_rank(published):
    board = make([undone(r, "error", "no luck") if r.attack == "bb" else r for r in run_of(published)])
    assert [row.rank for row in board.standings.rows] == [1, 2, 3, 4, 5]
    assert "bb was made on nobody here: no luck." in board.sentences
    assert "not ranked" not in " ".join(board.sentences)


def test_what_is_not_ranked_says_why(published):
    skipped = [
        undone(r, "skipped", "attack | needs scores") if r.defense == "labelonly" else r for r in run_of(published)
    ]
    board = make(skipped)
    last = section(board, "ranking")[-1]
    assert (last["rank [95%]"], last["defense"], last["vs none"]) == ("-", "labelonly", "-")
    assert "labelonly is not ranked: attack | needs scores." in board.sentences
    assert "attack \\| needs scores" in render.markdown(board)


@pytest.mark.parametrize("suite", ["v1", ""])
def test_an_attack_that_a_defense_leaves_nothing_to_ask_is_told_with_its_reason(published, suite):
    board = make(
        [
            undone(r, "skipped", f"attack {r.attack} needs scores")
            if (r.defense, r.attack) == ("labelonly", "bb")
            else r
            for r in run_of(published, suite=suite)
        ]
    )
    assert "labelonly: bb skipped (attack bb needs scores)." in board.sentences
    assert all(row.rank for row in board.standings.rows)


def test_nothing_that_was_carried_out_is_a_board_too(published):
    board = make([undone(r, "error", "no luck") for r in run_of(published, suite="")])
    assert "bb was made on nobody here: no luck." in board.sentences
    assert {row["R_eval top-1 [95% CI]"] for row in section(board, "cells")} == {"error"}
    assert section(board, "ranking") == [], "no worst case to show"
    for rendered in (render.markdown(board), render.latex(board), *render.csv(board).values()):
        assert "labelonly" in rendered


def test_without_a_null_the_table_says_so(published):
    text = render.markdown(make(run_of(published, null=False)))
    assert "above null" not in text
    assert "its null was not measured" in text


@pytest.mark.parametrize(
    ("people", "trials", "suite", "says"),
    [
        (4, 2, "v1", "Too few identities for intervals, rank intervals or a verdict on any defense: 3 held-out"),
        (4, 2, "", "Too few identities for intervals, rank intervals or a verdict on any defense: 4 identities"),
        (8, 2, "v1", "Over 6 held-out identities no difference from none can be told from chance"),
        (6, 2, "", "Over 6 identities no difference from none can be told from chance"),
        (20, 1, "v1", "With one trial each, luck cannot be told"),
    ],
)
def test_small_runs_say_what_cannot_be_concluded(published, people, trials, suite, says):
    board = make(run_of(published, people, trials, suite=suite))
    text = render.markdown(board)
    assert says in text
    assert "better than none" not in text.replace("better or worse than none", "")
    if people == 4:
        for row in section(board, "ranking"):
            assert "[?]" in row["rank [95%]"] and "[?]" in row["worst case above null [95% CI]"]
        assert "nothing can be concluded" in text


def test_utility_of_the_released_scores_has_a_table(published):
    found = run_of(published)
    assert section(make(found), "utility") == [], "not measured, not shown"
    utility = [
        Utility(top1=0.9, top5=1, log_loss=0.25, cost=Cost(latency_ratio=ratio, added_latency_s=0, memory_ratio=None))
        for ratio in (1.0, 1.5)
    ]
    board = make([changed(r, results={"utility": utility[r.attack == "bb"]}) for r in found])
    row = section(board, "utility")[0]
    assert (row["log-loss"], row["AUC"]) == ("0.250", "-")
    assert (row["latency"], row["memory"]) == ("1.25", "-"), "the median over attacks; no memory was measured"
    rows = list(csv.DictReader(StringIO(render.csv(board)["leaderboard"])))
    assert {(row["latency_ratio"], row["memory_ratio"]) for row in rows} == {("1.25", "")}


def test_csv_has_bare_numbers(published):
    rows = list(csv.DictReader(StringIO(render.csv(make(run_of(published)))["leaderboard"])))
    assert len(rows) == len(MOST) * len(BUDGETS)
    last = [row for row in rows if row["budget"] == "5000"]
    assert [row["defense"] for row in last] == [*reversed(MOST)]
    for row in last:
        assert float(row["leak_low"]) <= float(row["leak"]) <= float(row["leak_high"])
        assert float(row["evaluator_reval"]) == pytest.approx(float(row["top1"]))
        assert (row["tie"] == "") == (row["defense"] == "none")


@pytest.mark.parametrize("suite", ["v1", ""])
def test_show_prints_the_board_and_the_words(published, suite):
    out = StringIO()
    print_records(run_of(published, suite=suite), Console(file=out, width=160))
    text = " ".join(out.getvalue().split())
    assert (", suite v1" in text) == bool(suite)
    assert "a tie with none" in text
    assert "majority" in text


LONG = [f"topk:k=5+noise:sigma=0.05,seed={seed}+round:digits=2" for seed in (111, 112)]


@pytest.mark.parametrize("suite", ["v1", ""])
@pytest.mark.parametrize("width", [80, 60])
def test_at_80_columns_no_two_rows_print_alike_and_none_is_cut(published, suite, width):
    found = run_of(
        published, most={"none": 0.9} | dict.fromkeys([*LONG, *map("defense-{}".format, range(14))], 0.5), suite=suite
    )
    out = StringIO()
    print_records(found, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in out.getvalue()
    tables = out.getvalue().split("┏")[1:]
    assert len(tables) > 3
    for number, table in enumerate(tables):
        column = 1 if table.split("┃")[1].strip().startswith("rank") else 0
        if suite and number == len(tables) - 1:
            continue
        cells = "".join(line.split("│")[column + 1].strip() for line in table.splitlines() if line.startswith("│"))
        assert all(cells.count(name) in (0, 1, 2) for name in LONG)
    names = "".join(line.split("│")[2].strip() for line in tables[0].splitlines() if line.startswith("│"))
    assert all(name in names for name in LONG), "folded, in full"


def test_the_board_of_a_folder_goes_between_markers_of_its_own(published, tmp_path):
    for found in run_of(published):
        record.write(found, tmp_path / "records")
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- leaderboard:orl-v1 -->\n<!-- /leaderboard:orl-v1 -->\n<!-- ranking:orl-v1 -->\n<!-- /ranking:orl-v1 -->\n"
    )
    result = mia("leaderboard", "build", tmp_path / "records", "--readme", readme)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "leaderboard.md").read_text() in readme.read_text()
    assert readme.read_text().count("| rank") == 2, "one section alone"
    assert "labelonly" in mia("show", tmp_path / "records").stdout


def test_two_runs_are_compared_by_kendalls_tau(published, tmp_path):
    swapped = {"none": 0.9, "topk:k=5": 0.85, "noise:sigma=0.05": 0.7, "topk:k=1": 0.2, "labelonly": 0.4}
    for name, most in (("a", MOST), ("b", swapped), ("c", {"none": 0.9}), ("d", dict.fromkeys(MOST, 0.5))):
        for found in run_of(published, most=most):
            record.write(found, tmp_path / name)
    result = mia("leaderboard", "agree", tmp_path / "a", tmp_path / "b")
    assert result.stdout == "Kendall's tau over 5 defenses: 0.80\n"
    refused(mia("leaderboard", "agree", tmp_path / "a", tmp_path / "c"), "1 ranked defenses in common")
    assert "none, for one of the runs" in mia("leaderboard", "agree", tmp_path / "a", tmp_path / "d").stdout


def test_whoever_holds_the_weights_is_a_reference(published):
    found = run_of(published)
    weights = [attack(r, "wb", access=Access.WHITE_BOX) for r in found if r.attack == "bb"]
    board = make([*found, *weights])
    assert board.standings.ranked_by == make(found).standings.ranked_by
    assert any(
        re.search(r"holds the weights reconstructs [\d.]+% \(wb\) against labelonly\.", s) for s in board.sentences
    )


def test_the_order_of_the_records_does_not_matter(published):
    """Two attacks that do equally well on the development identities: run and show must name the same one."""
    found = run_of(published, most={"none": 0.9, "topk:k=5": 0.85})
    alike = [attack(r, "brep") for r in found if r.attack == "bb"]
    one, other = (make(records) for records in ([*found, *alike], [*alike, *reversed(found)]))
    assert render.markdown(one) == render.markdown(other)
    assert render.csv(one) == render.csv(other)


def test_records_of_several_versions_say_so(published):
    found = run_of(published)
    assert not any("versions" in line for line in make(found).sentences)
    (old, *_), rest = found[:1], found[1:]
    for other in (
        changed(old, {"mia_bench": "0.9.9"}),
        old.model_copy(update={"environment": {"commit": "abcdef0123"}}),
        old.model_copy(update={"schema_": 1}),
    ):
        said = [line for line in make([other, *rest]).sentences if "several versions of mia-bench" in line]
        assert len(said) == 1
    assert "0.1.0 at abcdef0" in " ".join(
        make([old.model_copy(update={"environment": {"commit": "abcdef0123"}}), *rest]).sentences
    )


def test_records_that_hold_out_other_people_are_not_ranked_together(published):
    found = run_of(published)
    rows = [row.model_copy(update={"held_out": not row.held_out}) for row in found[-1].per_identity]
    other = changed(found[-1], results={"rows": rows})
    assert len(boards([*found[:-1], other])) == 2
    with pytest.raises(RequestError, match="hold out other people"):
        make([*found[:-1], other])


def test_figures_stand_beside_the_records(published, tmp_path):
    files = figures.write(run_of(published), tmp_path)
    assert {file.name for file in files} == {
        f"{figure}-{theme}.{suffix}"
        for figure in ("plane", "curves")
        for theme in ("light", "dark")
        for suffix in ("png", "svg")
    }


def test_a_choice_on_few_people_that_missed_a_far_better_attack_is_told(published):
    """ortho convinces lda of everybody held out, and of nobody whom it is chosen on: bb stands in lda's column."""
    found = run_of(published)
    unlucky = []
    for r in found:
        if (r.defense, r.attack) == ("topk:k=1", "ortho"):
            rows = [
                x.model_copy(update={"evaluators": x.evaluators | {"lda": float(x.held_out)}}) for x in r.per_identity
            ]
            r = changed(r, results={"rows": rows})
        unlucky.append(r)
    board = make(unlucky)
    (row,) = (row for row in board.standings.rows if row.defense == "topk:k=1")
    assert row.by_evaluator["lda"][0] == "bb"
    assert row.missed == {"lda": ("ortho", 1.0)}
    assert [line for line in board.sentences if line.startswith("By lda, an attack that was not chosen")]
    assert not [line for line in make(found).sentences if "not chosen" in line]
