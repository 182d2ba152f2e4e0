"""A RunPod control plane on loopback: what the platform does between a client and a worker.

The life of a job:

1. A client submits it (`client_api.py`, or `gateway.py` for OpenAI's clients).
2. It waits in the queue of `endpoint.py` until a worker's long poll takes it (`worker_api.py`).
3. The worker POSTs chunks, and then the result; clients that wait are woken (`bells.py`).
4. A worker that dies gives its jobs back to the queue; a job that takes too long is stopped.
5. The result is kept for a while, and POSTed to the job's webhook.

Rule: the worker never imports this package, and this package never imports the worker. They meet
on HTTP, through RunPod's own SDK.
"""
