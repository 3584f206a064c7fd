"""The board of a suite run: ranks, comparisons, judges, words, escaping, what small runs cannot conclude, figures."""

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from mia_bench.board import leaderboard
from mia_bench.board.comparison import groups
from mia_bench.board.standings import standings
from mia_bench.board.terminal import print_records
from mia_bench.plugin.access import Access
from mia_bench.records import record
from mia_bench.records.record import Flag, MajorityAccuracy
from mia_bench.report import figures

from .helpers import mia, refused

PUBLISHED = Path(__file__).parent.parent / "leaderboard" / "orl" / "records"
BUDGETS = [300, 1000, 5000]
MOST = {"none": 0.9, "topk:k=5": 0.85, "noise:sigma=0.05": 0.7, "topk:k=1": 0.4, "labelonly": 0.2}
"""Of each defense, the share of people that its best attack reconstructs at the largest budget."""


def as_suite(found, people=20, trials=2, most=MOST, null=True):
    """Published records made into those of a suite: ``bb`` and a weaker ``ortho`` against some defenses."""
    made: list[record.Record] = []
    for defense, share in most.items():
        for attack, weaker in (("bb", 0), ("ortho", 0.2)):
            source = next(r for r in found if r.defense == "none" and r.attack == "bb")
            rows = []
            for place, row in enumerate(source.per_identity[:people]):
                hit = float((place * 7) % people / people < share - weaker)
                rows.append(
                    row.model_copy(
                        update={
                            "curve": [hit * (place % 2), hit, hit],
                            "top1": hit,
                            "held_out": place >= people // 4,
                            "null": (0.05 if null else None),
                            "judges": {"reval": hit, "lda": hit / 2},
                            "majority": hit,
                        }
                    )
                )
            made.append(
                source.model_copy(
                    update={
                        "cell_id": f"{len(made):016x}",
                        "defense": defense,
                        "attack": attack,
                        "suite": "v1",
                        "trials": trials,
                        "budgets": BUDGETS,
                        "budget": BUDGETS[-1],
                        "per_identity": rows,
                        "curve": [record.Point(budget=budget, top1=0, ci95=(0, 1)) for budget in BUDGETS],
                        "evaluators": {
                            name: record.EvaluatorAccuracy(top1=0.5, top5=0.6, real_top1=0.97, null=0.04)
                            for name in ("reval", "lda")
                        },
                        "utility": record.Utility(top1=source.utility.top1, top5=source.utility.top5),
                        "majority": MajorityAccuracy(top1=0.5, real_top1=0.98, null=0.01),
                    }
                )
            )
    return made


@pytest.fixture(scope="module")
def published():
    return record.read_folder(PUBLISHED)


def test_the_least_leak_ranks_first_with_an_interval_of_its_rank(published):
    rows = leaderboard.make(as_suite(published)).standings.rows
    assert [row.defense for row in rows] == [*reversed(MOST)]
    for row in rows:
        assert row.ranks is not None
        assert row.ranks[0] <= row.rank <= row.ranks[1]
        assert row.verdict.headline.attack == "bb", "the stronger on the development identities"
        leak, low, high = row.leak[-1]
        assert leak == pytest.approx(row.verdict.headline.accuracy - 0.05, abs=1e-5)
        assert low < leak < high
    assert rows[-1].comparison is None
    assert not rows[0].comparison.tie and rows[0].comparison.high < 0
    assert rows[-2].comparison.tie


def test_every_row_says_what_it_means(published):
    text = leaderboard.markdown(leaderboard.make(as_suite(published)))
    assert "worst case above null" in text
    assert re.search(
        r"topk:k=5 lowers the worst case by [\d.]+ points \[[-\d.]+, [\d.]+\]: a tie with none; bb does best", text
    )
    assert re.search(r"labelonly lowers .*: better than none \(p [=<] 0\.\d+\)", text)
    assert "none: bb does best" in text
    assert "5.0% against a target that never saw the person (null)" in text
    assert "masking suspected" not in text


def test_disagreeing_judges_are_shown_beside_each_other(published):
    ranking, judges, _ = leaderboard.make(as_suite(published)).tables()
    header, body = judges
    assert header == ["defense, worst case by judge", "reval", "lda", "majority"]
    none = next(line for line in body if line[0] == "none")
    shares = [float(cell.split("%")[0]) for cell in none[1:]]
    assert shares[0] == pytest.approx(2 * shares[1], abs=0.2)
    assert all(cell.endswith("(bb)") for cell in none[1:])
    assert ["(null)", "4.0%", "4.0%", "1.0%"] in body
    assert len(ranking[1]) == len(MOST)


