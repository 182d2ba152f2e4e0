"""An emulator of RunPod's serverless control plane, on loopback: it sits between client and worker.

The lifecycle of a job:

1. A client submits it (`client_api.py`, or `gateway.py` for OpenAI clients).
2. It waits in the queue of `endpoint.py` until a worker's long poll takes it (`worker_api.py`).
3. The worker POSTs chunks and then the result; waiting clients are woken (`notifier.py`).
4. If its worker dies, the job is requeued; a job that exceeds a timeout is stopped.
5. The result is retained for a while and POSTed to the job's webhook.

Rule: the worker never imports this package, and this package never imports the worker. They
communicate over HTTP only, through RunPod's own SDK.
"""

__version__ = "0.1.0"
