"""Serves the HTTP API: `python -m worker.serve`, for pods and load-balancing endpoints.

Everything is behind the `__main__` guard below, because the engine's child processes import this
file again.
"""

import asyncio
import sys

from worker.command import CommandParser, require_packages, run


def main() -> int:
    """Returns the exit status: 0 on a requested stop, 1 on a failure, 2 on a wrong
    setting."""
    parser = CommandParser("python -m worker.serve", __doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on")  # noqa: S104
    arguments = parser.parse_args()
    require_packages()
    from worker.settings import SettingsError

    try:
        return _serve(arguments.host)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _serve(host: str) -> int:
    """Raises SettingsError."""
    import uvloop

    from worker import logs, settings
    from worker.boot import preflight
    from worker.engine import SglangEngine, server_args
    from worker.entrypoints.http.server import serve
    from worker.machine import installed_gpus
    from worker.model import resolve
    from worker.service import Service

    chosen = settings.load()
    logs.configure(chosen.log_level_number, chosen.log_format)
    model = resolve(chosen, installed_gpus(chosen.cuda_visible_devices))
    engine = SglangEngine(server_args(chosen, model), direct=chosen.direct_output)
    preflight(chosen, model)
    service = Service(engine, model, chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(service, chosen, host))


if __name__ == "__main__":
    run(main)
