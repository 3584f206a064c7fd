"""The human study: the page and its key, answers at the door, Tables II and III."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from safetensors.torch import save_file

from mia_bench.bench.planning import open_protocol
from mia_bench.paper.published import TABLE_II, TABLE_III
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import model as protocol
from mia_bench.protocol import propose
from mia_bench.protocol import split as splits
from mia_bench.records import attempt, record
from mia_bench.records.request import ProtocolId
from mia_bench.records.stats import share_interval
from mia_bench.survey import answers, build, key
from mia_bench.survey.build import Plan, Request
from mia_bench.survey.score import score

from .helpers import face_folder, mia, refused


@pytest.fixture(scope="module")
def survey(attacked, tmp_path_factory):
    """A survey's folder and its key."""
    out = tmp_path_factory.mktemp("survey") / "out"
    return out, build.build(Request(attacked), out)


def content_of(folder):
    """What the page shows: the JSON in it."""
    page = (folder / "index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="survey">(.*?)</script>', page).group(1))


def said(truth, participant="", wrong=(), unanswered=(), **changes):
    """An answer file's content: everything right but for the questions named."""
    given = {}
    for question in truth.questions:
        if question.id not in unanswered:
            others = [answer for answer in truth.allowed(question) if answer != question.right]
            given[question.id] = others[0] if question.id in wrong else question.right
    times = {"started": "2026-11-23T10:00:00.000Z", "finished": "2026-11-23T10:08:00.000Z"}
    return {"schema": 1, "build": truth.build, "participant": participant, **times, "answers": given} | changes


def written(folder, name, content):
    file = folder / name
    file.write_text(json.dumps(content))
    return file


# ---- build ----


def test_the_default_survey_has_the_papers_numbers(survey, attacked):
    _, truth = survey
    who = [question for question in truth.questions if question.kind == "who"]
    genuine = [question for question in truth.questions if question.right == "yes"]
    impostor = [question for question in truth.questions if question.right == "no"]
    assert (len(who), len(genuine), len(impostor), len(truth.faces)) == (20, 20, 20, 7)
    shown = {(identity, attack) for identity in truth.identities for attack in ("wb", "bb")}
    for part in (who, genuine, impostor):
        asked = [(question.identity, question.attack) for question in part]
        assert set(asked) == shown
        assert len(asked) == 2 * len(shown)
    assert [question.id for question in truth.questions] == [f"q{place:02}" for place in range(1, 61)]
    assert truth.cells == {r.attack: r.cell_id for r in reversed(record.read_folder(attacked))}
    assert list(truth.cells) == ["wb", "bb"], "white-box first, as in the paper"
    for question in who:
        assert truth.faces[question.right] == question.identity
    for question in genuine + impostor:
        assert (question.photo_of == question.identity) == (question.right == "yes")
        assert question.photo_of in truth.faces.values()


def test_decoys_are_enrolled_and_pairs_show_photos_that_are_no_portrait(survey, lab):
    out, truth = survey
    split = lab.split("A")
    decoys = set(truth.faces.values()) - set(truth.identities)
    assert len(decoys) == 2
    assert decoys <= set(split.q2.people)
    assert not decoys & set(split.q1.people)
    content = content_of(out)
    portraits = {face["image"] for face in content["faces"]}
    photos = {question["photo"] for question in content["questions"] if question["kind"] == "same"}
    assert len(portraits) == 7
    assert not portraits & photos
    seen = {build._png(image) for image in split.q2.images}
    unseen = {build._png(image) for image in split.q2_test.images}
    assert portraits <= seen
    assert photos <= unseen


def test_the_same_request_gives_the_same_bytes_and_another_seed_others(survey, attacked, tmp_path):
    out, truth = survey
    assert build.build(Request(attacked), tmp_path / "again") == truth
    for name in ("index.html", "key.json"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    other = build.build(Request(attacked, seed=1), tmp_path / "other")
    assert other.build != truth.build
    assert [q.right for q in other.questions] != [q.right for q in truth.questions]
    assert key.read(out) == truth


def test_the_page_does_not_hold_the_truth(survey):
    out, truth = survey
    content = content_of(out)
    assert set(content) == {"schema", "build", "faces", "questions"}
    assert {frozenset(question) for question in content["questions"]} == {
        frozenset({"id", "kind", "image"}),
        frozenset({"id", "kind", "image", "photo"}),
    }
    assert {frozenset(face) for face in content["faces"]} == {frozenset({"id", "image"})}
    assert content["build"] == truth.build
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", (out / "index.html").read_text())
    for secret in [*truth.faces.values(), *truth.cells.values(), truth.protocol.sha256, "white", "black-box"]:
        assert secret not in bare
    assert not re.search(r"\b(wb|bb|seed)\b", bare)


def test_the_page_refers_to_nothing_outside(survey):
    out, _ = survey
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "data:", (out / "index.html").read_text())
    assert "default-src 'none'" in bare
    assert "connect-src" not in bare
    assert not re.search(r"\b(https?|ftp|wss?):|\burl\(|@import|\bimport\b|\bfetch\(|XMLHttpRequest|sendBeacon", bare)
    assert set(re.findall(r"""\b(?:src|href|action)\s*=\s*["']([^"']*)""", bare)) == {"data:,"}


def test_nothing_that_is_embedded_ends_its_element(survey):
    _, truth = survey
    hostile = truth.questions[0].model_copy(update={"id": "</script><!--<script>"})
    page, _ = build._page(Plan({}, {}, [hostile], {hostile.id: {"image": torch.zeros(1, 4, 4)}}))
    template = Path(build.__file__).with_name("page.html").read_text()
    for mark in ("<script", "</script", "<!--"):
        assert page.decode().count(mark) == template.count(mark)


def test_the_counts_and_the_attacks_are_parameters(attacked, tmp_path):
    result = mia("survey", "build", attacked, "--out", tmp_path, "--identities", 3, "--trials", 1, "-a", "bb")
    assert result.returncode == 0, result.stderr
    truth = key.read(tmp_path)
    assert truth.build in result.stdout
    assert "9 questions, 5 faces" in result.stdout
    assert list(truth.cells) == ["bb"]
    assert (len(truth.identities), len(truth.questions)) == (3, 9)


def test_a_survey_is_replaced_only_with_force(attacked, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    refused(mia("survey", "build", attacked, "--out", tmp_path), "not empty", "--force")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    build.build(Request(attacked), tmp_path, force=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(RequestError, match="is a file"):
        build.build(Request(attacked), tmp_path / "mine.txt", force=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identities": 6}, "--identities 6: the records in"),
        ({"identities": 8}, "--identities 8: give 1 to 7"),
        ({"identities": 0}, "--identities 0"),
        ({"trials": 3}, "--trials 3: the records in"),
        ({"trials": 0}, "--trials 0"),
        ({"seed": -1}, "--seed -1"),
        ({"defense": "topk5"}, "no records of defense 'topk5'; it has none"),
        ({"attacks": ("wb", "xx")}, "no record of attack 'xx' against none, but bb, wb"),
        ({"fold": "B"}, "no fold 'B'; it has A"),
        ({"protocol": "olr"}, "did you mean 'orl'"),
    ],
)
def test_a_survey_that_cannot_be_built_is_refused(attacked, tmp_path, changes, words):
    with pytest.raises(RequestError, match=re.escape(words)):
        build.build(Request(attacked, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def no_records(run):
    for file in run.iterdir():
        file.unlink()


def no_tensors(run):
    next(run.glob("*.safetensors")).unlink()


def damaged_tensors(run):
    next(run.glob("*.safetensors")).write_bytes(b"\x08\0\0\0\0\0\0\0{")


def no_facts(run):
    save_file({"A.images": torch.zeros(1, 1, 32, 32)}, next(run.glob("*.safetensors")))


def swapped_tensors(run):
    one, other = run.glob("*.safetensors")
    shutil.copy(one, other)


def fewer_tensors(run):
    """Of one trial less."""
    made = bb_of(run)
    left = attempt.read(made.request, (32, 32), run)
    attempt.file_of(made.request.attempt_id, run).write_bytes(of_trials(left, slice(1, None)).dump())


def of_trials(left, which):
    """The attempt of some of its trials."""
    folds = {
        name: replace(
            fold,
            offered=fold.offered[:, which],
            **{part: getattr(fold, part)[which] for part in ("images", "converged", "queries")},
            **{part: getattr(fold, part)[which] for part in ("target_score", "target_top1")},
        )
        for name, fold in left.folds.items()
    }
    total = sum(int(fold.queries.sum()) for fold in folds.values())
    spent = left.facts.queries.model_copy(update={"total": total, "by_phase": {"search": total}})
    return replace(left, folds=folds, facts=left.facts.model_copy(update={"queries": spent}))


def bb_of(run):
    return next(found for found in record.read_folder(run) if found.attack == "bb")


def of_another(found, people=None, **changes):
    """A record that was asked for something else, and does not contradict itself; of its first ``people`` alone."""
    request = found.request.model_copy(update=changes)
    rows = [row.model_copy(update={"trials": request.trials}) for row in found.results.rows[:people]]
    top1 = {name: mean(row.evaluators[name] for row in rows) for name in found.evaluators}
    controls = {kind: mean(getattr(row, kind) for row in rows) for kind in ("floor", "null", "ceiling", "auc")}
    evaluators = {
        name: said.model_copy(update={"top1": top1[name], "top5": 1.0} | (controls if name == "reval" else {}))
        for name, said in found.evaluators.items()
    }
    majority = found.majority.model_copy(update={"top1": mean(row.majority for row in rows)})
    spent = found.queries.model_copy(update={"mean": found.queries.total / (len(rows) * request.trials)})
    parts = {"rows": rows, "evaluators": evaluators, "majority": majority, "queries": spent}
    results = found.results.model_copy(update=parts)
    return found.model_copy(update={"request": request, "cell_id": request.cell_id, "results": results})


def changed(**changes):
    """One of the run's records says that something else was asked."""

    def damage(run):
        found = bb_of(run)
        (run / f"{found.cell_id}.json").unlink()
        record.write(of_another(found, **changes), run)

    return damage


def left_out(run):
    found = bb_of(run)
    record.write(found.model_copy(update={"status": "skipped", "reason": "it needs scores", "results": None}), run)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_records, "holds no records"),
        (no_tensors, "cannot be read (No such file or directory)"),
        (damaged_tensors, "cannot be read"),
        (no_facts, "is not an attempt of mia-bench"),
        (swapped_tensors, "not its record's"),
        (fewer_tensors, "does not belong to its record"),
        (changed(seed=7), "different settings"),
        (changed(trials=9), "different settings"),
        (left_out, "bb against none left no reconstructions (skipped: it"),
    ],
)
def test_a_run_that_cannot_be_shown_is_refused(attacked, tmp_path, damage, words):
    run = tmp_path / "run"
    shutil.copytree(attacked, run)
    damage(run)
    with pytest.raises(RequestError, match=re.escape(words)):
        build.build(Request(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def foreign(attacked, tmp_path):
    """A run on a folder of people of one's own, made up: its protocol file, its records' folder, how to write it."""
    faces = face_folder(tmp_path / "faces", {f"person{i}": 6 for i in range(14)})
    file, run = tmp_path / "mine.toml", tmp_path / "run"

    def write(targets, others):
        text = re.sub(r"(?m)^targets = \d+", f"targets = {targets}\nq3_others = {others}", propose.propose(faces).toml)
        file.write_text(text)
        loaded = open_protocol(str(file))
        made = bb_of(attacked)
        identity = ProtocolId(name=loaded.name, version=1, sha256=loaded.sha256)
        experiment = loaded.experiment_sha256(made.generator)
        found = of_another(made, targets, protocol=identity, experiment=experiment, identities=targets, trials=1)
        record.write(found, run)
        left = of_trials(attempt.read(made.request, (32, 32), attacked), slice(targets))
        images = torch.rand(targets, 1, *loaded.data.image)
        fold = replace(left.folds["A"], images=images, offered=images.expand(len(left.facts.budgets), *images.shape))
        facts = left.facts.model_copy(update={"attempt_id": found.request.attempt_id})
        content = replace(left, facts=facts, folds={"A": fold}).dump()
        attempt.file_of(found.request.attempt_id, run).write_bytes(content)
        return loaded

    return file, run, write


def test_people_whom_only_r_eval_knows_can_be_decoys(foreign, tmp_path):
    file, run, write = foreign
    loaded = write(targets=2, others=2)
    with pytest.raises(RequestError, match="protocol faces, which is not built in; give its --protocol FILE"):
        build.build(Request(run, identities=2, trials=1), tmp_path / "out")
    truth = build.build(Request(run, protocol=str(file), identities=2, trials=1), tmp_path / "out")
    split = splits.make(loaded, "A")
    assert set(truth.faces.values()) == {*split.targets, *split.q3.people}
    assert len(truth.faces) == 4


def test_too_few_decoys_other_photos_and_no_photos_are_refused(foreign, tmp_path):
    file, run, write = foreign
    write(targets=3, others=0)
    request = Request(run, protocol=str(file), identities=2, trials=1)
    with pytest.raises(RequestError, match="enrols 1 besides the 2 shown, and 2 are needed as decoys"):
        build.build(request, tmp_path / "out")
    with pytest.raises(RequestError, match=r"made with protocol faces v1 .* not with this orl v3"):
        build.build(Request(run, protocol="orl", identities=2, trials=1), tmp_path / "out")
    shutil.rmtree(protocol.load(str(file)).data.path)
    with pytest.raises(RequestError, match="no such folder"):
        build.build(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- answers at the door ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"schema": 2}, "schema: Input should be 1"),
        ({"build": "0" * 16}, "belong to another build: 0000000000000000"),
        ({"build": "nonsense"}, "build: String should match"),
        ({"participant": "a b"}, "participant: String should match"),
        ({"participant": "\x1b[31mred"}, "participant: String should match"),
        ({"participant": "x" * 21}, "participant: String should have at most 20"),
        ({"started": "yesterday"}, "started: "),
        ({"started": "2026-11-23T10:00:00"}, "started: Input should have timezone info"),
        ({"answers": {"q99": "yes"}}, "no question q99"),
        ({"answers": {"q01\x1b[2J": "yes"}}, "no question q01?[2J"),
        ({"answers": {"q01": "yes"}}, "q01 is yes; it takes one of f1, f2, f3, f4, f5, f6, f7"),
        ({"answers": {"q60": "f1"}}, "q60 is f1; it takes one of yes, no"),
        ({"answers": {"q60": True}}, "answers.q60: Input should be a valid string"),
        ({"answers": ["yes"]}, "answers: "),
    ],
)
def test_answers_that_the_page_does_not_save_are_refused(survey, tmp_path, changes, words):
    _, truth = survey
    with pytest.raises(RequestError) as caught:
        answers.read([written(tmp_path, "given.json", said(truth) | changes)], truth)
    assert words in str(caught.value)
    assert "given.json" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "EOF while parsing"),
        (b'{"schema": 1, "build', "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"[" * 50_000, "Invalid JSON"),
        (b" " * 100_001, "larger than 100,000 bytes"),
        (b'{"' + b"k" * 5_000 + b'": 1}', "kkk..."),
    ],
)
def test_damaged_answers_are_one_line(survey, tmp_path, content, words):
    out, _ = survey
    file = tmp_path / "given.json"
    file.write_bytes(content)
    result = mia("survey", "score", out, file)
    refused(result, "given.json", words)
    assert len(result.stderr) < 400


