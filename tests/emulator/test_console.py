"""The console as a person meets it: the real page in a real browser, against a running emulator.

Each test leaves its last view in reports/console/.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from emulator.faults import Faults
from tests.support import DEMO, ROOT
from tests.support.emulation import Emulation, emulation, eventually

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VIEWS = ROOT / "reports" / "console"
AXE = ROOT / "tests" / "clients" / "node" / "node_modules" / "axe-core" / "axe.min.js"
LONG = {"words": ["a"] * 2000, "pause": 0.05}

expect.set_options(timeout=30_000)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM)
        yield running
        running.close()


@pytest.fixture(scope="module")
def plane() -> Iterator[Emulation]:
    with emulation(workers=2, POLL_SECONDS="1") as running:
        running.ready(2)
        yield running


Open = Callable[[Emulation], Page]


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a console; a complaint in the page's log, or a request to elsewhere, fails the test."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": 1600, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )

    def heard(said: ConsoleMessage) -> None:
        if not said.text.startswith("Failed to load resource"):  # an error that is asked for
            complaints.append(said.text)

    def requested(emulator: str, url: str) -> None:
        if not url.startswith((emulator, "data:")):
            complaints.append(f"not the emulator's: {url}")

    def opened(plane: Emulation) -> Page:
        page = context.new_page()
        page.on("request", lambda asked: requested(plane.url, asked.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", heard)
        page.goto(plane.url)
        expect(page.locator("#live")).to_have_text("live")
        return page

    yield opened
    VIEWS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "_", request.node.name)
    context.pages[0].screenshot(path=VIEWS / f"{name}.png")
    context.close()
    assert complaints == []


@pytest.fixture
def page(plane: Emulation, open_page: Open) -> Page:
    """The console of an emulator without faults."""
    plane.set_faults()
    plane.forget()
    return open_page(plane)


def ask(page: Page, text: str) -> None:
    """Asks as with a keyboard alone."""
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def row(page: Page, plane: Emulation, job_id: str) -> Any:
    """A job's row in the table."""
    name = f"Job {plane.job(job_id)['number']}: show its timeline"
    return page.locator("#jobs tr").filter(has=page.get_by_role("button", name=name))


def test_an_answer_shows_its_reasoning_its_call_and_takes_the_tools_result(page: Page) -> None:
    """The loop of an agent, by hand: the tool's result goes back, and the model answers it."""
    ask(page, "Weather in Paris?")
    expect(page.locator(".reasoning p")).to_have_text("I ask the tool.")
    expect(page.locator(".call h3")).to_have_text("get_weather")
    expect(page.locator(".call pre")).to_have_text('{\n  "location": "Paris"\n}')
    page.get_by_label("Result of get_weather").fill("sunny and warm")
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".answer .text").last).to_have_text("sunnyandwarm")
    expect(page.locator(".figures").last).to_contain_text("8 of 12 prompt tokens cached")


def test_a_job_shows_its_figures(page: Page) -> None:
    """State, worker, delay, time to first token, speed and cached tokens stand in the table."""
    ask(page, "one two three")
    cells = page.locator("#jobs tr").first.locator("td")
    expect(cells.nth(0)).to_have_text("completed")
    expect(cells.nth(1)).to_have_text(re.compile(r"worker-\d"))
    for number in (3, 4):
        expect(cells.nth(number)).to_have_text(re.compile(r"\d\.\d+ s"))
    expect(cells.nth(5)).to_have_text(re.compile(r"\d"))
    expect(cells.nth(6)).to_have_text("8/12")


def test_tools_that_are_no_list_are_refused_where_they_are_written(
    plane: Emulation, page: Page
) -> None:
    """Nothing is sent, and the field says why."""
    page.get_by_text("Request: tools").click()
    field = page.get_by_label("Tools, as JSON")
    field.fill('{"type": "function"}')
    expect(page.locator("#tools-error")).to_have_text("Tools must be a list: [ … ]")
    expect(field).to_have_attribute("aria-invalid", "true")
    ask(page, "hello")
    field.fill("[]")
    ask(page, "hello")
    expect(page.locator(".answer .text")).to_have_text("hello")
    assert "tools" not in plane.last_job()["input"]["openai_input"]


