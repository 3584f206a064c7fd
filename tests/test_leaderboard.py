"""Tables from records: the published ones, those of a small run, and what strangers may have written into either."""

import csv
import re
import shutil
from io import StringIO
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

import mia_bench
from mia_bench.board import escape, render
from mia_bench.board.board import make
from mia_bench.board.terminal import print_records
from mia_bench.board.verdict import verdicts
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import model as protocol
from mia_bench.records import record

from .helpers import mia, refused
from .test_suite_board import section

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "leaderboard" / "orl"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of a small run without a suite: six people, two trials."""
    out = tmp_path_factory.mktemp("plain")
    mia_bench.evaluate(["topk5", "labelonly"], folds=["A"], identities=6, trials=2, budget=200, out=out)
    return out


def test_the_published_tables_are_what_the_published_records_give(tmp_path):
    render.write(make(record.read_folder(PUBLISHED / "records")), tmp_path)
    for name in ("leaderboard.md", "leaderboard.tex", "leaderboard.csv", "cells.csv"):
        assert (tmp_path / name).read_text() == (PUBLISHED / name).read_text()


def test_the_documents_show_the_published_tables(tmp_path):
    board = make(record.read_folder(PUBLISHED / "records"))
    for document in (ROOT / "README.md", ROOT / "docs" / "attacks.md"):
        copy = Path(shutil.copy(document, tmp_path))
        assert render.updated(copy, board) == document.read_text()
    assert (PUBLISHED / "leaderboard.md").read_text() in (ROOT / "README.md").read_text()


def test_building_twice_changes_nothing(tmp_path):
    shutil.copytree(PUBLISHED, tmp_path / "leaderboard" / "orl")
    shutil.copy(ROOT / "README.md", tmp_path)
    arguments = ("leaderboard", "build", "--readme", "README.md")
    seen = []
    for _ in range(2):
        assert mia(*arguments, cwd=tmp_path).returncode == 0
        seen.append({f: f.read_bytes() for f in sorted(tmp_path.rglob("*")) if f.is_file()})
    assert seen[0] == seen[1]
    assert seen[0][tmp_path / "README.md"] == (ROOT / "README.md").read_bytes()


def test_ranking_and_figures_come_from_the_records(plain):
    found = record.read_folder(plain)
    board = make(found)
    accuracies = list(board.standings.ranked_by.values())
    assert accuracies == sorted(accuracies)
    tables = [section.table for section in board.sections]
    again = make(list(reversed(found)))
    assert [section.table for section in again.sections] == tables, "the order of the files does not matter"
    best = {
        r.defense: max(
            o.attack_accuracy.top1
            for o in found
            if o.defense == r.defense and o.status == "ok" and o.access != "white-box"
        )
        for r in found
        if r.status == "ok" and r.access != "white-box"
    }
    assert board.standings.ranked_by == pytest.approx(best), "on all identities, where none is for development"
    rows = list(csv.DictReader(StringIO(render.csv(board)["cells"])))
    by_pair = {(r.defense, r.attack): r for r in found}
    assert len(rows) == len(found)
    for row in rows:
        source = by_pair[row["defense"], row["attack"]]
        assert row["status"] == source.status
        if source.status == "ok":
            assert float(row["top1"]) == source.attack_accuracy.top1
            assert int(row["total_queries"]) == source.queries.total
            mean = sum(identity.top1 for identity in source.per_identity) / len(source.per_identity)
            assert float(row["top1"]) == pytest.approx(mean, abs=1e-6)


def test_what_a_run_shows_is_all_there(plain):
    """Every attack against every defense with its interval, what was skipped with its reason, and what is open."""
    found = record.read_folder(plain)
    out = StringIO()
    print_records(found, Console(file=out, width=170))
    text = " ".join(out.getvalue().split())
    rows = {(row["defense"], row["attack"]): row for row in section(make(found), "cells")}
    for r in found:
        shown = rows[r.defense, r.attack]
        if r.status != "ok":
            assert shown["R_eval top-1 [95% CI]"] == "skipped" and r.reason in text
            continue
        low, high = r.attack_accuracy.ci95
        assert (
            shown["R_eval top-1 [95% CI]"] == f"{100 * r.attack_accuracy.top1:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
        )
        assert shown["queries"] == f"{r.queries.median:,.0f}"
        assert all(cell in text for cell in shown.values())
    assert "R_tar fooled" in text and "utility" in text and "D(E(real photo))" in text


def test_the_published_run_meets_what_the_project_promises():
    """Parity of the paper's two attacks, a low floor, a target worth attacking, a suite that no masking survives."""
    records = record.read_folder(PUBLISHED / "records")
    for found in records:
        assert found.status == "ok" or (found.status, found.defense) == ("skipped", "labelonly")
        assert found.environment["dirty"] is False
        if found.status == "ok":
            assert (len(found.per_identity), found.budgets) == (40, [300, 1000, 5000])
            assert found.floor <= 0.10
            assert found.utility.top1 >= 0.9
    undefended = {r.attack: r.attack_accuracy.top1 for r in records if r.defense == "none"}
    assert undefended["ortho"] >= 0.9
    assert abs(undefended["wb"] - undefended["bb"]) <= 0.05
    worst = {verdict.defense: verdict.headline.accuracy for verdict in verdicts(records)}
    for defense, accuracy in worst.items():
        assert accuracy >= (0.6 if defense == "labelonly" else 0.8) * worst["none"], defense


