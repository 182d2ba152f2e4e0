"""The report: an HTML page, and the measured parts of docs/performance.md."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.charts import draw
from benchmarks.harness import Figure, Report, load, save
from benchmarks.questions import QUESTIONS
from benchmarks.report import GOALS, MARKER, PAGE, charts, filled, found, html

FIGURES = [
    Figure(name, side, "CPU µs per token", {"streams": 16}, values)
    for name, side, values in (
        ("main process", "SGLang's <engine>", [30.0, 31.0, 32.0]),
        ("main process", "worker", [35.0, 43.5, 40.0]),
        ("added", "worker", [5.0, 12.5, 8.0]),
    )
]
EMPTY = """Before.
<!-- measured: engine_cost: added -->
<!-- end -->
Between.
<!-- measured: boot -->
kept
<!-- end -->
<!-- drawn: engine_cost: main process; added -->
<!-- end -->
<!-- measured: goals -->
<!-- end -->
After.
"""


@pytest.fixture
def reports(tmp_path: Path) -> Mapping[str, Report]:
    save("engine_cost", FIGURES, tmp_path)
    save("dropped_question", FIGURES, tmp_path)
    return found(tmp_path)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save("engine_cost", FIGURES, tmp_path)
    report = load("engine_cost", tmp_path)
    assert (report.question, report.figures) == ("engine_cost", FIGURES)


def test_files_of_questions_that_no_longer_exist_are_ignored(
    reports: Mapping[str, Report],
) -> None:
    """`reports/` outlives a change of branch."""
    assert list(reports) == ["engine_cost"]


def test_the_page_has_a_section_for_each_question_that_was_run(
    reports: Mapping[str, Report],
) -> None:
    """With its sentence, where its figures come from, its figures and a chart."""
    page = html(reports)
    assert page.count("<h2") == page.count("<svg") == 1
    assert QUESTIONS[0].asks.replace("'", "&#x27;") in page
    assert f"commit {reports['engine_cost'].commit}" in page
    assert "40.0 (37.5 to 41.8)" in page
    assert "SGLang&#x27;s &lt;engine&gt;" in page
    assert "<engine>" not in page


def test_the_page_needs_nothing_else(reports: Mapping[str, Report]) -> None:
    """It can be sent as one file."""
    page = html(reports)
    assert not [each for each in ("<script", "<link", "src=", "url(http") if each in page]


def test_the_page_says_whether_goals_are_held(reports: Mapping[str, Report]) -> None:
    """And by which value, in the worst case."""
    goal = "<td>at most 10 CPU µs per token</td>"
    assert f"{goal}<td>8.00 (streams 16)</td><td>held</td>" in html(reports)
    slow = [figure._replace(values=[20.0]) for figure in FIGURES]
    worse = reports["engine_cost"]._replace(figures=slow)
    judged = f"{goal}<td>20.0 (streams 16)</td><td>not held</td>"
    assert judged in html({"engine_cost": worse})
    missing = reports["engine_cost"]._replace(figures=FIGURES[:2])
    assert "<td>not measured</td>" in html({"engine_cost": missing})


def test_without_reports_the_page_is_empty() -> None:
    assert "<h2" not in html({})


def test_the_measured_parts_of_the_docs_are_replaced(reports: Mapping[str, Report]) -> None:
    """Only of the quantities that are asked for; what was not run, and the prose, stay."""
    page = filled(EMPTY, reports)
    lines = page.splitlines()
    assert lines[:4] == [
        "Before.",
        "<!-- measured: engine_cost: added -->",
        "|  | streams | worker |",
        "| --- | --- | --- |",
    ]
    assert "| added, CPU µs per token | 16 | 8.00 (6.50 to 10.25) |" in lines
    assert (
        "| engine_cost | worker: added | at most 10 CPU µs per token | 8.00 (streams 16) | held |"
        in page
    )
    assert "main process" not in page.replace("main process; added -->", "")
    assert "<!-- measured: boot -->\nkept\n<!-- end -->" in page
    (chart,) = (each for each in lines if each.startswith("!["))
    assert chart.startswith(f'![{QUESTIONS[0].asks}](engine-cost.svg "medians (quartiles) of 3 ')


def test_replacing_again_changes_nothing(reports: Mapping[str, Report]) -> None:
    page = filled(EMPTY, reports)
    assert filled(page, reports) == page


def test_a_quantity_that_is_not_measured_is_an_error(reports: Mapping[str, Report]) -> None:
    """A table would silently lose a row."""
    page = EMPTY.replace("engine_cost: added -->", "engine_cost: aded -->")
    with pytest.raises(ValueError, match="engine_cost does not measure aded"):
        filled(page, reports)


def test_the_charts_of_the_docs(reports: Mapping[str, Report]) -> None:
    """One file for each; the same figures give the same file, so that Git sees no change."""
    drawn = charts(EMPTY, reports)
    assert list(drawn) == ["engine-cost.svg"]
    assert drawn == charts(EMPTY, reports)


def test_a_chart_names_quantities_sides_and_cases() -> None:
    """Its text is text, which can be searched and read aloud."""
    shown = {each.text for each in ET.fromstring(draw("engine_cost", FIGURES)).iter()}  # noqa: S314
    assert {
        "main process, CPU µs per token",
        "added, CPU µs per token",
        "SGLang's <engine>",
        "worker",
        "streams",
        "16",
    } <= shown


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no figures"):
        draw("engine_cost", [])


def test_the_docs_name_known_questions_and_their_charts_exist() -> None:
    """Every marker is well-formed: it has an end, and nothing looks almost like one."""
    page = PAGE.read_text()
    markers = list(MARKER.finditer(page))
    assert {each["name"] for each in markers} <= {each.name for each in QUESTIONS} | {GOALS}
    assert len(markers) == page.count("<!-- end -->") == page.count("<!--") / 2
    shown = re.findall(r"!\[[^]]*\]\((\S+)", page)
    assert shown
    assert not [name for name in shown if not (PAGE.parent / name).exists()]