def test_an_answer_that_is_stopped_cancels_its_job(plane: Emulation, page: Page) -> None:
    """Send becomes Stop while an answer comes."""
    ask(page, "word " * 3000)
    expect(page.locator(".answer .text")).to_contain_text("word")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped: the job is cancelled.")).to_be_visible()
    eventually(lambda: plane.last_job()["state"] == "CANCELLED")


def test_a_long_question_does_not_bury_its_answer(page: Page) -> None:
    """A pasted file is scrolled in its own box."""
    ask(page, "word\n" * 2000)
    expect(page.locator(".answer")).to_be_in_viewport()
    box = page.locator(".question").bounding_box()
    assert box
    assert box["height"] < 300


def test_a_reload_cancels_the_answer_that_was_coming(plane: Emulation, page: Page) -> None:
    """Nobody would read it; its job stays in the table, in every tab."""
    other = page.context.new_page()
    other.goto(plane.url)
    ask(page, "word " * 3000)
    expect(page.locator(".answer .text")).to_contain_text("word")
    job_id = plane.last_job()["id"]
    page.reload()
    for tab in (page, other):
        expect(row(tab, plane, job_id).locator(".state")).to_have_text("cancelled")


def test_a_reload_keeps_the_conversation(page: Page) -> None:
    """Questions, reasoning, calls with the results they got, and figures; it goes on as before."""
    ask(page, "Weather in Paris?")
    page.get_by_label("Result of get_weather").fill("sunny and warm")
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".figures").last).to_contain_text("tokens at")
    conversation = page.locator("#conversation")
    before = conversation.inner_text()
    page.reload()
    assert conversation.inner_text() == before
    expect(page.get_by_label("Result of get_weather")).to_have_value("sunny and warm")
    ask(page, "one two three")
    expect(page.locator(".answer .text").last).to_have_text("onetwothree")
    page.get_by_role("button", name="New chat").click()
    page.reload()
    expect(conversation).to_be_empty()


def test_an_answer_that_a_reload_cut_off_can_be_asked_for_again(page: Page) -> None:
    """It says so in the answer's place."""
    ask(page, "word " * 200)
    expect(page.locator(".answer .text")).to_contain_text("word")
    page.reload()
    expect(page.locator(".answer .problem")).to_contain_text("The page was reloaded")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".answer .text").last).to_have_text("word" * 200)


def test_an_error_is_shown_as_the_worker_gave_it(page: Page) -> None:
    """And the question can be asked again."""
    ask(page, '{"message": "No such model.", "type": "invalid_request_error"}')
    expect(page.locator(".answer .problem")).to_have_text("No such model.")
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()


def test_a_job_is_cancelled_from_its_row(plane: Emulation, page: Page) -> None:
    """The table follows without a reload."""
    job_id = plane.submit(LONG)
    job = row(page, plane, job_id)
    expect(job.locator(".state")).to_have_text("in progress")
    job.get_by_role("button", name=re.compile("Cancel")).click()
    expect(job.locator(".state")).to_have_text("cancelled")
    assert plane.job(job_id)["state"] == "CANCELLED"


def test_a_failed_job_is_retried_from_its_row(plane: Emulation, page: Page) -> None:
    """Retry keeps the job's id."""
    job_id = plane.submit({"words": ["a"], "error": "no more words"})
    job = row(page, plane, job_id)
    job.get_by_role("button", name=re.compile("Retry")).click()
    eventually(lambda: plane.job(job_id)["deliveries"] == 2)


