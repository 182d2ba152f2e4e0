"""Whether what was deployed answers: each kind is asked for its models in its own way.

Rules: a look is one short request, and says in a few words what is being waited for. On an endpoint
without workers, the first one also starts a worker. A worker that cannot be reached is not an
error, since it may still be booting; one that has failed is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from worker.deploy import DeployError
from worker.deploy.plan import PORT, Plan, Target
from worker.deploy.runpod_api import RunPodApi

Look = Callable[[], str | None]
"""Returns what is being waited for, or None if the worker answers. Raises DeployError."""


class Queue:
    """An endpoint with a queue. The request is a job, which waits for a worker."""

    def __init__(self, api: RunPodApi, created: Mapping[str, Any]) -> None:
        self._api, self._id = api, created["id"]
        self._urls = created["requestUrls"]
        self._job = ""
        self.base_url = self._urls["run"].removesuffix("/run") + "/openai/v1"

    def look(self) -> str | None:
        if not self._job:
            job = {"input": {"openai_route": "/v1/models", "openai_input": {}}}
            self._job = (self._api.fetch("POST", self._urls["run"], job) or {}).get("id", "")
            return "submitting the first job"
        url = self._urls["status"].replace("{job_id}", self._job)
        status = self._api.fetch("GET", url) or {}
        match status.get("status"):
            case "COMPLETED":
                return None
            case "FAILED" | "CANCELLED" | "TIMED_OUT" as state:
                raise DeployError(f"The first job has {state}: {status.get('error', 'no reason')}")
            case _:
                return _workers(self._api, self._id)


class LoadBalancer:
    """An endpoint with a load balancer, which answers with an error while it has no worker."""

    def __init__(self, api: RunPodApi, created: Mapping[str, Any]) -> None:
        self._api, self._id = api, created["id"]
        self.base_url = created["requestUrls"]["base"].rstrip("/") + "/v1"

    def look(self) -> str | None:
        if self._api.fetch("GET", f"{self.base_url}/models") is not None:
            return None
        return _workers(self._api, self._id)


class Pod:
    """A pod, whose port has an address once its container runs."""

    def __init__(self, api: RunPodApi, created: Mapping[str, Any], key: str) -> None:
        self._api, self._id, self._key = api, created["id"], key
        self.base_url = ""

    def look(self) -> str | None:
        pod = self._api.get(Target.POD, self._id)
        status = pod.get("status")
        if status in ("EXITED", "ERROR", "TERMINATED"):
            raise DeployError(f"The pod has ended ({status}): its log says why.")
        ports = (pod.get("runtime") or {}).get("ports") or []
        found = next((each for each in ports if each.get("private") == PORT), None)
        if not found or not found.get("ip") or not found.get("public"):
            return f"the pod is {str(status).lower()}"
        self.base_url = f"http://{found['ip']}:{found['public']}/v1"
        return None if self._answers() else "the pod runs, the model is loading"

    def _answers(self) -> bool:
        """Without the account's key: this connection is not encrypted."""
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            response = httpx.get(f"{self.base_url}/models", headers=headers, timeout=20)
        except httpx.HTTPError:
            return False
        if response.status_code == 401:
            raise DeployError("The pod does not accept its API_KEY (401).")
        return response.status_code == 200


def waiting_for(
    plan: Plan, api: RunPodApi, created: Mapping[str, Any]
) -> Queue | LoadBalancer | Pod:
    """The way in which what was created is asked."""
    match plan.target:
        case Target.QUEUE:
            return Queue(api, created)
        case Target.LOAD_BALANCER:
            return LoadBalancer(api, created)
        case Target.POD:
            return Pod(api, created, plan.body["env"]["API_KEY"].partition(",")[0])


def _workers(api: RunPodApi, id_: str) -> str:
    """What the endpoint's workers are doing."""
    counts = api.worker_counts(id_)
    if counts.get("unhealthy"):
        return "a worker is unhealthy: its log says why"
    if counts.get("initializing"):
        return "a worker is starting: image, model, engine"
    if counts.get("throttled"):
        return "no GPU is free: the worker is waiting for one"
    if counts.get("running") or counts.get("idle"):
        return "a worker is ready"
    return "no worker yet"