def test_a_flag_marks_the_row_and_stands_below_as_a_sentence(published):
    found = as_suite(published)
    flag = Flag(name="zero-gradients", says="90% of small steps change nothing.")
    board = leaderboard.make([r.model_copy(update={"flags": [flag]}) if r.defense == "topk:k=1" else r for r in found])
    marked = {row[1]: row[-1] for row in board.tables()[0][1]}
    assert marked == {defense: "masking suspected" if defense == "topk:k=1" else "" for defense in MOST}
    assert "topk:k=1, masking suspected (zero-gradients): 90% of small steps change nothing." in board.sentences()


def test_an_attack_that_failed_protects_nobody(published):
    """Without its strongest attack a defense would look the better for it: it has no rank, and the board says why."""
    found = as_suite(published)
    failed = [
        r.model_copy(update={"status": "error", "reason": "no luck", "per_identity": []})
        if (r.defense, r.attack) == ("topk:k=5", "bb")
        else r
        for r in found
        if (r.defense, r.attack) != ("topk:k=1", "bb")
    ]
    board = leaderboard.make(failed)
    ranks = {row.defense: row.rank for row in board.standings.rows}
    assert [defense for defense, rank in ranks.items() if rank is None] == ["topk:k=1", "topk:k=5"]
    assert sorted(rank for rank in ranks.values() if rank) == [1, 2, 3]
    text = " ".join(board.sentences())
    assert "topk:k=5 is not ranked, for others met more attacks: bb failed (no luck)" in text
    assert "topk:k=1 is not ranked, for others met more attacks: bb was not run" in text


def test_an_attack_that_failed_against_everybody_costs_nobody_its_rank(published):
    failed = [
        r.model_copy(update={"status": "error", "reason": "no luck", "per_identity": []}) if r.attack == "bb" else r
        for r in as_suite(published)
    ]
    board = leaderboard.make(failed)
    assert [row.rank for row in board.standings.rows] == [1, 2, 3, 4, 5]
    assert "bb was made on nobody here: no luck." in board.sentences()
    assert "not ranked" not in " ".join(board.sentences())


def test_what_is_not_ranked_says_why(published):
    skipped = [
        r.model_copy(update={"status": "skipped", "reason": "attack | needs scores", "per_identity": []})
        if r.defense == "labelonly"
        else r
        for r in as_suite(published)
    ]
    board = leaderboard.make(skipped)
    assert board.tables()[0][1][-1][:3] == ["-", "labelonly", "-"]
    assert "labelonly is not ranked: attack | needs scores." in board.sentences()
    assert "attack \\| needs scores" in leaderboard.markdown(board)


def test_without_a_null_the_table_says_so(published):
    text = leaderboard.markdown(leaderboard.make(as_suite(published, null=False)))
    assert "above null" not in text
    assert "its null was not measured" in text


@pytest.mark.parametrize(
    ("people", "trials", "says"),
    [
        (4, 2, "3 held-out identities are too few for intervals"),
        (8, 2, "Over 6 held-out identities no difference from none can be told from chance"),
        (20, 1, "With one trial each, luck cannot be told"),
    ],
)
def test_small_runs_say_what_cannot_be_concluded(published, people, trials, says):
    board = leaderboard.make(as_suite(published, people, trials))
    text = leaderboard.markdown(board)
    assert says in text
    assert "better than none" not in text.replace("better or worse than none", "")
    if people == 4:
        assert all("[?]" in row[0] and "[?]" in row[2] for row in board.tables()[0][1])
        assert "nothing can be concluded" in text


def test_utility_of_the_released_scores_has_a_table(published):
    found = as_suite(published)
    assert len(leaderboard.make(found).tables()) == 3, "not measured, not shown"
    utility = [
        record.Utility(
            top1=0.9,
            top5=1,
            log_loss=0.25,
            auc=None,
            cost=record.Cost(latency_ratio=ratio, added_latency_s=0, memory_ratio=None),
        )
        for ratio in (1.0, 1.5)
    ]
    board = leaderboard.make([r.model_copy(update={"utility": utility[r.attack == "bb"]}) for r in found])
    header, body = board.tables()[2]
    assert dict(zip(header, body[0], strict=True))["log-loss"] == "0.250"
    assert body[0][-2:] == ["1.25", "-"], "the median over attacks; no memory was measured"
    assert {row["latency_ratio"] for row in csv.DictReader(StringIO(leaderboard.as_csv(board)))} == {"1.25"}


def test_csv_has_bare_numbers(published):
    rows = list(csv.DictReader(StringIO(leaderboard.as_csv(leaderboard.make(as_suite(published))))))
    assert len(rows) == len(MOST) * len(BUDGETS)
    last = [row for row in rows if row["budget"] == "5000"]
    assert [row["defense"] for row in last] == [*reversed(MOST)]
    for row in last:
        assert float(row["leak_low"]) <= float(row["leak"]) <= float(row["leak_high"])
        assert float(row["judge_reval"]) == pytest.approx(float(row["top1"]))
        assert (row["tie"] == "") == (row["defense"] == "none")