def test_a_timeline_has_a_lane_for_each_delivery(plane: Emulation, page: Page) -> None:
    """A worker is killed from its card; its job goes on in the other's lane."""
    job_id = plane.submit({"words": ["a"] * 80, "pause": 0.1})  # the kill must come before its end
    victim = plane.in_state(job_id, "IN_PROGRESS")["worker"]
    expect(row(page, plane, job_id).locator(".state")).to_have_text("in progress")
    page.get_by_role("button", name=f"Kill {victim}").click()
    expect(page.locator("#kill-what")).to_contain_text("Its 1 job will be retried")
    page.get_by_role("button", name="Kill", exact=True).click()
    expect(page.locator(".workers")).to_contain_text("exited -9")
    row(page, plane, job_id).get_by_role("button").first.click()
    expect(page.locator("#job .lane-name").filter(has_text="worker-")).to_have_count(2)
    expect(page.locator(".events")).to_contain_text("retried")
    assert plane.ended(job_id)["state"] == "COMPLETED"
    page.get_by_role("button", name=f"Start another worker in place of {victim}").click()
    expect(page.locator(".worker .idle")).to_have_count(2)


def test_a_worker_that_is_to_be_kept_is_not_killed(plane: Emulation, page: Page) -> None:
    """Kill asks, and Escape is no."""
    worker = plane.ready(1)[0]
    page.get_by_role("button", name=f"Kill {worker}").click()
    expect(page.locator("#kill-what")).to_have_text(
        f"Kill {worker} without notice? It has no jobs."
    )
    expect(page.get_by_role("button", name="Keep it running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#kill")).not_to_be_visible()
    assert plane.worker(worker)["state"] == "idle"


def test_an_answer_says_what_it_waits_for(open_page: Open) -> None:
    """No worker, one that boots, and then its first token."""
    with emulation(workers=0, POLL_SECONDS="1") as plane:
        page = open_page(plane)
        ask(page, "hello")
        expect(page.locator(".waiting")).to_contain_text("no worker is running")
        page.get_by_role("button", name="Start worker").click()
        expect(page.locator(".waiting")).to_contain_text("worker-1 is starting")
        expect(page.locator(".answer .text")).to_have_text("hello")
        expect(page.locator(".waiting")).to_be_empty()


def test_a_retried_job_has_its_phases_twice_in_its_bar(plane: Emulation, page: Page) -> None:
    """What the first delivery streamed stays to be seen."""
    job_id = plane.submit({"words": ["a"] * 2, "pause": 0.2, "error": "no more words"})
    job = row(page, plane, job_id)
    expect(job.locator(".state")).to_have_text("failed")
    plane.set_faults(stream={"latency_ms": 200})
    victim = plane.in_state(plane.submit(LONG), "IN_PROGRESS")
    eventually(lambda: plane.job(victim["id"])["chunks"])
    plane.kill(victim["worker"])
    phases = row(page, plane, victim["id"]).locator(".bar")
    label = re.compile("^queue .*, prompt .*, stream .*, queue .*, prompt .*, stream ")
    expect(phases).to_have_attribute("aria-label", label)
    plane.cancel(victim["id"])
    plane.start_worker()
    plane.ready(2)


def test_a_waiting_jobs_timeline_goes_on(plane: Emulation, page: Page) -> None:
    """A queued job does not change, but its time does."""
    plane.set_faults(hold_until_stop=True)
    job_id = plane.submit({"words": []})
    axis = page.locator("#job .axis")
    expect(axis).to_contain_text("0 s")
    first = axis.inner_text()
    expect(axis).not_to_have_text(first)
    page.get_by_role("button", name="Purge queue").click()
    expect(page.locator("#notice")).to_have_text("1 waiting job cancelled.")
    assert plane.job(job_id)["state"] == "CANCELLED"
    plane.set_faults()


