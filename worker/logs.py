"""Logging for the worker: to standard error, separate from SGLang's and the SDK's logs.

Standard output is reserved for results. SGLang configures the root logger when it starts, for the
whole process, so the worker's loggers have their own handler.
"""

import logging
import sys


def configure(level: int) -> None:
    """Makes all `worker.*` loggers write messages of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("worker")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
