"""What is to be deployed, decided before anything is asked of RunPod.

Rules: a plan is refused unless the model fits on every GPU that RunPod may choose, by the same
formula and the same settings as in the worker. Settings are checked here as the worker would check
them. A serverless endpoint takes whole pools of GPUs, a pod takes one kind of GPU.
Source of the bodies: https://api.runpod.io/v2/openapi.json (CreateEndpointRequest,
CreatePodRequest). REST v1 was retired on 2026-11-15.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from worker import settings
from worker.deploy import DeployError
from worker.deploy.prices import PER_HOUR
from worker.model.fit import MODEL_SIZES
from worker.model.gpus import GPUS, Gpu, UnknownGpu, gpu_named
from worker.model.verdict import Verdict, demand_of, judge
from worker.settings import Settings, SettingsError

CUDA = "13.0"
"""What the image needs of the driver."""
PORT = 8000
PLACEHOLDER = "YOUR_REGISTRY"

QUEUE_DELAY_S = 4
"""Another worker starts once a job has waited this long."""
REQUESTS_PER_WORKER = 32
"""Another worker starts beyond this many requests: half of what a worker runs at once, so that the
new one is ready before the others are full."""
EXECUTION_TIMEOUT_MS = 30 * 60 * 1000
"""For a job on a queue: the longest answers of gpt-oss take some twenty minutes."""
INIT_TIMEOUT_S = 1800
"""RunPod calls a worker unhealthy after 7 minutes, less than a first boot with a download takes."""


class Target(Enum):
    """Where it runs."""

    QUEUE = "queue"
    LOAD_BALANCER = "lb"
    POD = "pod"

    @property
    def noun(self) -> str:
        return "pod" if self is Target.POD else "endpoint"


@dataclass(frozen=True, slots=True)
class Preset:
    """The defaults of a model. `disk_gb`: the weights, and as much again for caches and logs."""

    model: str
    pools: tuple[str, ...]
    pod_gpu: str
    disk_gb: int


PRESETS = {
    "20b": Preset("openai/gpt-oss-20b", ("ADA_24", "AMPERE_24"), "RTX 4090", 40),
    "120b": Preset("openai/gpt-oss-120b", ("ADA_80_PRO", "AMPERE_80"), "H100 80GB", 100),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for. None: the default. `gpu`: names or pools, comma-separated."""

    preset: str
    target: Target
    image: str
    gpu: str | None = None
    gpu_count: int = 1
    name: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    min_workers: int = 0
    max_workers: int = 3
    idle_timeout_s: int = 120
    disk_gb: int | None = None
    cached_model: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be sent to RunPod, and what is to be known about it.

    `body`: the request that creates it. `model_references`: what RunPod is to have on its hosts.
    `gpus`: which may be chosen. `verdict`: of the one with the least room. `pods_key`: the API_KEY
    that was made up for a pod; empty if there is none.
    """

    target: Target
    body: Mapping[str, Any]
    model_references: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    verdict: Verdict
    settings: Settings
    pods_key: str = ""

    @property
    def name(self) -> str:
        return self.body["name"]

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(gpu.pool for gpu in self.gpus))

    @property
    def shown_body(self) -> Mapping[str, Any]:
        """The body without secrets. (A reference to one of RunPod's secrets is none.)"""
        return {**self.body, "env": {k: _shown(k, v) for k, v in self.body["env"].items()}}


def make_plan(order: Order) -> Plan:
    """Raises DeployError if anything about the order is wrong."""
    preset = PRESETS[order.preset]
    _check(order)
    variables = {"MODEL": preset.model, **order.variables}
    pods_key = ""
    if order.target is Target.POD and not variables.get("API_KEY"):
        pods_key = variables["API_KEY"] = secrets.token_urlsafe(24)
    chosen = _settings(order, variables)
    gpus = _gpus(order, preset)
    verdict = _least_room(chosen, order, gpus)
    cached = order.cached_model and order.target is not Target.POD
    return Plan(
        target=order.target,
        body=_pod(order, preset, variables, gpus[0])
        if order.target is Target.POD
        else _endpoint(order, preset, variables, gpus),
        model_references=(_reference(chosen),) if cached and "/" in chosen.model else (),
        gpus=gpus,
        verdict=verdict,
        settings=chosen,
        pods_key=pods_key,
    )


def _check(order: Order) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9][\w.:/@-]*", order.image) or "://" in order.image:
        raise DeployError(f"--image takes a Docker image, such as ghcr.io/me/x:1: {order.image!r}.")
    if order.min_workers > order.max_workers:
        raise DeployError(
            f"--min-workers {order.min_workers} is over --max-workers {order.max_workers}."
        )


