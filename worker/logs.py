"""Logging for the worker: to standard error, separate from SGLang's and the SDK's logs.

Rule: one line for each record, as text or, with LOG_FORMAT=json, as an object. Tracebacks are shown
only at LOG_LEVEL=debug; otherwise the line ends in the error's type, message and place.
Standard output is reserved for results. SGLang configures the root logger when it starts, for the
whole process, so the worker's loggers have their own handler.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Literal

LogFormat = Literal["text", "json"]
LOG_FIELDS = "fields"
"""Key in `extra` of a mapping with figures, which a JSON line has as members of its object."""


def configure(level: int, log_format: LogFormat = "text") -> None:
    """Makes all `worker.*` loggers write messages of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JsonFormatter if log_format == "json" else _TextFormatter
    handler.setFormatter(formatter(shows_tracebacks=level <= logging.DEBUG))
    logger = logging.getLogger("worker")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


class _TextFormatter(logging.Formatter):
    def __init__(self, *, shows_tracebacks: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._shows_tracebacks = shows_tracebacks

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {_message(record)}"
        shown = _traceback(record) if self._shows_tracebacks else None
        return f"{line}\n{shown}" if shown else line


class _JsonFormatter(logging.Formatter):
    def __init__(self, *, shows_tracebacks: bool) -> None:
        super().__init__()
        self._shows_tracebacks = shows_tracebacks

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, LOG_FIELDS, {})
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **fields,
        }
        if self._shows_tracebacks and (shown := _traceback(record)):
            line["traceback"] = shown
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    """The message on one line, with what the error was, if there was one."""
    error = record.exc_info[1] if record.exc_info else None
    text = record.getMessage()
    return " ".join((f"{text}: {_told(error)}" if error else text).splitlines())


def _told(error: BaseException) -> str:
    """`ValueError: no such thing (at turn.py:12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {PurePath(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _traceback(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    return "".join(traceback.format_exception(error)).rstrip() if error else None
