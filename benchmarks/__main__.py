"""Answers the benchmarks' questions one after another, and makes a report of the figures.

Each question is a process of its own, as engines leave a process different from how they found it.
When one fails, the others still run, and the exit status is 1. The figures go to reports/*.json,
the report to reports/index.html; those of a quick run, which only shows that all of it works, to
reports/quick.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import REPORTS, ROOT
from benchmarks.questions import QUESTIONS, Question
from worker import command

LIMIT_S = 600
"""After this long a question has failed."""


def main() -> int:
    parser = command.CommandParser("python -m benchmarks", __doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each question")
    names = [each.name for each in QUESTIONS]
    parser.add_argument("--only", metavar="NAME", choices=names, help=f"one of {', '.join(names)}")
    asked = parser.parse_args()
    chosen = [
        each
        for each in QUESTIONS
        if each.name == asked.only or (asked.only is None and not each.is_extra)
    ]
    return answer(chosen, asked.quick, folder(asked.quick))


def folder(quick: bool) -> Path:
    """Where the figures go, unless REPORTS says so."""
    return REPORTS / "quick" if quick and "REPORTS" not in os.environ else REPORTS


def answer(questions: Sequence[Question], quick: bool, reports: Path) -> int:
    """Returns the exit status."""
    started = time.monotonic()
    options = ["--quick"] if quick else []
    failed: list[str] = []
    for number, question in enumerate(questions, start=1):
        print(f"\n[{number}/{len(questions)}] {question.name}: {question.asks}\n", flush=True)
        if not succeeds(question.name, options, reports):
            failed.append(question.name)
    if not succeeds("report", [], reports):
        failed.append("report")
    print(f"\n{len(questions)} questions in {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def succeeds(module: str, options: Sequence[str], reports: Path) -> bool:
    """Runs one of this package's modules, and prints how long it took."""
    started = time.monotonic()
    try:
        status = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", *options],
            cwd=ROOT,
            env=os.environ | {"REPORTS": str(reports)},
            check=False,
            timeout=LIMIT_S,
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"{module} was not done within {LIMIT_S} s", file=sys.stderr)
        return False
    print(f"\n{module}: {time.monotonic() - started:.0f} s, exit status {status}", flush=True)
    return status == 0


if __name__ == "__main__":
    command.run(main)