def _settings(order: Order, variables: Mapping[str, str]) -> Settings:
    """The variables as the worker will read them."""
    if order.target is Target.LOAD_BALANCER and variables.get("API_KEY"):
        raise DeployError(
            "--env API_KEY: a load balancer checks RunPod's key in the same header: leave it unset."
        )
    try:
        return settings.read(variables)
    except SettingsError as error:
        raise DeployError(f"--env {error}") from None


def _gpus(order: Order, preset: Preset) -> tuple[Gpu, ...]:
    """All that RunPod may choose."""
    if order.target is Target.POD:
        return (_one_gpu(order.gpu or preset.pod_gpu),)
    asked = order.gpu.split(",") if order.gpu else preset.pools
    pools = dict.fromkeys(_pool(each.strip()) for each in asked)
    return tuple(gpu for pool in pools for gpu in GPUS if gpu.pool == pool)


def _one_gpu(name: str) -> Gpu:
    if name in _pools():
        of_pool = ", ".join(gpu.name for gpu in GPUS if gpu.pool == name)
        raise DeployError(f"A pod has one kind of GPU, and {name} is a pool of: {of_pool}.")
    try:
        return gpu_named(name)
    except UnknownGpu as error:
        raise DeployError(str(error)) from None


def _pool(name: str) -> str:
    if name.upper() in _pools():
        return name.upper()
    gpu = _one_gpu(name)
    if not gpu.pool:
        raise DeployError(f"{gpu.name} is in none of RunPod's serverless pools.")
    return gpu.pool


def _pools() -> set[str]:
    return {gpu.pool for gpu in GPUS} - {""}


def _least_room(chosen: Settings, order: Order, gpus: Sequence[Gpu]) -> Verdict:
    """The verdict of the GPU with the shortest context. Raises DeployError if one is too small."""
    size = next(size for size in MODEL_SIZES if size.name.endswith(f"-{order.preset}"))
    demand = demand_of(chosen, size, order.gpu_count)
    verdicts = [judge(demand, gpu, order.gpu_count) for gpu in gpus]
    for verdict in verdicts:
        if not verdict.fits:
            raise DeployError(verdict.refusals[0])
    return min(verdicts, key=lambda verdict: (verdict.context, verdict.kv_tokens))


def _reference(chosen: Settings) -> str:
    return f"https://huggingface.co/{chosen.model}:{chosen.model_revision or 'main'}"


def _container(order: Order, preset: Preset, variables: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": order.name or f"gpt-oss-{order.preset}",
        "image": order.image,
        "disk": order.disk_gb or preset.disk_gb,
        "env": dict(variables),
    }


def _endpoint(
    order: Order, preset: Preset, variables: Mapping[str, str], gpus: Sequence[Gpu]
) -> dict[str, Any]:
    """The body of POST /v2/serverless."""
    body = _container(order, preset, variables)
    body["env"].setdefault("RUNPOD_INIT_TIMEOUT", str(INIT_TIMEOUT_S))
    pools = list(dict.fromkeys(gpu.pool for gpu in gpus))
    body["gpu"] = {"pools": pools, "count": order.gpu_count, "minCudaVersion": CUDA}
    body["workers"] = {
        "min": order.min_workers,
        "max": order.max_workers,
        "idleTimeout": order.idle_timeout_s,
    }
    body["flashboot"] = "FLASHBOOT"
    if order.target is Target.QUEUE:
        scaling = {"type": "QUEUE_DELAY", "queueDelay": QUEUE_DELAY_S}
        return {**body, "type": "QUEUE", "scaling": scaling, "timeout": EXECUTION_TIMEOUT_MS}
    body["env"] |= {"PORT": str(PORT), "PORT_HEALTH": str(PORT)}
    scaling = {"type": "REQUEST_COUNT", "requestCount": REQUESTS_PER_WORKER}
    return {**body, "type": "LOAD_BALANCER", "scaling": scaling, "ports": [f"{PORT}/http"]}


