"""The survey's page in a real browser: answered by keyboard and by click, reloaded, saved, scored."""

import json
import shutil

import pytest

from mia_bench.survey import build, key

from .helpers import mia

HOW = "to test the survey's page in a browser: apt-get install chromium; pip install -e '.[browser]'"
playwright = pytest.importorskip("playwright.sync_api", reason=HOW)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=HOW)


@pytest.fixture(scope="module")
def survey(attacked, tmp_path_factory):
    out = tmp_path_factory.mktemp("page")
    return out, build.build(build.Request(attacked), out)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        # --no-sandbox: a browser run by root, as in a container, starts only so
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(survey, chromium):
    """Opens the page of a folder, in a profile of its own; nothing may go wrong meanwhile, or over the network."""
    troubles, contexts = [], []

    def note_request(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            troubles.append(f"request for {request.url}")

    def open_page(folder=survey[0], **options):
        context = chromium.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("request", note_request)
        page.goto((folder / "index.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def place(page):
    """Where the page says that one is."""
    bar = page.get_by_role("progressbar")
    text = page.locator("#place").inner_text()
    assert text == f"Question {bar.get_attribute('value')} of {bar.get_attribute('max')}"
    return int(bar.get_attribute("value"))


def chosen(page):
    return page.locator("#chosen").inner_text()


def saved(page, save, folder):
    """The answers as downloaded."""
    with page.expect_download() as download:
        save()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return file, json.loads(file.read_text())


def press_answer(page, truth, question):
    faces = list(truth.faces)
    page.keyboard.press(str(faces.index(question.right) + 1) if question.kind == "who" else question.right[0])


def test_by_keyboard_alone_with_a_reload_and_a_skip(survey, open_page, tmp_path):
    out, truth = survey
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.type("p-07")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "H1", "a screen reader reads the question"
    for number, question in enumerate(truth.questions, start=1):
        assert place(page) == number
        assert chosen(page) == "Not answered yet"
        if number == 3:
            assert page.get_by_role("button", name="Skip").is_visible()
            page.keyboard.press("Enter")
            continue
        press_answer(page, truth, question)
        assert chosen(page).startswith("Your answer: ")
        assert page.locator("button[aria-pressed=true]").count() == 1
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        if number == 30:
            answer = chosen(page)
            page.reload()
            assert (place(page), chosen(page)) == (30, answer)
            page.keyboard.press("Backspace")
            page.keyboard.press("ArrowLeft")
            assert place(page) == 28
            assert chosen(page).startswith("Your answer: ")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    assert page.get_by_text("1 of 60 questions are not answered").is_visible()
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    file, given = saved(page, lambda: page.keyboard.press("Enter"), tmp_path)
    assert file.name == "answers-p-07.json"
    assert given["participant"] == "p-07"
    assert given["build"] == truth.build
    assert given["started"] < given["finished"]
    assert given["answers"] == {q.id: q.right for q in truth.questions if q.id != "q03"}
    scored = mia("survey", "score", out, file, "--json")
    assert scored.returncode == 0, scored.stderr
    figures = json.loads(scored.stdout)
    assert [row["average"]["share"] for row in figures["identification"] + figures["similarity"]] == [1.0] * 4
    assert [row["average"]["share"] for row in figures["false_alarms"]] == [0.0] * 2
    assert sum(row["average"]["answered"] for row in figures["identification"]) == 19


def test_by_click_on_a_phone_and_for_two_participants(attacked, open_page, tmp_path):
    out = tmp_path / "small"
    truth = build.build(build.Request(attacked, identities=2, trials=1), out)
    page = open_page(out, viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True)
    files = []
    for _ in range(2):
        page.get_by_role("button", name="I agree, start").tap()
        assert not page.get_by_role("button", name="Back").is_visible()
        for number, question in enumerate(truth.questions, start=1):
            assert place(page) == number
            wrong, right = ("Face 2", "Face 1") if question.kind == "who" else ("No", "Yes")
            page.get_by_role("button", name=wrong).tap()
            page.get_by_role("button", name=right).tap()
            assert page.get_by_role("button", name=right).get_attribute("aria-pressed") == "true"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
            page.get_by_role("button", name="Next").tap()
        page.get_by_role("button", name="Back to the questions").tap()
        assert place(page) == 12
        page.get_by_role("button", name="Next").tap()
        file, given = saved(page, lambda: page.get_by_role("button", name="Save answers").tap(), tmp_path)
        assert set(given["answers"].values()) == {"f1", "yes"}
        assert len(given["answers"]) == 12
        files.append(file)
        page.get_by_role("button", name="Clear, for the next participant").tap()
    scored = mia("survey", "score", out, *files)
    assert scored.returncode == 0, scored.stderr
    assert "2 participants" in scored.stdout
    assert "0 of 16 unanswered" in scored.stdout


def test_a_code_that_could_not_be_scored_is_not_taken(open_page):
    page = open_page()
    page.get_by_label("Participant code").fill("Jane Doe")
    page.get_by_role("button", name="I agree, start").click()
    assert not page.locator("#question").is_visible()
    page.get_by_label("Participant code").fill("jd-1")
    page.keyboard.press("Enter")
    assert place(page) == 1


def test_without_storage_the_page_still_works_and_says_so(survey, open_page, tmp_path):
    page = open_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('blocked'); } });")
    page.reload()
    assert page.get_by_text("does not let the page keep your answers").is_visible()
    page.get_by_role("button", name="I agree, start").click()
    page.keyboard.press("1")
    for _ in survey[1].questions:
        page.keyboard.press("ArrowRight")
    _, given = saved(page, page.get_by_role("button", name="Save answers").click, tmp_path)
    assert given["answers"] == {"q01": "f1"}


def test_tab_and_enter_choose_and_go_on(open_page):
    page = open_page()
    page.get_by_role("button", name="I agree, start").click()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert (place(page), chosen(page)) == (1, "Your answer: Face 2")
    page.keyboard.press("5")
    page.keyboard.press("Enter")
    assert place(page) == 2
    page.keyboard.press("Backspace")
    assert (place(page), chosen(page)) == (1, "Your answer: Face 5"), "Enter went on; it pressed no other answer"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+1")
    assert chosen(page) == "Not answered yet"


def test_dark_and_light_differ_and_the_key_fits_the_page(survey, open_page):
    backs = set()
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        backs.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.get_by_role("button", name="I agree, start").click()
        assert page.locator("#answers button").count() == len(key.read(survey[0]).faces)
        assert page.locator("#shown img").bounding_box()["width"] == 160
    assert len(backs) == 2
