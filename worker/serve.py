"""Serves the HTTP API: `python -m worker.serve`, for pods and load-balancing endpoints.

Everything is behind the `__main__` guard below, because the engine's child processes import this
file again.
"""

import argparse
import asyncio
import sys


def main() -> int:
    """Returns the exit status: 0 on a requested stop, 1 on engine failure, 2 on a bad setting."""
    import uvloop

    from worker import logs, settings
    from worker.engine import SglangEngine, server_args
    from worker.entrypoints.http.server import serve
    from worker.machine import installed_gpus
    from worker.model import resolve
    from worker.service import Service

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on")  # noqa: S104
    arguments = parser.parse_args()
    try:
        chosen = settings.load()
        model = resolve(chosen, installed_gpus(chosen.cuda_visible_devices))
        arguments_of_sglang = server_args(chosen, model)
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure(chosen.log_level_number)
    engine = SglangEngine(arguments_of_sglang, direct=chosen.direct_output)
    service = Service(engine, model, chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(service, chosen, arguments.host))


if __name__ == "__main__":
    sys.exit(main())