def test_records_of_different_settings_are_not_ranked_together(plain):
    found = record.read_folder(plain)
    seeded = found[0].model_copy(update={"request": found[0].request.model_copy(update={"seed": 9})})
    with pytest.raises(RequestError, match="different settings"):
        make([*found, seeded])
    with pytest.raises(RequestError, match="two records"):
        make([*found, found[0].model_copy(update={"cell_id": "0" * 16})])


HOSTILE = [
    "a|<script>alert(1)</script>_%&[red]",
    "![x](http://evil.example/p.png)",
    "[click](javascript:alert) [a][b]",
    "[x]: http://evil.example",
    "see https://evil.example or www.evil.example or me@evil.example",
    "<http://evil.example> <!-- /leaderboard:orl -->",
    "one\ntwo\rthree\u2028four\u2029five\x0bsix\x85seven",
    "\x1b[31mred\x1b]0;title\x07\x1b[2J\x9b1m",
    "\u202egnp.exe\u2066\u200b\ufeff\ue000",
    "$\\frac{1}{2}$ `code` *bold* ~~gone~~ \\| | \\",
    "x\n\\input{/etc/passwd}\n%",
    '\\write18{id} #1 ^^5c ~ "',
    "[2em] x",
    "* x",
    "# heading",
    "- item",
    "1. item",
    "=== ---",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    " =1+1",
    "\t=1+1",
    "a;=1+1,@x",
    "\uff1d1+1",
    ',"\r\n=1',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless_in_every_format(text):
    shown = escape.terminal(text)
    assert shown.isprintable() and not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\x80-\x9f]", shown)

    parsed = MarkdownIt("commonmark").enable("table")
    for source in (
        escape.paragraph(text),
        f"| a | b |\n|---|---|\n| {escape.markdown(text)} | end |",
        f"[b]: x\n\n{escape.paragraph(text)}",
    ):
        assert len(re.findall("[\n\r\u2028\u2029\x0b\x0c\x85]", source)) == source.count("\n") <= 2
        tokens = parsed.parse(source)
        inline = [child for token in tokens for child in token.children or ()]
        assert {token.type for token in inline} <= {"text", "text_special", "softbreak"}, source
        allowed = {"paragraph", "inline", "table", "thead", "tbody", "tr", "th", "td"}
        assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} <= allowed, source
        if source.startswith("|"):
            assert [token.content for token in tokens if token.type == "inline"][3:] == ["end"]
        assert not re.search(r"://\S|www\.\S|@\S", source)

    tex = escape.latex(text).removeprefix("{}")
    assert not escape.latex(text).startswith(("[", "*")), "an option of the row before"
    known = r"\\(?:text(?:backslash|asciicircum|asciitilde|less|greater|bar|quotedbl|asciigrave)\{\}|[{}&%$#_])"
    assert not re.search(r"[\\{}&%$#_^~<>|`\"\n\r]", re.sub(known, "", tex))

    cell = str(escape.csv(text))
    assert not re.search(r"(^|[,;|\t\n])\s*[=+@\uff1d-]", cell)
    assert next(csv.reader([next(iter(render._csv([{"a": text}]).splitlines()[1:]))])) == [cell]