def test_a_missing_file_and_a_folder_without_a_survey_are_refused(survey, tmp_path):
    out, _ = survey
    refused(mia("survey", "score", out, tmp_path / "none.json"), "none.json", "No such file")
    refused(mia("survey", "score", tmp_path, tmp_path / "none.json"), "key.json", "survey build")
    refused(mia("survey", "score", out), "ANSWERS.json")
    (tmp_path / "key.json").write_text('{"schema": 1}')
    with pytest.raises(RequestError, match="not a survey's key: build: Field required"):
        key.read(tmp_path)


def test_a_participant_counts_once(survey, tmp_path):
    _, truth = survey
    first = written(tmp_path, "first.json", said(truth))
    copy = written(tmp_path, "copy.json", said(truth))
    saved_again = written(tmp_path, "again.json", said(truth, finished="2026-11-23T10:09:00.000Z"))
    for other in (first, copy, saved_again):
        with pytest.raises(RequestError, match=r"first\.json and .* are both from the same participant; give only one"):
            answers.read([first, other], truth)
    coded = written(tmp_path, "coded.json", said(truth, "p1"))
    later = written(tmp_path, "later.json", said(truth, "p1", started="2026-11-23T11:00:00Z"))
    with pytest.raises(RequestError, match=r"coded\.json and .*later\.json are both from participant p1"):
        answers.read([coded, later], truth)
    assert len(answers.read([first, coded], truth)) == 2


