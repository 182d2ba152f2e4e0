"""An account on RunPod: its endpoints and pods, as REST v2 and GraphQL create and delete them.

Rules: no I/O; the clock is injected. Requests are checked against RunPod's schema, and nothing else
is accepted. An endpoint that is created is served by the emulator's own workers, a pod by the
emulator's own address, so that whoever deploys one can wait for its first answer.
`saveEndpoint` replaces an endpoint as a whole: a field that it does not send is reset.
Source: https://api.runpod.io/v2/openapi.json; for GraphQL, internal/api/endpoints.go of
runpod/runpodctl
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from emulator.clock import Clock, now

Object = dict[str, Any]
T = TypeVar("T", bound=BaseModel)
POD_BOOT_S = 1.0
"""How long a pod takes to start."""

CudaVersion = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Name = Annotated[str, StringConstraints(min_length=1)]


class Problem(Exception):
    """A request that RunPod refuses: the status, and the detail of the RFC 9457 object."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _EndpointGpu(_Body):
    pools: Annotated[list[str], Field(min_length=1)]
    count: Annotated[int, Field(ge=1)] = 1
    minCudaVersion: CudaVersion | None = None


class _Workers(_Body):
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] = 3
    idleTimeout: Annotated[int, Field(ge=1, le=3600)] = 10


class _QueueDelay(_Body):
    type: Literal["QUEUE_DELAY"]
    queueDelay: Annotated[float, Field(ge=0.5)]


class _RequestCount(_Body):
    type: Literal["REQUEST_COUNT"]
    requestCount: Annotated[int, Field(ge=1)]


class _Container(_Body):
    name: Name
    image: Name
    disk: Annotated[int, Field(ge=1)] = 50
    ports: list[str] = []
    env: dict[str, str] = {}


class _Endpoint(_Container):
    type: Literal["QUEUE", "LOAD_BALANCER"]
    gpu: _EndpointGpu
    scaling: Annotated[_QueueDelay | _RequestCount, Field(discriminator="type")]
    workers: _Workers = _Workers()
    flashboot: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] = "OFF"
    timeout: int = 300_000


class _PodGpu(_Body):
    id: str
    count: Annotated[int, Field(ge=1)] = 1
    minCudaVersion: CudaVersion | None = None


class _Pod(_Container):
    gpu: _PodGpu
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    startSsh: bool = False


class Operation(Enum):
    """What a request does, for faults."""

    CATALOG = "catalog"
    CREATE = "create"
    READ = "read"
    SAVE = "save"
    DELETE = "delete"


OperationName = Literal["catalog", "create", "read", "save", "delete"]


class Refusal(_Body):
    """A request that is refused instead of carried out."""

    status: Annotated[int, Field(ge=400, le=599)]
    detail: str


class AccountFaults(_Body):
    """What can go wrong, as `PUT /account/faults` takes it. By default, nothing.

    `refuse`: by operation. `lose_reply`: operations that take effect, but are not answered.
    `no_capacity`: no GPU is free. `pods_fail`: pods end in ERROR.
    """

    refuse: dict[OperationName, Refusal] = {}
    lose_reply: list[OperationName] = []
    no_capacity: bool = False
    pods_fail: bool = False


@dataclass(frozen=True, slots=True)
class GpuType:
    """A GPU in the catalog. `secure`, `serverless`: dollars an hour."""

    id: str
    name: str
    pool: str
    memory: int
    secure: float
    serverless: float


CATALOG = (
    GpuType("NVIDIA L4", "L4", "AMPERE_24", 24, 0.39, 0.69),
    GpuType("NVIDIA RTX A5000", "RTX A5000", "AMPERE_24", 24, 0.27, 0.69),
    GpuType("NVIDIA GeForce RTX 4090", "RTX 4090", "ADA_24", 24, 0.69, 1.12),
    GpuType("NVIDIA A100-SXM4-80GB", "A100 SXM", "AMPERE_80", 80, 1.49, 2.74),
    GpuType("NVIDIA H100 80GB HBM3", "H100 SXM", "ADA_80_PRO", 80, 2.99, 4.18),
    GpuType("NVIDIA H200", "H200 SXM", "HOPPER_141", 141, 3.99, 5.58),
)


