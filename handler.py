"""Entry point of the RunPod queue worker and of local test runs.

If RUNPOD_WEBHOOK_GET_JOB is set, runs as a queue worker. Otherwise runs the job in
`./test_input.json`, or in `--test_input '{…}'`, and exits 0 only if the job completed.
`--rp_serve_api` serves the SDK's own test API. Everything is behind the `__main__` guard below,
because the engine's child processes import this file again.
"""

import argparse
import os
import sys

# The SDK reads these when it is imported. At its default level it logs every yield, and its GPU
# checks would compete with the running engine for memory.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
os.environ.setdefault("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "true")
os.environ.setdefault("RUNPOD_SKIP_GPU_CHECK", "true")


def main() -> int:
    """Runs the worker; returns the process exit status."""
    from worker import logs, settings
    from worker.engine import SglangEngine, server_args
    from worker.machine import installed_gpus
    from worker.model import resolve
    from worker.service import Service

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test_input", help="a job as JSON")
    parser.add_argument("--rp_serve_api", action="store_true", help="serve the SDK's test API")
    arguments, _ = parser.parse_known_args()
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
    as_api = arguments.rp_serve_api or chosen.runpod_realtime_port > 0
    if as_api or (chosen.runpod_webhook_get_job and arguments.test_input is None):
        from worker.entrypoints import queue

        return queue.serve_api(service, chosen) if as_api else queue.run(service, chosen)
    from worker.entrypoints import local

    return 0 if local.run(service, chosen, arguments.test_input) else 1


if __name__ == "__main__":
    sys.exit(main())