# ---- score ----


def given(truth, folder, **participants):
    """Answers read from files, one for each participant."""
    files = [written(folder, f"{name}.json", said(truth, name, **how)) for name, how in participants.items()]
    return answers.read(files, truth)


def questions_of(truth, identity, attack, **where):
    return [
        question.id
        for question in truth.questions
        if (question.identity, question.attack) == (identity, attack)
        and all(getattr(question, name) == value for name, value in where.items())
    ]


def test_shares_are_of_answers_and_the_unanswered_are_counted(survey, tmp_path):
    _, truth = survey
    identity = truth.identities[0]
    who = questions_of(truth, identity, "wb", kind="who")
    impostors = questions_of(truth, identity, "bb", right="no")
    found = score(truth, given(truth, tmp_path, a={"wrong": who[:1]}, b={"unanswered": who, "wrong": impostors}))
    assert found.participants == 2
    assert found.chance == pytest.approx(1 / 7)
    white, black = found.identification
    assert (white.attack, black.attack) == ("wb", "bb")
    assert white.by_identity[identity].model_dump() == {"share": 0.5, "ci95": None, "answered": 2, "asked": 4}
    assert white.average.model_dump() == {"share": round(17 / 18, 6), "ci95": None, "answered": 18, "asked": 20}
    assert black.average.share == 1
    assert [row.average.share for row in found.similarity] == [1, 1]
    assert [row.average.share for row in found.false_alarms] == [0, 0.1]
    assert found.false_alarms[1].by_identity[identity].share == 0.5