@dataclass
class Account:
    """The state of one account. `key`: its API key; without one, any key is accepted."""

    key: str = ""
    clock: Clock = now
    endpoints: dict[str, Object] = field(default_factory=dict[str, Object])
    pods: dict[str, Object] = field(default_factory=dict[str, Object])
    faults: AccountFaults = field(default_factory=AccountFaults)
    created: list[Object] = field(default_factory=list[Object])
    """The bodies of all creating requests, as they came."""

    def authorize(self, key: str) -> None:
        """Raises a Problem if it is not the account's key."""
        if not key:
            raise Problem(401, "missing bearer token")
        if self.key and key != self.key:
            raise Problem(401, "invalid bearer token")

    def attempt(self, operation: Operation) -> None:
        """Raises the Problem that a fault has for this operation."""
        if refusal := self.faults.refuse.get(operation.value):
            raise Problem(refusal.status, refusal.detail)

    def create_endpoint(self, body: Mapping[str, Any]) -> Object:
        given = _checked(_Endpoint, body)
        if given.type == "LOAD_BALANCER" and given.scaling.type != "REQUEST_COUNT":
            raise Problem(422, "scaling: load-balancing endpoints scale on REQUEST_COUNT")
        unknown = set(given.gpu.pools) - {gpu.pool for gpu in CATALOG} - _OTHER_POOLS
        if unknown:
            raise Problem(400, f"unknown GPU pool: {', '.join(sorted(unknown))}")
        self.created.append(dict(body))
        id_ = f"ep{uuid.uuid4().hex[:12]}"
        self.endpoints[id_] = {"id": id_, **given.model_dump(), "modelReferences": []}
        return self.endpoints[id_]

    def create_pod(self, body: Mapping[str, Any]) -> Object:
        given = _checked(_Pod, body)
        if self.faults.no_capacity:
            raise Problem(409, "There are no longer any instances available with this GPU type.")
        self.created.append(dict(body))
        id_ = f"pod{uuid.uuid4().hex[:12]}"
        self.pods[id_] = {"id": id_, **given.model_dump(), "createdAt": self.clock().monotonic}
        return self.pods[id_]

    def save_endpoint(self, given: Mapping[str, Any]) -> Object:
        """GraphQL's `saveEndpoint` of an endpoint that exists."""
        found = self.endpoint(str(given.get("id")))
        scaling_value = given.get("scalerValue", 4)
        is_delay = given.get("scalerType", "QUEUE_DELAY") == "QUEUE_DELAY"
        found |= {
            "name": given["name"],
            "gpu": {
                "pools": str(given["gpuIds"]).split(","),
                "count": given.get("gpuCount", 1),
                "minCudaVersion": given.get("minCudaVersion"),
            },
            "workers": {
                "min": given.get("workersMin", 0),
                "max": given.get("workersMax", 3),
                "idleTimeout": given.get("idleTimeout", 5),
            },
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": scaling_value}
            if is_delay
            else {"type": "REQUEST_COUNT", "requestCount": scaling_value},
            "timeout": given.get("executionTimeoutMs", 600_000),
            "flashboot": given.get("flashBootType", "OFF"),
            "modelReferences": given.get("modelReferences", []),
        }
        return found

    def endpoint(self, id_: str) -> Object:
        """Raises a Problem if there is none."""
        return _found(self.endpoints, id_, "endpoint")

    def pod(self, id_: str) -> Object:
        """Raises a Problem if there is none."""
        return _found(self.pods, id_, "pod")

    def pod_status(self, pod: Mapping[str, Any]) -> str:
        if self.clock().monotonic - pod["createdAt"] < POD_BOOT_S:
            return "PROVISIONING"
        return "ERROR" if self.faults.pods_fail else "RUNNING"


_OTHER_POOLS = {
    "AMPERE_16", "ADA_32_PRO", "AMPERE_48", "ADA_48_PRO", "BLACKWELL_96", "BLACKWELL_180",
}  # fmt: skip


def saved_fields(endpoint: Mapping[str, Any]) -> Object:
    """An endpoint as GraphQL reads it."""
    scaling, gpu, workers = endpoint["scaling"], endpoint["gpu"], endpoint["workers"]
    return {
        "id": endpoint["id"],
        "name": endpoint["name"],
        "type": endpoint["type"],
        "templateId": f"template-{endpoint['id']}",
        "gpuIds": ",".join(gpu["pools"]),
        "gpuCount": gpu["count"],
        "minCudaVersion": gpu["minCudaVersion"],
        "workersMin": workers["min"],
        "workersMax": workers["max"],
        "idleTimeout": workers["idleTimeout"],
        "scalerType": scaling["type"],
        "scalerValue": scaling.get("queueDelay") or scaling.get("requestCount"),
        "executionTimeoutMs": endpoint["timeout"],
        "flashBootType": endpoint["flashboot"],
        "modelReferences": endpoint["modelReferences"],
        "locations": None,
        "networkVolumeId": None,
    }


def _found(among: Mapping[str, Object], id_: str, kind: str) -> Object:
    if id_ not in among:
        raise Problem(404, f"The requested {kind} does not exist.")
    return among[id_]


def _checked(schema: type[T], body: Mapping[str, Any]) -> T:
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Problem(422, f"Request validation failed: {where}: {first['msg']}") from None