def test_text_from_records_is_escaped(published):
    hostile = "a|<script>_%&[red]"
    board = leaderboard.make(as_suite(published, most={"none": 0.9, hostile: 0.5}))
    assert "a\\|&lt;script>_%&amp;[red]" in leaderboard.markdown(board)
    assert "<script>" not in leaderboard.markdown(board)
    assert "\\_\\%\\&" in leaderboard.latex(board)


def test_show_prints_the_board_and_the_words(published):
    out = StringIO()
    print_records(as_suite(published), Console(file=out, width=160))
    text = " ".join(out.getvalue().split())
    assert "suite v1" in text
    assert "a tie with none" in text
    assert "majority" in text


def test_the_board_of_a_folder_goes_between_markers_of_its_own(published, tmp_path):
    for found in as_suite(published):
        record.write(found, tmp_path / "records")
    (tmp_path / "README.md").write_text("<!-- leaderboard:orl-v1 -->\n<!-- /leaderboard:orl-v1 -->\n")
    result = mia("leaderboard", "build", tmp_path / "records", "--readme", tmp_path / "README.md")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "leaderboard.md").read_text() in (tmp_path / "README.md").read_text()
    assert "labelonly" in mia("show", tmp_path / "records").stdout


def test_two_runs_are_compared_by_kendalls_tau(published, tmp_path):
    swapped = {"none": 0.9, "topk:k=5": 0.85, "noise:sigma=0.05": 0.7, "topk:k=1": 0.2, "labelonly": 0.4}
    for name, most in (("a", MOST), ("b", swapped), ("c", {"none": 0.9}), ("d", dict.fromkeys(MOST, 0.5))):
        for found in as_suite(published, most=most):
            record.write(found, tmp_path / name)
    result = mia("leaderboard", "agree", tmp_path / "a", tmp_path / "b")
    assert result.stdout == "Kendall's tau over 5 defenses: 0.80\n"
    refused(mia("leaderboard", "agree", tmp_path / "a", tmp_path / "c"), "1 ranked defenses in common")
    assert "none, for one of the runs" in mia("leaderboard", "agree", tmp_path / "a", tmp_path / "d").stdout


def test_whoever_holds_the_weights_is_a_reference(published):
    found = as_suite(published)
    weights = [r.model_copy(update={"attack": "wb", "access": Access.WHITE_BOX}) for r in found if r.attack == "bb"]
    board = leaderboard.make([*found, *weights])
    assert board.ranked_by == leaderboard.make(found).ranked_by
    assert any(
        re.search(r"holds the weights reconstructs [\d.]+% \(wb\) against labelonly\.", s) for s in board.sentences()
    )


def test_the_order_of_the_records_does_not_matter(published):
    """Two attacks that do equally well on the development identities: run and show must name the same one."""
    found = as_suite(published, most={"none": 0.9, "topk:k=5": 0.85})
    alike = [r.model_copy(update={"attack": "brep"}) for r in found if r.attack == "bb"]
    one, other = (leaderboard.make(records) for records in ([*found, *alike], [*alike, *reversed(found)]))
    assert leaderboard.markdown(one) == leaderboard.markdown(other)


def test_figures_stand_beside_the_records(published, tmp_path):
    files = figures.write(as_suite(published), tmp_path)
    assert {file.name for file in files} == {
        f"{figure}-{theme}.{suffix}"
        for figure in ("plane", "curves")
        for theme in ("light", "dark")
        for suffix in ("png", "svg")
    }


def test_a_choice_on_few_people_that_missed_a_far_better_attack_is_told(published):
    """ortho convinces lda of everybody held out, and of nobody whom it is chosen on: bb stands in lda's column."""
    found = as_suite(published)
    unlucky = [
        r.model_copy(
            update={
                "per_identity": [
                    row.model_copy(update={"judges": row.judges | {"lda": float(row.held_out)}})
                    for row in r.per_identity
                ]
            }
        )
        if (r.defense, r.attack) == ("topk:k=1", "ortho")
        else r
        for r in found
    ]
    (row,) = (row for row in standings(groups(unlucky)[0]).rows if row.defense == "topk:k=1")
    assert row.by_judge["lda"][0] == "bb"
    assert row.missed == {"lda": ("ortho", 1.0)}
    lines = leaderboard.make(unlucky).notes()
    assert [line for line in lines if line.startswith("By lda, an attack that was not chosen")]
    assert not [line for line in leaderboard.make(found).notes() if "not chosen" in line]
