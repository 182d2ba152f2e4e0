"""The log: one line for each record, as text or as a JSON object."""

import json
import logging
from collections.abc import Iterator

import pytest

from worker import logs
from worker.access_log import log_request
from worker.job_metrics import JobMetrics
from worker.turn import Usage


@pytest.fixture(autouse=True)
def the_logger_as_before() -> Iterator[None]:
    logger = logging.getLogger("worker")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def fail() -> None:
    try:
        int("bad")
    except ValueError:
        logging.getLogger("worker.some").exception("it failed")


def answered() -> JobMetrics:
    metrics = JobMetrics()
    metrics.note_step()
    metrics.note_usage(Usage(prompt=1200, completion=34, cached=1000, reasoning=5))
    return metrics


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With its type, message and place, but no traceback."""
    logs.configure(logging.INFO)
    fail()
    (line,) = capsys.readouterr().err.splitlines()
    assert "ERROR worker.some: it failed: ValueError: invalid literal" in line
    assert "'bad' (at test_logs.py:" in line


def test_a_traceback_is_for_debugging(capsys: pytest.CaptureFixture[str]) -> None:
    """At LOG_LEVEL=debug, after the line."""
    logs.configure(logging.DEBUG)
    fail()
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_json_lines_have_the_figures_as_members(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a log store can add them up."""
    logs.configure(logging.INFO, "json")
    log_request("req_1", "/v1/chat/completions", 200, answered())
    fail()
    request, failure = map(json.loads, capsys.readouterr().err.splitlines())
    assert request["level"] == "info"
    assert (request["id"], request["route"], request["status"]) == (
        *("req_1", "/v1/chat/completions"),
        200,
    )
    assert (request["prompt_tokens"], request["cached_tokens"]) == (1200, 1000)
    assert request["completion_tokens"] == 34
    assert {"ttft_ms", "total_ms"} <= set(request)
    assert failure["message"].startswith("it failed: ValueError: invalid literal")


def test_an_answered_request_is_one_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Who, what, how it ended, tokens and times."""
    logs.configure(logging.INFO)
    log_request("req_1", "/v1/chat/completions", 200, answered())
    log_request("req_2", "/v1/models", None, JobMetrics())
    first, second = capsys.readouterr().err.splitlines()
    assert "req_1 /v1/chat/completions 200: in 1,200, cached 1,000, out 34, first token" in first
    assert "req_2 /v1/models stopped: total" in second


def test_at_a_higher_level_requests_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is their line made."""
    logs.configure(logging.WARNING)
    log_request("req_1", "/v1/chat/completions", 200, answered())
    assert capsys.readouterr().err == ""
