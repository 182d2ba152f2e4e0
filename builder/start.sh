#!/usr/bin/env bash
# The image's start command: RunPod's queue worker where there is a queue, else the HTTP API with,
# on a pod that has PUBLIC_KEY or SSH_PASSWORD, sshd beside it.
#
# Rules: nothing of this script is left when the worker runs. tini takes its place: it hands signals
# on to Python, which as a container's first process would not get those that it has no handler for
# yet, and reaps what SSH sessions leave behind. An sshd that does not start is said, and no more.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

if [ -n "${RUNPOD_WEBHOOK_GET_JOB:-}" ]; then
    command=(python3 -u handler.py)
else
    command=(python3 -m worker.serve)
    builder/sshd.sh || echo "sshd could not be started; the API starts without it" >&2
fi
unset SSH_PASSWORD
exec tini -s -- "${command[@]}"
