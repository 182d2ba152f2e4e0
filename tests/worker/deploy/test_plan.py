"""What is to be deployed, decided without a key or a network."""

from typing import Any

import pytest

from worker.deploy import DeployError
from worker.deploy.plan import Order, Target, describe, make_plan

IMAGE = "ghcr.io/me/gpt-oss-worker:0.1.0"


def order(preset: str = "20b", target: Target = Target.QUEUE, **changes: Any) -> Order:
    return Order(preset, target, IMAGE, **changes)


def test_a_queue_endpoint_scales_by_how_long_jobs_wait() -> None:
    """It has the time for the longest answers, and for a first start with a download."""
    body = make_plan(order()).body
    assert body["type"] == "QUEUE"
    assert body["scaling"] == {"type": "QUEUE_DELAY", "queueDelay": 4}
    assert body["timeout"] == 1_800_000
    assert body["env"] == {"MODEL": "openai/gpt-oss-20b", "RUNPOD_INIT_TIMEOUT": "1800"}
    assert body["gpu"] == {"pools": ["ADA_24", "AMPERE_24"], "count": 1, "minCudaVersion": "13.0"}


def test_a_load_balancer_gets_its_port_three_times() -> None:
    """As the worker's, as that of the health check, and as an exposed one."""
    body = make_plan(order(target=Target.LOAD_BALANCER)).body
    assert (body["env"]["PORT"], body["env"]["PORT_HEALTH"]) == ("8000", "8000")
    assert body["ports"] == ["8000/http"]


def test_a_gpu_stands_for_its_pool_and_the_smallest_in_it_decides() -> None:
    """RunPod chooses among a pool's GPUs: an endpoint for H100s may get an H100 NVL."""
    plan = make_plan(order("120b", gpu="H100"))
    assert plan.body["gpu"]["pools"] == ["ADA_80_PRO"]
    assert [gpu.name for gpu in plan.gpus] == ["H100 80GB", "H100 NVL"]
    assert (plan.verdict.gpu, plan.verdict.context) == ("H100 80GB", 131072)


def test_a_model_is_cached_on_hosts_at_its_revision() -> None:
    """A pod has no such thing."""
    plan = make_plan(order(variables={"MODEL_REVISION": "abc"}))
    assert plan.model_references == ("https://huggingface.co/openai/gpt-oss-20b:abc",)
    assert make_plan(order(target=Target.POD)).model_references == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpu": "AMPERE_16"}, "gpt-oss-20b does not fit on RTX A4000"),
        ({"gpu": "L40,RTX 9090"}, "Unknown GPU 'RTX 9090'"),
        ({"variables": {"MEM_FRACTION_STATIC": "2"}}, "--env MEM_FRACTION_STATIC must be"),
        ({"variables": {"ENGINE_ARGS": "{"}}, "--env ENGINE_ARGS must be"),
        ({"min_workers": 2, "max_workers": 1}, "--min-workers 2 is over --max-workers 1"),
    ],
)
def test_an_order_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    """Before anything is asked of RunPod."""
    with pytest.raises(DeployError) as refused:
        make_plan(order(**changes))
    assert str(refused.value).startswith(said)


def test_the_context_that_fits_makes_a_small_gpu_possible() -> None:
    """MAX_MODEL_LEN=auto, as the doctor proposes."""
    plan = make_plan(order(gpu="AMPERE_16", variables={"MAX_MODEL_LEN": "auto"}))
    assert 16_384 <= plan.verdict.context < 20_000


def test_what_is_set_on_this_machine_is_not_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the order has."""
    monkeypatch.setenv("MAX_MODEL_LEN", "1024")
    assert make_plan(order()).verdict.context == 131072


def test_the_description_has_price_context_and_scaling() -> None:
    """What one wants to know before money is spent."""
    told = "\n".join(describe(make_plan(order("120b"))))
    for part in ("ADA_80_PRO", "$4.18 an hour", "131,072 tokens", "0 to 3", "120 s", "CUDA 13.0"):
        assert part in told
