"""RunPod's API for an account: REST v2 and GraphQL, for whoever deploys an endpoint or a pod.

`/v2/catalog/gpus`, `/v2/serverless`, `/v2/serverless/{id}` and its `/workers`, `/v2/pods`,
`/v2/pods/{id}`, `/graphql`. What was created answers OpenAI's routes: an endpoint with a queue
under `/v2/demo`, one with a load balancer under `/lb/{id}`, and a pod under `/v1` of the emulator's
own port, if asked with the pod's API_KEY. `GET /account` shows all that was created, and
`PUT /account/faults` sets what is to go wrong.

Rule: errors are RFC 9457 objects, as REST v2 sends them; GraphQL has `errors`, with status 200.
"""

from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator import gateway, views
from emulator.account import (
    CATALOG,
    Account,
    AccountFaults,
    GpuType,
    Object,
    Operation,
    Problem,
    saved_fields,
)
from emulator.app_state import app_state
from emulator.web import HangUp, parse_object, read, reply

BODY_LIMIT = 1_000_000
Handler = Callable[[Request, Account], Awaitable[Response]]


def _for(operation: Operation, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler that is reached with the account's key only, and unless a fault refuses it."""

    async def guarded(request: Request) -> Response:
        account = app_state(request).account
        try:
            account.authorize(_bearer(request))
            account.attempt(operation)
            response = await handler(request, account)
            return HangUp() if operation.value in account.faults.lose_reply else response
        except Problem as problem:
            content = {"title": "Error", "status": problem.status, "detail": problem.detail}
            return reply(content, problem.status)

    return guarded


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" else ""


async def catalog(_request: Request, account: Account) -> Response:
    return reply({"gpus": [_gpu(gpu, account) for gpu in CATALOG]})


def _gpu(gpu: GpuType, account: Account) -> Object:
    return {
        "id": gpu.id,
        "name": gpu.name,
        "pool": gpu.pool,
        "manufacturer": "NVIDIA",
        "memory": gpu.memory,
        "secure": True,
        "community": False,
        "price": {"secure": gpu.secure, "community": 0, "serverless": gpu.serverless},
        "maxCount": {"secure": 8, "community": 0},
        "availability": "NONE" if account.faults.no_capacity else "HIGH",
    }


async def create_endpoint(request: Request, account: Account) -> Response:
    body = parse_object(await read(request, BODY_LIMIT))
    return reply(_endpoint(request, account.create_endpoint(body)), 201)


async def get_endpoint(request: Request, account: Account) -> Response:
    return reply(_endpoint(request, account.endpoint(request.path_params["id"])))


async def list_endpoints(request: Request, account: Account) -> Response:
    return reply({"endpoints": [_endpoint(request, each) for each in account.endpoints.values()]})


async def delete_endpoint(request: Request, account: Account) -> Response:
    del account.endpoints[account.endpoint(request.path_params["id"])["id"]]
    return Response(status_code=204)


def _endpoint(request: Request, endpoint: Object) -> Object:
    """An endpoint as REST reads it: with the URLs for requests, without the cached models."""
    base = str(request.base_url).rstrip("/")
    if endpoint["type"] == "LOAD_BALANCER":
        urls = {"base": f"{base}/lb/{endpoint['id']}", "health": f"{base}/lb/{endpoint['id']}/ping"}
    else:
        queue = f"{base}/v2/{app_state(request).endpoint.name}"
        urls = {"run": f"{queue}/run", "runSync": f"{queue}/runsync", "health": f"{queue}/health"}
        urls |= {"status": f"{queue}/status/{{job_id}}", "cancel": f"{queue}/cancel/{{job_id}}"}
    shown = {key: value for key, value in endpoint.items() if key != "modelReferences"}
    return {**shown, "requestUrls": urls}


async def endpoint_workers(request: Request, account: Account) -> Response:
    """The emulator's own workers, whatever the endpoint; none has a GPU if there is no capacity."""
    account.endpoint(request.path_params["id"])
    counts = views.health(app_state(request).endpoint)["workers"]
    del counts["ready"]
    if account.faults.no_capacity:
        counts = dict.fromkeys(counts, 0) | {"throttled": 1}
    return reply({"workers": [], "summary": {**counts, "total": sum(counts.values())}})


async def create_pod(request: Request, account: Account) -> Response:
    body = parse_object(await read(request, BODY_LIMIT))
    return reply(_pod(request, account, account.create_pod(body)), 201)


async def get_pod(request: Request, account: Account) -> Response:
    return reply(_pod(request, account, account.pod(request.path_params["id"])))


async def list_pods(request: Request, account: Account) -> Response:
    return reply({"pods": [_pod(request, account, each) for each in account.pods.values()]})


async def delete_pod(request: Request, account: Account) -> Response:
    del account.pods[account.pod(request.path_params["id"])["id"]]
    return Response(status_code=204)


def _pod(request: Request, account: Account, pod: Object) -> Object:
    """A pod as REST reads it. Its ports have public addresses once it is running."""
    status = account.pod_status(pod)
    address = {"ip": request.url.hostname, "public": request.url.port, "type": "tcp"}
    ports = [{"private": int(port.partition("/")[0]), **address} for port in pod["ports"]]
    return {**pod, "status": status, "runtime": {"ports": ports} if status == "RUNNING" else None}


async def graphql(request: Request, account: Account) -> Response:
    """The two operations that cached models need: reading endpoints, and saving one."""
    body = parse_object(await read(request, BODY_LIMIT))
    try:
        if "saveEndpoint" in str(body.get("query")):
            account.attempt(Operation.SAVE)
            saved = account.save_endpoint(body["variables"]["input"])
            return reply({"data": {"saveEndpoint": saved_fields(saved)}})
        endpoints = [saved_fields(each) for each in account.endpoints.values()]
        return reply({"data": {"myself": {"endpoints": endpoints}}})
    except (Problem, KeyError) as error:
        return reply({"errors": [{"message": str(error)}], "data": None})


async def load_balanced(request: Request) -> Response:
    """What a load balancer forwards: it checks the account's key itself."""
    account = app_state(request).account
    try:
        account.authorize(_bearer(request))
        account.endpoint(request.path_params["id"])
    except Problem as problem:
        raise HTTPException(problem.status, problem.detail) from problem
    return await gateway.answer(request)


async def pod_port(request: Request) -> Response:
    """What is behind the pods' port 8000: guarded by their API_KEY."""
    keys = {pod["env"].get("API_KEY") for pod in app_state(request).account.pods.values()}
    if _bearer(request) not in keys:
        raise HTTPException(401, "Incorrect API key provided.")
    return await gateway.answer(request)


async def overview(request: Request) -> Response:
    """All that there is, and the bodies of all creating requests."""
    account = app_state(request).account
    present = {"endpoints": list(account.endpoints.values()), "pods": list(account.pods.values())}
    return reply({**present, "created": account.created})


async def faults(request: Request) -> Response:
    """Replaces all faults of the account."""
    try:
        chosen = AccountFaults.model_validate_json(await read(request, BODY_LIMIT))
    except ValidationError as error:
        raise HTTPException(400, str(error)) from error
    app_state(request).account.faults = chosen
    return reply(chosen.model_dump())


def _route(path: str, method: str, operation: Operation, handler: Handler) -> Route:
    return Route(path, _for(operation, handler), methods=[method])


ROUTES = [
    _route("/v2/catalog/gpus", "GET", Operation.CATALOG, catalog),
    _route("/v2/serverless", "POST", Operation.CREATE, create_endpoint),
    _route("/v2/serverless", "GET", Operation.READ, list_endpoints),
    _route("/v2/serverless/{id}", "GET", Operation.READ, get_endpoint),
    _route("/v2/serverless/{id}", "DELETE", Operation.DELETE, delete_endpoint),
    _route("/v2/serverless/{id}/workers", "GET", Operation.READ, endpoint_workers),
    _route("/v2/pods", "POST", Operation.CREATE, create_pod),
    _route("/v2/pods", "GET", Operation.READ, list_pods),
    _route("/v2/pods/{id}", "GET", Operation.READ, get_pod),
    _route("/v2/pods/{id}", "DELETE", Operation.DELETE, delete_pod),
    _route("/graphql", "POST", Operation.READ, graphql),
    Route("/lb/{id}/v1/{route:path}", load_balanced, methods=["GET", "POST"]),
    Route("/v1/{route:path}", pod_port, methods=["GET", "POST"]),
    Route("/account", overview),
    Route("/account/faults", faults, methods=["PUT"]),
]