def _pod(order: Order, preset: Preset, variables: Mapping[str, str], gpu: Gpu) -> dict[str, Any]:
    """The body of POST /v2/pods. Its ports are TCP: RunPod's HTTP proxy cuts long requests."""
    return {
        **_container(order, preset, variables),
        "gpu": {
            "id": next(name for name in gpu.other_names if re.match("NVIDIA|Tesla|AMD", name)),
            "count": order.gpu_count,
            "minCudaVersion": CUDA,
        },
        "cloud": "SECURE",
        "ports": [f"{PORT}/tcp", "22/tcp"],
        "startSsh": True,
    }


def _shown(name: str, value: str) -> str:
    is_secret = re.search("KEY|TOKEN|PASSWORD|SECRET", name.upper())
    return "***" if is_secret and "RUNPOD_SECRET_" not in value else value


def describe(plan: Plan, prices: Mapping[str, float] = PER_HOUR) -> Iterator[str]:
    """The plan as lines for a person. `prices`: dollars an hour, by pool, or by GPU for a pod."""
    body, gpu = plan.body, plan.body["gpu"]
    yield f"{plan.name}: {plan.settings.model} on {_WHERE[plan.target]}"
    yield f"  image     {body['image']}, {body['disk']} GB of disk, CUDA {CUDA} or newer"
    for names, key in _choices(plan):
        yield f"  GPU       {_times(gpu['count'])}{names}: {_price(prices.get(key), gpu['count'])}"
    yield (
        f"  context   {plan.verdict.context:,} tokens; the KV cache holds at least "
        f"{plan.verdict.kv_tokens:,} ({plan.verdict.gpu})"
    )
    if plan.target is not Target.POD:
        workers = body["workers"]
        yield (
            f"  workers   {workers['min']} to {workers['max']}, {_scaling(body['scaling'])}; "
            f"an idle one ends after {workers['idleTimeout']} s; FlashBoot on"
        )
        cached = " ".join(("cached on RunPod's hosts:", *plan.model_references))
        yield f"  model     {cached if plan.model_references else 'downloaded at its first start'}"
    else:
        yield "  ports     8000 and 22 as TCP, not encrypted: guarded by API_KEY, SSH by your keys"
    shown = plan.shown_body["env"].items()
    yield f"  settings  {' '.join(f'{name}={value}' for name, value in shown)}"
    yield from (f"  note      {note}" for note in plan.verdict.notes)


_WHERE = {
    Target.QUEUE: "a serverless endpoint with a queue",
    Target.LOAD_BALANCER: "a load-balancing serverless endpoint",
    Target.POD: "a pod",
}


def _choices(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each line of GPUs, with the key of its price."""
    if plan.target is Target.POD:
        yield plan.gpus[0].name, plan.body["gpu"]["id"]
        return
    for pool in plan.pools:
        names = " or ".join(gpu.name for gpu in plan.gpus if gpu.pool == pool)
        yield f"{pool} ({names})", pool


def _times(count: int) -> str:
    return "" if count == 1 else f"{count} x "


def _price(per_gpu: float | None, count: int) -> str:
    if per_gpu is None:
        return "see https://www.runpod.io/pricing"
    return f"${per_gpu * count:.2f} an hour while it runs"


def _scaling(scaling: Mapping[str, Any]) -> str:
    if scaling["type"] == "QUEUE_DELAY":
        return f"one more when a job has waited {scaling['queueDelay']} s"
    return f"one more beyond {scaling['requestCount']} requests each"