def test_a_fault_that_is_none_is_refused_at_its_field(plane: Emulation, page: Page) -> None:
    """In words, and nothing is sent."""
    field = page.get_by_label("stream: 5xx, percent")
    field.fill("300")
    field.blur()
    problem = page.locator(".fault .problem").filter(has_text="This takes a number from 0 to 100.")
    expect(problem).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert plane.faults()["stream"]["fail"]["rate"] == 0
    field.fill("30")
    field.blur()
    expect(problem).to_have_count(0)
    eventually(lambda: plane.faults()["stream"]["fail"]["rate"] == 0.3)
    status = page.get_by_label("status", exact=True).first
    status.fill("503.5")
    status.blur()
    takes = "This takes a whole number from 500 to 599."
    expect(page.locator(".fault .problem").filter(has_text=takes)).to_be_visible()


def test_a_worker_is_terminated_from_its_card(plane: Emulation, page: Page) -> None:
    """SIGTERM ends the worker by its own doing."""
    page.get_by_role("button", name="Start worker").click()
    expect(page.locator(".worker .idle")).to_have_count(3)
    newest = plane.workers()[-1]["id"]
    page.get_by_role("button", name=f"Terminate {newest}").click()
    card = page.locator(".worker", has_text=newest)
    expect(card.locator(".state")).to_have_text("exited 0")
    card.get_by_role("button", name="Log").click()
    expect(page.locator("dialog pre")).not_to_be_empty()


def test_every_fault_can_be_switched_on_and_off(open_page: Open) -> None:
    """No fault of the emulator is without its field or button."""
    with emulation(workers=0) as plane:
        page = open_page(plane)
        for route in ("POST stream", "POST done", "GET take"):
            page.get_by_role("button", name=route).click()
            switch_on_what_is_visible(page)
        for switch in page.get_by_role("switch").all():
            switch.click()
        eventually(lambda: not untouched(plane.faults()))
        page.get_by_role("button", name="All off").click()
        eventually(lambda: untouched(plane.faults()) == set(leaves(Faults().to_object())))
        expect(page.get_by_role("switch").first).not_to_be_checked()


def switch_on_what_is_visible(page: Page) -> None:
    for field in page.locator("#faults input[type=number]:visible").all():
        field.fill("504" if field.get_attribute("max") == "599" else "25")
        field.blur()
    for button in page.locator("#faults button[aria-label$='the next one']:visible").all():
        button.click()


def leaves(faults: Any, path: str = "") -> dict[str, Any]:
    """Every single setting of the faults, by its path."""
    if not isinstance(faults, dict):
        return {path: faults}
    parts = [leaves(value, f"{path}.{name}".lstrip(".")) for name, value in faults.items()]
    return {name: value for part in parts for name, value in part.items()}


def untouched(faults: Any) -> set[str]:
    """The settings that are as they were."""
    return {
        path
        for path, value in leaves(Faults().to_object()).items()
        if leaves(faults)[path] == value
    }


@pytest.fixture(scope="module")
def dialects() -> Iterator[Emulation]:
    """An emulator whose worker speaks all APIs, by a script."""
    command = (sys.executable, "-m", "tests.support.paced_worker")
    with emulation(1, command, POLL_SECONDS="1", MODEL="demo") as running:
        running.ready(1)
        yield running


@pytest.mark.parametrize(
    ("api", "route", "event"),
    [
        ("Chat", "/v1/chat/completions", "chat.completion.chunk"),
        ("Responses", "/v1/responses", "event: response.completed"),
        ("Messages", "/v1/messages", "event: message_stop"),
    ],
)
def test_a_conversation_goes_on_in_any_api(
    dialects: Emulation, open_page: Open, api: str, route: str, event: str
) -> None:
    """Reasoning, call and answer; the turn before was another API's, and so is the next."""
    page = open_page(dialects)
    ask(page, "Weather in Paris?")
    expect(page.get_by_role("button", name="Send result")).to_be_visible()
    page.get_by_role("button", name=api, exact=True).click()
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".figures")).to_contain_text(["Chat", api])
    expect(page.locator(".answer .text")).to_have_text("It is sunny in Paris.")
    ask(page, "Weather in Oslo?")
    expect(page.locator(".reasoning p").last).to_have_text("I ask the tool.")
    expect(page.locator(".call h3").last).to_have_text("get_weather")
    expect(page.locator(".call pre").last).to_have_text('{\n  "location": "Paris"\n}')
    expect(page.locator(".figures").last).to_contain_text(re.compile(f"^{api} .* tokens cached"))
    assert dialects.last_job()["input"]["openai_route"] == route
    page.locator("#job summary", has_text="Output").click()
    expect(page.locator("#job details[open] pre")).to_contain_text(event)
    page.get_by_role("button", name="Python", exact=True).click()
    assert "get_weather" in run_snippet(page, "Python")
    page.get_by_role("button", name="Chat", exact=True).click()
    page.get_by_role("button", name="Send result").click()
    expect(page.locator(".figures")).to_contain_text(["Chat", api, api, "Chat"])
    expect(page.locator(".answer .text").last).to_have_text("It is sunny in Paris.")