def test_a_group_that_nobody_answered_has_no_share(survey, tmp_path):
    _, truth = survey
    who = [question.id for question in truth.questions if question.kind == "who"]
    found = score(truth, given(truth, tmp_path, a={"unanswered": who}))
    assert found.identification[0].average.model_dump() == {"share": None, "ci95": None, "answered": 0, "asked": 10}
    assert found.similarity[0].average.share == 1


def test_intervals_take_five_participants(survey, tmp_path):
    _, truth = survey
    who = [question.id for question in truth.questions if question.kind == "who"]
    people = {f"p{i}": {"wrong": who[: 3 * i]} for i in range(5)}
    four = score(truth, given(truth, tmp_path, **dict(list(people.items())[:4])))
    assert four.identification[0].average.ci95 is None
    five = score(truth, given(truth, tmp_path, **people))
    average = five.identification[0].average
    low, high = average.ci95 or (None, None)
    assert 0 <= low < average.share < high <= 1
    assert five == score(truth, given(truth, tmp_path, **people))


def test_the_interval_resamples_participants_not_answers():
    clustered = share_interval([20, 20, 20, 0, 0, 0], [20] * 6)
    spread = share_interval([10] * 6, [20] * 6)
    assert clustered[1] - clustered[0] > 0.5
    assert spread == (0.5, 0.5)
    assert share_interval([3, 1, 2, 2, 2], [4, 2, 2, 4, 4]) == share_interval([3, 1, 2, 2, 2], [4, 2, 2, 4, 4])


