"""`make bench`: runs the questions one after another."""

from pathlib import Path

import pytest

from benchmarks.__main__ import answer, folder
from benchmarks.harness import REPORTS, load
from benchmarks.questions import QUESTIONS, Question, verdict


def test_when_a_question_fails_the_others_still_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and those that failed are named."""
    status = answer(
        [Question("no_such_module", "Does it fail?"), Question("api_cost", "Does it run?")],
        quick=True,
        reports=tmp_path,
    )
    assert status == 1
    assert load("api_cost", tmp_path).figures
    assert (tmp_path / "index.html").exists()
    printed = capfd.readouterr()
    assert printed.err.splitlines()[-1] == "Failed: no_such_module"
    assert "[2/2] api_cost: Does it run?" in printed.out


def test_a_quick_run_overwrites_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a folder of its own."""
    monkeypatch.delenv("REPORTS", raising=False)
    assert [folder(quick=False), folder(quick=True)] == [REPORTS, REPORTS / "quick"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "question", [each for each in QUESTIONS if not each.is_extra], ids=lambda each: each.name
)
def test_every_question_runs(question: Question, tmp_path: Path) -> None:
    """The quick way; and what the goals are about is measured, if it is in every run."""
    assert answer([question], quick=True, reports=tmp_path) == 0
    figures = load(question.name, tmp_path).figures
    assert not [goal for goal in question.goals if not goal.case and not verdict(goal, figures)]
