"""Entry point of the RunPod queue worker and of local test runs.

If RUNPOD_WEBHOOK_GET_JOB is set, runs as a queue worker. Otherwise runs the job in
`./test_input.json`, or in `--test_input '{…}'`, and exits 0 only if the job completed.
`--rp_serve_api` serves the SDK's own test API; the other `--rp_` flags are the SDK's too.

Everything is behind the `__main__` guard below, because the engine's child processes import this
file again.
"""

import os
import sys
from argparse import Namespace

from worker.command import CommandParser, require_packages, run

# The SDK reads these when it is imported. At its default level it logs every yield, and its GPU
# checks would compete with the running engine for memory.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
os.environ.setdefault("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "true")
os.environ.setdefault("RUNPOD_SKIP_GPU_CHECK", "true")


def main() -> int:
    """Returns the exit status: 0 if the job completed or a stop was requested, 1 on a failure, 2 on
    a wrong setting. The SDK ends a queue worker that fails a check with 1."""
    arguments = _parser().parse_args()
    require_packages()
    from worker.settings import SettingsError

    try:
        return _run(arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _run(arguments: Namespace) -> int:
    """Raises SettingsError."""
    from worker import logs, settings
    from worker.boot import preflight
    from worker.engine import SglangEngine, server_args
    from worker.machine import installed_gpus
    from worker.model import resolve
    from worker.service import Service

    chosen = settings.load()
    logs.configure(chosen.log_level_number, chosen.log_format)
    model = resolve(chosen, installed_gpus(chosen.cuda_visible_devices))
    engine = SglangEngine(server_args(chosen, model), direct=chosen.direct_output)
    service = Service(engine, model, chosen)
    as_api = arguments.rp_serve_api or chosen.runpod_realtime_port > 0
    if chosen.runpod_webhook_get_job and arguments.test_input is None and not as_api:
        from worker.entrypoints import queue

        return queue.run(service, chosen)
    preflight(chosen, model)
    if as_api:
        from worker.entrypoints import queue

        return queue.serve_api(service, chosen)
    from worker.entrypoints import local

    as_text = sys.stdout.isatty() and not arguments.json
    return 0 if local.run(service, chosen, arguments.test_input, as_text=as_text) else 1


def _parser() -> CommandParser:
    """Has the SDK's flags, which the SDK reads again from the command line."""
    parser = CommandParser("handler.py", __doc__)
    parser.add_argument("--test_input", metavar="JSON", help="a job as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON on a terminal too")
    parser.add_argument("--rp_serve_api", action="store_true", help="serve the SDK's test API")
    parser.add_argument("--rp_api_host", metavar="HOST", help="of the test API (localhost)")
    parser.add_argument("--rp_api_port", type=int, metavar="PORT", help="of the test API (8000)")
    parser.add_argument("--rp_api_concurrency", type=int, metavar="N", help="workers of the API")
    parser.add_argument("--rp_log_level", metavar="LEVEL", help="the SDK's log level")
    parser.add_argument("--rp_debugger", action="store_true", help="the SDK's debugger")
    return parser


if __name__ == "__main__":
    run(main)
