"""The worker's log lines: on standard error, apart from SGLang's and the SDK's.

Rule: standard output belongs to results. SGLang sets up the root logger when it boots, for all of
the process, so the worker's loggers have a handler of their own.
"""

import logging
import sys


def configure(level: int) -> None:
    """Has every logger below `worker` write to standard error from `level` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("worker")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