def test_the_tables_stand_beside_the_papers(survey, tmp_path):
    out, truth = survey
    impostors = [question.id for question in truth.questions if question.right == "no"]
    files = [written(tmp_path, f"{i}.json", said(truth, f"p{i}", impostors[:4], impostors[-2:])) for i in range(5)]
    result = mia("survey", "score", out, *files)
    assert result.returncode == 0, result.stderr
    for words in ("Table II", "Table III", "57.8%", "53.3%", "61.8%", "67.4%", "averages 61.2", "14.3%"):
        assert words in result.stdout
    assert "10 of 200 unanswered" in result.stdout
    assert "0 of 100 unanswered" in result.stdout
    assert "5 participants" in result.stdout
    assert "bootstrap over participants" in result.stdout
    few = mia("survey", "score", out, *files[:1])
    assert "1 participant, " in few.stdout
    assert "too few for intervals" in few.stdout
    assert "[" not in few.stdout
    machine = json.loads(mia("survey", "score", out, *files, "--json").stdout)
    assert machine["build"] == truth.build
    assert machine["identification"][0]["average"]["share"] == 1.0
    assert machine["false_alarms"][0]["average"]["answered"] + machine["false_alarms"][1]["average"]["answered"] == 90


def test_the_papers_averages_are_of_all_answers():
    def answers_behind(printed):
        """(right, answered) of nine people about two images, or one answer fewer."""
        found = [(hits, count) for count in (18, 17) for hits in range(count + 1)]
        return next((hits, count) for hits, count in found if round(100 * hits / count, 1) == printed)

    for row in (*TABLE_II, *TABLE_III):
        hits, counts = zip(*map(answers_behind, row.by_identity), strict=True)
        assert round(100 * sum(hits) / sum(counts), 1) == row.average
        mean = sum(row.by_identity) / len(row.by_identity)
        assert (abs(mean - row.average) < 0.051) == (not row.remark), "a remark where the row averages something else"


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["score", "--help"]])
def test_help_does_not_import_torch(arguments):
    code = f"import sys; from mia_bench.cli import cli; cli.main({['survey', *arguments]}, standalone_mode=False)"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; assert not {{'torch', 'numpy', 'scipy'}} & set(sys.modules), 'heavy'"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
