"""The emulated account: RunPod's REST v2 and GraphQL, as strict as its schema."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.support.deploying import KEY, RunPod
from tests.support.emulation import emulation, eventually

ENDPOINT: dict[str, Any] = {
    "name": "mine",
    "image": "me/worker:1",
    "type": "QUEUE",
    "gpu": {"pools": ["ADA_24"], "minCudaVersion": "13.0"},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "workers": {"min": 1, "max": 5, "idleTimeout": 60},
}
LOAD_BALANCER = ENDPOINT | {
    "type": "LOAD_BALANCER",
    "scaling": {"type": "REQUEST_COUNT", "requestCount": 8},
}
POD: dict[str, Any] = {"name": "mine", "image": "me/worker:1", "gpu": {"id": "NVIDIA L4"}}


@pytest.fixture(scope="module")
def account() -> Iterator[RunPod]:
    """An account with one key, without workers."""
    with (
        emulation(EMULATOR_ACCOUNT_KEY=KEY) as plane,
        closing(RunPod(plane.url)) as runpod,
    ):
        yield runpod


@pytest.fixture
def runpod(account: RunPod) -> RunPod:
    """The account, empty and without faults."""
    account.clear()
    return account


def created(runpod: RunPod, path: str, body: Any) -> dict[str, Any]:
    response = runpod.ask("POST", path, body)
    assert response.status_code == 201, response.text
    return response.json()


def test_an_endpoint_is_created_read_listed_and_deleted(runpod: RunPod) -> None:
    """With RunPod's defaults for what was not asked for."""
    endpoint = created(runpod, "/v2/serverless", ENDPOINT)
    assert (endpoint["flashboot"], endpoint["timeout"]) == ("OFF", 300_000)
    path = f"/v2/serverless/{endpoint['id']}"
    assert runpod.ask("GET", path).json() == endpoint
    assert runpod.ask("GET", "/v2/serverless").json() == {"endpoints": [endpoint]}
    assert runpod.ask("DELETE", path).status_code == 204
    assert runpod.ask("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/serverless", {key: ENDPOINT[key] for key in ("name", "image", "type", "gpu")}, 422),
        ("/v2/serverless", ENDPOINT | {"gpuIds": "ADA_24"}, 422),  # REST v1's
        ("/v2/serverless", ENDPOINT | {"scaling": {"type": "QUEUE_DELAY", "requestCount": 4}}, 422),
        ("/v2/serverless", LOAD_BALANCER | {"scaling": ENDPOINT["scaling"]}, 422),
        ("/v2/serverless", ENDPOINT | {"gpu": {"pools": []}}, 422),
        ("/v2/serverless", ENDPOINT | {"gpu": {"pools": ["ADA_23"]}}, 400),
        ("/v2/serverless", ENDPOINT | {"gpu": {"pools": ["ADA_24"], "minCudaVersion": "13"}}, 422),
        ("/v2/serverless", ENDPOINT | {"workers": {"idleTimeout": 3601}}, 422),
        ("/v2/serverless", ENDPOINT | {"env": {"PORT": 8000}}, 422),
        ("/v2/pods", POD | {"gpu": {"pools": ["ADA_24"]}}, 422),
        ("/v2/pods", POD | {"image": ""}, 422),
    ],
)
def test_what_the_schema_does_not_have_is_refused(
    path: str, body: Any, status: int, runpod: RunPod
) -> None:
    """With an RFC 9457 object."""
    response = runpod.ask("POST", path, body)
    assert response.status_code == status
    assert set(response.json()) == {"title", "status", "detail"}


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_answered(key: str, runpod: RunPod) -> None:
    """Neither REST nor GraphQL."""
    for method, path in (("GET", "/v2/pods"), ("POST", "/v2/serverless"), ("POST", "/graphql")):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        response = httpx.request(method, runpod.url + path, headers=headers)
        assert response.status_code == 401


def test_save_endpoint_resets_what_it_is_not_sent(runpod: RunPod) -> None:
    """GraphQL replaces an endpoint as a whole."""
    endpoint = created(runpod, "/v2/serverless", ENDPOINT)
    given = {"id": endpoint["id"], "name": "mine", "gpuIds": "ADA_24", "modelReferences": ["a"]}
    query = "mutation($input: EndpointInput!) { saveEndpoint(input: $input) { id } }"
    body = {"query": query, "variables": {"input": given}}
    saved = runpod.ask("POST", "/graphql", body).json()["data"]["saveEndpoint"]
    assert (saved["modelReferences"], saved["workersMin"], saved["workersMax"]) == (["a"], 0, 3)


def test_graphql_has_its_errors_in_a_successful_response(runpod: RunPod) -> None:
    """As with an endpoint that does not exist."""
    query = "mutation($input: EndpointInput!) { saveEndpoint(input: $input) { id } }"
    body = {"query": query, "variables": {"input": {"id": "none", "name": "x", "gpuIds": "A"}}}
    response = runpod.ask("POST", "/graphql", body)
    assert (response.status_code, response.json()["data"]) == (200, None)
    assert "does not exist" in response.json()["errors"][0]["message"]


def test_a_pod_gets_its_address_once_it_runs(runpod: RunPod) -> None:
    """Before that, it has no runtime."""
    pod = created(runpod, "/v2/pods", POD | {"ports": ["8000/tcp"]})
    assert (pod["status"], pod["runtime"]) == ("PROVISIONING", None)
    path = f"/v2/pods/{pod['id']}"

    def ports() -> Any:
        runtime = runpod.ask("GET", path).json()["runtime"]
        return runtime and runtime["ports"]

    (port,) = eventually(ports)
    assert (port["private"], port["type"], port["ip"]) == (8000, "tcp", "127.0.0.1")


def test_without_capacity_a_pod_is_refused_and_workers_wait(runpod: RunPod) -> None:
    """The catalog says so beforehand."""
    endpoint = created(runpod, "/v2/serverless", ENDPOINT)
    runpod.set_faults(no_capacity=True)
    assert runpod.ask("POST", "/v2/pods", POD).status_code == 409
    gpus = runpod.ask("GET", "/v2/catalog/gpus").json()["gpus"]
    assert {gpu["availability"] for gpu in gpus} == {"NONE"}
    workers = runpod.ask("GET", f"/v2/serverless/{endpoint['id']}/workers").json()
    assert workers["summary"]["throttled"] == 1