@pytest.mark.parametrize("language", ["curl", "Python"])
def test_what_was_just_done_can_be_done_again_by_its_snippet(page: Page, language: str) -> None:
    """A chat, a job, a fault: the code that stands there runs as it is."""
    if language == "curl" and not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    page.get_by_role("button", name=language, exact=True).click()
    ask(page, "it's true")
    expect(page.locator(".answer .text")).to_have_text("it'strue")
    assert "true" in run_snippet(page, language)
    page.get_by_label("How many jobs to run").fill("1")
    page.get_by_role("button", name="Run", exact=True).click()
    assert ("IN_QUEUE" if language == "curl" else "data: ") in run_snippet(page, language)
    page.get_by_label("stream: 5xx, the next one").click()
    expect(page.locator("#snippet")).to_contain_text("/faults")
    assert "'next': 1" in run_snippet(page, language).replace('"', "'")


def run_snippet(page: Page, language: str) -> str:
    """What the code on the page prints, as it comes out of the clipboard."""
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    expect(page.locator("#copy")).to_have_text("Copy")
    command = ["bash", "-c", code] if language == "curl" else [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_colours_are_the_systems_until_a_person_chooses(page: Page) -> None:
    """Dark and light, by preference and by button; the choice survives a reload."""
    root, light, dark = page.locator("html"), "rgb(243, 243, 248)", "rgb(13, 13, 19)"
    expect(root).to_have_css("background-color", light)
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_css("background-color", dark)
    page.get_by_role("button", name="Use light colours").click()
    expect(root).to_have_css("background-color", light)
    page.reload()
    expect(root).to_have_css("background-color", light)


def test_every_control_has_a_name_and_the_page_fits_a_phone(page: Page) -> None:
    """For those who hear the page, and for those who hold it in one hand."""
    ask(page, "Weather in Paris?")
    expect(page.get_by_role("button", name="Send result")).to_be_visible()
    nameless = """[...document.querySelectorAll("button, input, select, textarea")]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length))
        .map((e) => e.outerHTML)"""
    assert page.evaluate(nameless) == []
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


OUTSIDE = """[...document.querySelectorAll("button, input, select, textarea, tbody :is(td, th)")]
    .filter((e) => e.checkVisibility() && !e.closest("dialog"))
    .filter((e) => {
      const holder = e.closest(".fault, .worker, .panel") ?? document.body;
      const [own, around] = [e.getBoundingClientRect(), holder.getBoundingClientRect()];
      return own.left < around.left - 1 || own.right > around.right + 1;
    }).map((e) => e.outerHTML)"""
WIDE = """[...document.querySelectorAll(
    "html, .panel, .scroll, #faults, #workers, .fault, .worker"
    )].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.id || e.className)"""
CUT_HEADERS = """[...document.querySelectorAll(".panel > header")]
    .filter((e) => e.scrollHeight > e.clientHeight + 1).map((e) => e.textContent)"""
COVERED = """[...document.querySelectorAll("#jobs tr")].filter((row) => {
      const cells = [...row.children].map((cell) => cell.getBoundingClientRect());
      const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1
        || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
      return cells.some((a, n) => cells.slice(n + 1).some((b) => !apart(a, b)));
    }).map((row) => row.textContent)"""
IN_FIRST_LINE = """(job) => {
      const [cancel, state] = [".act button", ".is"].map((part) => job.querySelector(part));
      return cancel.getBoundingClientRect().top < state.getBoundingClientRect().bottom;
    }"""
TOO_SMALL = """[...document.querySelectorAll("button, input, select, textarea, summary")]
    .filter((e) => e.checkVisibility())
    .filter((e) => Math.min(e.offsetHeight, e.offsetWidth) < 24).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("width", [1440, 1280, 1024, 390])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_is_wider_than_its_panel_nor_covered_nor_too_small(
    plane: Emulation, page: Page, width: int, colours: Literal["light", "dark"]
) -> None:
    """Also while a job that was refused a chunk, and delivered twice, can be cancelled."""
    plane.set_faults(stream={"fail": {"next": 1}}, duplicate={"next": 1})
    job_id = plane.submit(LONG)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=colours)
    job = row(page, plane, job_id)
    expect(job.locator(".refusals")).to_have_text("1 refused")
    expect(job.locator(".by")).to_contain_text("×2")
    expect(job.get_by_role("button", name=re.compile("Cancel"))).to_be_visible()
    for route in ("POST done", "GET take", "POST stream"):
        page.get_by_role("button", name=route).click()
        for fault in (OUTSIDE, WIDE, CUT_HEADERS, COVERED, TOO_SMALL):
            assert page.evaluate(fault) == []
    # Measured in one turn of the page, which moves while the job's answer grows.
    assert job.evaluate(IN_FIRST_LINE), "Cancel is not in its job's first line"
    plane.cancel(job_id)


@pytest.mark.workers
@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: `make clients` installs it, with npm")
@pytest.mark.parametrize("width", [1440, 1024, 390])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(
    plane: Emulation, page: Page, width: int, colours: Literal["light", "dark"]
) -> None:
    """With each part of the page in use, and in each dialog."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=colours)
    page.add_script_tag(path=AXE)
    page.get_by_text("Request: tools").click()
    ask(page, "Weather in Paris?")
    expect(page.get_by_role("button", name="Send result")).to_be_visible()
    failed = plane.submit({"words": ["a"], "error": "no more words"})
    expect(row(page, plane, failed).locator(".state")).to_have_text("failed")
    running = plane.submit(LONG)
    expect(row(page, plane, running).get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_label("stream: 5xx, percent").fill("300")
    page.get_by_label("stream: 5xx, percent").blur()
    page.get_by_role("button", name="GET take").click()
    page.get_by_role("button", name="POST stream").click()
    assert violations(page) == []
    page.get_by_role("button", name=re.compile("^Kill worker")).first.click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Log")).first.click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    plane.cancel(running)


def violations(page: Page) -> list[str]:
    """What axe objects to: its rule, and the elements."""
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


@pytest.mark.workers
def test_the_demo_model_calls_its_tool_and_answers_from_its_cache(open_page: Open) -> None:
    """The real worker with the real engine: the view that the README shows."""
    with emulation(workers=1, command=(sys.executable, "handler.py"), **DEMO) as plane:
        plane.ready(1, within=240)
        page = open_page(plane)
        page.get_by_role("button", name="Weather in Paris?").click()
        expect(page.locator(".call h3")).to_have_text("get_weather")
        page.get_by_role("button", name="Send result").click()
        expect(page.locator(".answer .text").last).to_contain_text("The weather service")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#jobs .COMPLETED")).to_have_count(10, timeout=120_000)
        first = page.locator("#jobs tr").last.locator("td").nth(6)
        expect(first).to_have_text(re.compile(r"\d+/\d+"))
        cached = int(first.inner_text().partition("/")[0])  # the warm-up's system message
        again = plane.ended(plane.last_job()["id"])
        assert again["figures"]["cached_tokens"] > cached
        page.screenshot(path=VIEWS / "demo.png")
