#!/usr/bin/env bash
# The image's start command: the queue worker if RunPod has set up a queue; otherwise the HTTP API,
# plus sshd on a pod that has PUBLIC_KEY or SSH_PASSWORD.
#
# Rules: this script is replaced by tini, which forwards signals to Python and reaps the orphans of
# SSH sessions. As PID 1, Python would not get signals that it has no handler for yet. If sshd fails
# to start, or compiled kernels cannot be restored, that is only logged.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

if [ -n "${RUNPOD_WEBHOOK_GET_JOB:-}" ]; then
    command=(python3 -u handler.py)
else
    command=(python3 -m worker.serve)
    builder/sshd.sh || echo "sshd failed to start; starting the API without it" >&2
fi
unset SSH_PASSWORD
builder/caches.sh restore || echo "compiled kernels could not be restored" >&2
builder/caches.sh keep &
exec tini -s -- "${command[@]}"
