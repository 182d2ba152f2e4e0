"""The report on all questions: an HTML page, and the measured parts of docs/performance.md.

In docs/performance.md, what stands between two comments is measured:
- `<!-- measured: engine_cost: added; speed -->` … `<!-- end -->`: the tables of a question, of the
  named quantities or of all;
- `<!-- drawn: engine_cost: added -->` … `<!-- end -->`: the same as a chart, in a file beside it;
- `<!-- measured: goals -->` … `<!-- end -->`: the goals, and whether they are held.
A question that has not been run keeps what stands there.
Run: `python -m benchmarks.report` writes reports/index.html; with `--docs` also the page.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from benchmarks.charts import draw
from benchmarks.harness import REPORTS, ROOT, Figure, Report, Spread, load
from benchmarks.questions import QUESTIONS, Goal, Question, verdict
from benchmarks.tables import Table, label, markdown, rounds, tables
from worker import command

PAGE = ROOT / "docs" / "performance.md"
MARKER = re.compile(
    r"<!-- (?P<how>measured|drawn): (?P<name>\w+)(: (?P<quantities>.+?))? -->\n"
    r"(?P<content>.*?)<!-- end -->",
    re.DOTALL,
)
GOALS = "goals"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #d1d5db; padding: .25rem .75rem .25rem 0; text-align: left;
  font-variant-numeric: tabular-nums }
.from { color: #6b7280 }
svg { max-width: 100%; height: auto }
"""


def main() -> int:
    parser = command.CommandParser("python -m benchmarks.report", __doc__)
    parser.add_argument("--docs", action="store_true", help="rewrites docs/performance.md as well")
    asked = parser.parse_args()
    reports = found(REPORTS)
    REPORTS.mkdir(parents=True, exist_ok=True)
    index = REPORTS / "index.html"
    index.write_text(html(reports))
    print(f"{len(reports)} of {len(QUESTIONS)} questions in {index}")
    if asked.docs:
        page = PAGE.read_text()
        for file, chart in charts(page, reports).items():
            (PAGE.parent / file).write_text(chart)
        PAGE.write_text(filled(page, reports))
    return 0


def found(folder: Path) -> dict[str, Report]:
    """The reports of the questions that have been run, in the questions' order."""
    return {
        each.name: load(each.name, folder)
        for each in QUESTIONS
        if (folder / f"{each.name}.json").exists()
    }


# The HTML page


def html(reports: Mapping[str, Report]) -> str:
    sections = [
        section(question, reports[question.name])
        for question in QUESTIONS
        if question.name in reports
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Benchmarks</title>'
        f"<style>{STYLE}</style></head><body><h1>Benchmarks</h1>\n"
        "<p>Medians; in parentheses the quartiles of the rounds.</p>\n"
        f"{html_table(goals(reports))}\n{''.join(sections)}</body></html>\n"
    )


def section(question: Question, report: Report) -> str:
    command_line = f"<code>python -m benchmarks.{question.name}</code>"
    parts = [
        f'<h2 id="{question.name}">{escape(question.asks)}</h2>',
        f'<p class="from">{command_line}: {escape(provenance(report))}</p>',
        *map(html_table, tables(report.figures)),
        inline(draw(question.name, report.figures)),
    ]
    return "\n".join(parts) + "\n"


def html_table(table: Table) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = [row(table.head, "th"), *(row(cells, "td") for cells in table.rows)]
    return "<table>" + "\n".join(rows) + "</table>"


def inline(svg: str) -> str:
    """Without what may stand only at the beginning of a file."""
    return svg[svg.index("<svg") :]


# What both pages show


def goals(reports: Mapping[str, Report]) -> Table:
    """The goals of the questions that have been run."""
    return Table(
        ["question", "of what", "goal", "worst case", ""],
        [
            [question.name, goal.subject, *judged(goal, reports[question.name].figures)]
            for question in QUESTIONS
            if question.name in reports
            for goal in question.goals
        ],
    )


def judged(goal: Goal, figures: Sequence[Figure]) -> tuple[str, str, str]:
    """The bound, the value that decides, and what it decides."""
    found = verdict(goal, figures)
    bound = f"{goal.relation} {goal.bound:,g}"
    if found is None:
        return bound, "", "not measured"
    where = f" ({label(found.case)})" if found.case else ""
    value = Spread(found.value, found.value, found.value)
    held = "held" if found.held else "not held"
    return f"{bound} {found.unit}".rstrip(), f"{value}{where}", held


def provenance(report: Report) -> str:
    machine = report.machine
    cores = f"{machine['cores']} core" + "s" * (machine["cores"] != 1)
    return (
        f"{rounds(report.figures)}, {report.date}, commit {report.commit}, "
        f"{cores} of {machine['cpu']}, load {machine['load']:.1f}"
    )


# docs/performance.md


def filled(page: str, reports: Mapping[str, Report]) -> str:
    """The page with the measured parts of these reports; the others stay as they are."""

    def fill(marker: re.Match[str]) -> str:
        if marker["name"] == GOALS:
            return _between(marker, markdown(goals(reports)))
        if marker["name"] not in reports:
            return marker[0]
        report = reports[marker["name"]]
        figures = chosen(marker, report)
        of = provenance(report._replace(figures=figures))
        if marker["how"] == "drawn":
            asks = next(each.asks for each in QUESTIONS if each.name == report.question)
            return _between(marker, f'![{asks}]({_file(marker)} "{of}")')
        shown = "\n\n".join(map(markdown, tables(figures)))
        return _between(marker, f"{shown}\n\n{of[0].upper()}{of[1:]}.")

    return MARKER.sub(fill, page)


def charts(page: str, reports: Mapping[str, Report]) -> dict[str, str]:
    """The SVGs that the page shows, by the names of their files."""
    return {
        _file(marker): draw(marker["name"], chosen(marker, reports[marker["name"]]))
        for marker in MARKER.finditer(page)
        if marker["how"] == "drawn" and marker["name"] in reports
    }


def chosen(marker: re.Match[str], report: Report) -> list[Figure]:
    """The figures that a marker asks for. Raises ValueError if it names others."""
    if marker["quantities"] is None:
        return list(report.figures)
    wanted = marker["quantities"].split("; ")
    missing = set(wanted) - {each.name for each in report.figures}
    if missing:
        raise ValueError(f"{report.question} does not measure {', '.join(sorted(missing))}")
    return [each for each in report.figures if each.name in wanted]


def _between(marker: re.Match[str], content: str) -> str:
    opening = marker[0].splitlines()[0]
    return f"{opening}\n{content}\n<!-- end -->"


def _file(marker: re.Match[str]) -> str:
    return marker["name"].replace("_", "-") + ".svg"


if __name__ == "__main__":
    command.run(main)