def test_numbers_stay_numbers():
    assert [escape.csv(value) for value in (-0.5, 3, True, None, "topk:k=5")] == [-0.5, 3, True, "", "topk:k=5"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_records_is_escaped(plain, text):
    """Through every door at once: a defense, an attack, a reason, the protocol, the target, an evaluator."""
    hostile = []
    for r in record.read_folder(plain):
        asked = r.request
        own: dict[str, object] = {"protocol": asked.protocol.model_copy(update={"name": text})}
        own |= {"target": asked.target.model_copy(update={"spec": text}), "generator": text, "mia_bench": text}
        own |= {"defense": text if asked.defense == "topk:k=5" else asked.defense}
        own |= {"attack": asked.attack.model_copy(update={"spec": text if r.attack == "bb" else r.attack})}
        results = r.results and r.results.model_copy(update={"left_out": {text: text}})
        hostile.append(
            r.model_copy(update={"request": asked.model_copy(update=own), "reason": text, "results": results})
        )
    board = make(hostile)
    source = render.markdown(board)
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "softbreak", "strong_open", "strong_close"}
    assert {token.type for token in tokens if token.type.endswith("_open")} <= {
        "paragraph_open", "table_open", "thead_open", "tbody_open", "tr_open", "th_open", "td_open",
    }  # fmt: skip
    tex = render.latex(board)
    commands = set(re.findall(r"\\[A-Za-z]+", tex))
    assert not commands & {"\\input", "\\write", "\\frac", "\\immediate"}
    assert all(
        re.match(r"%|\\(begin|end)\{tabular\}|\\(top|mid|bottom)rule|.* & .*\\\\$", line) for line in tex.splitlines()
    )
    for table in render.csv(board).values():
        assert not [cell for row in csv.reader(StringIO(table)) for cell in row if re.match(r"\s*[=+@]|-[^\d]", cell)]
    out = StringIO()
    print_records(hostile, Console(file=out, width=80, force_terminal=False))
    assert all(line.isprintable() for line in out.getvalue().split("\n"))


def test_wrong_requests(tmp_path, plain):
    refused(mia("leaderboard", "build", cwd=tmp_path), "no leaderboard/PROTOCOL/records here")
    refused(mia("leaderboard", "build", tmp_path), "holds no records")
    refused(mia("show", tmp_path / "nowhere"), "holds no records")
    (tmp_path / "x.json").write_text('{"schema": 1}')
    refused(mia("leaderboard", "build", tmp_path), "x.json", "not a mia-bench record")
    (tmp_path / "README.md").write_text("nothing here")
    result = mia("leaderboard", "build", plain, "--out", tmp_path / "o", "--readme", tmp_path / "README.md")
    assert result.returncode == 2
    assert "has no lines <!-- leaderboard:orl -->" in result.stderr
    assert not (tmp_path / "o").exists()


def test_what_is_published_was_made_with_the_protocols_of_this_package():
    for folder in sorted((ROOT / "leaderboard").glob("*/records")):
        for found in record.read_folder(folder):
            assert found.protocol.sha256 == protocol.load(found.protocol.name).sha256
