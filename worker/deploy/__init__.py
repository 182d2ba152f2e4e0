"""One command that puts gpt-oss on RunPod, `python -m worker.deploy 20b`, and one to delete it.

 1. `plan.py` decides everything beforehand, without a key or a network: where it runs, on which
    GPUs, with which settings, and whether the model fits on all of them.
 2. `__main__.py` shows the plan with its price, and asks.
 3. `deployment.py` creates it through `runpod_api.py`. What was created is either finished, taken
    away again, or named.
 4. `readiness.py` asks for the list of models until the worker answers. On an endpoint without
    workers, this first request is also what starts one.

Whoever deploys needs neither SGLang nor a GPU, only pydantic-settings and httpx. Nothing else in
the worker knows this package.
"""


class DeployError(Exception):
    """Why nothing, or not everything, was deployed. The message is one line for a person."""
