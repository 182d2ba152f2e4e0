#!/usr/bin/env bash
# The image's health check: whether the API answers /ping. A worker that still starts (204) is
# healthy. A queue worker has a port only if METRICS_PORT is set; without one it is healthy as long
# as it runs, and it ends itself when its engine dies.
set -euo pipefail

port=${PORT:-8000}
if [ -n "${RUNPOD_WEBHOOK_GET_JOB:-}" ]; then
    port=${METRICS_PORT:-}
    [ -n "$port" ] || exit 0
fi
exec curl -fsS -o /dev/null --max-time 4 "http://127.0.0.1:$port/ping"
