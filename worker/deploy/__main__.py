"""Puts gpt-oss on RunPod with one command, and deletes it again.

  python -m worker.deploy 20b                   a serverless endpoint with a queue
  python -m worker.deploy 120b --lb             one with a load balancer
  python -m worker.deploy 20b --pod             a pod
  python -m worker.deploy 120b --print          the request as JSON; needs no key, sends nothing
  python -m worker.deploy --delete NAME_OR_ID   takes an endpoint away; a pod with --pod

The key comes from RUNPOD_API_KEY and is never shown. The plan, questions and progress go to
standard error, results to standard output. The exit status is 0 if it answers, 1 if not, 2 for
wrong arguments, 130 after Ctrl-C before anything was created.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence

from worker import __version__
from worker.command import CommandParser, run
from worker.deploy import DeployError, deployment
from worker.deploy.plan import PLACEHOLDER, PRESETS, Order, Plan, Target, describe, make_plan
from worker.deploy.prices import PER_HOUR
from worker.deploy.runpod_api import RunPodAccount, RunPodApi

IMAGE = f"{PLACEHOLDER}/gpt-oss-worker:{__version__}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (asked.model is None) == (asked.delete is None):
        parser.error("say what to deploy (20b or 120b), or --delete NAME_OR_ID")
    try:
        if asked.delete is not None:
            return _delete(asked)
        plan = make_plan(_order(asked))
        if asked.print:
            _say("\n".join(describe(plan)))
            print(json.dumps(_as_json(plan), indent=2))
            return 0
        return _deploy(plan, asked)
    except DeployError as error:
        _say(str(error))
        return 1


def _delete(asked: argparse.Namespace) -> int:
    with RunPodApi(RunPodAccount()) as api:
        id_ = deployment.delete(asked.target, asked.delete, api)
    print(f"Deleted the {asked.target.noun} {id_}.")
    return 0


def _deploy(plan: Plan, asked: argparse.Namespace) -> int:
    with RunPodApi(RunPodAccount()) as api:
        if plan.body["image"].startswith(PLACEHOLDER):
            raise DeployError(
                "--image is missing: name the image that you built, or that a release of this "
                "project pushed, such as ghcr.io/OWNER/REPOSITORY:TAG."
            )
        deployment.check_name(plan, api)
        _say("\n".join(describe(plan, _prices(plan, api))))
        if not asked.yes and not _confirmed(plan):
            _say("Nothing was created.")
            return 1
        created = deployment.create(plan, api)
        _say(f"Created the {plan.target.noun} {created['id']}.")
        deployed = deployment.wait(plan, api, created, asked.timeout * 60, _Progress())
    print("\n".join(_how_to_use(plan, deployed)))
    return 0


def _prices(plan: Plan, api: RunPodApi) -> Mapping[str, float]:
    """Dollars an hour, by pool, or by GPU for a pod. Raises DeployError if nothing is free."""
    gpus = {gpu["id"]: gpu for gpu in api.gpus(plan.target)}
    if plan.target is Target.POD:
        chosen = [gpu for id_, gpu in gpus.items() if id_ == plan.body["gpu"]["id"]]
        prices = {gpu["id"]: gpu["price"]["secure"] for gpu in chosen}
    else:
        chosen = [gpu for gpu in gpus.values() if gpu.get("pool") in plan.pools]
        prices = {gpu["pool"]: gpu["price"].get("serverless") for gpu in chosen}
    if chosen and all(gpu.get("availability") == "NONE" for gpu in chosen):
        names = " or ".join(dict.fromkeys(gpu["name"] for gpu in chosen))
        raise DeployError(f"RunPod has no {names} free now: choose another --gpu, or try later.")
    return PER_HOUR | {key: price for key, price in prices.items() if price}


def _confirmed(plan: Plan) -> bool:
    """Asks. Without a terminal there is nobody to ask."""
    if not sys.stdin.isatty():
        raise DeployError(f"Add --yes to create this {plan.target.noun}: nobody can be asked here.")
    print(f"Create this {plan.target.noun}? [y/N] ", end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class _Progress:
    """One line that is written over, or without a terminal one for each new state."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", flush=True, file=sys.stderr)
        elif (state := line.partition(" ")[2]) != self._last:
            self._last = state
            _say(line)


def _how_to_use(plan: Plan, deployed: deployment.Deployed) -> list[str]:
    key = "$API_KEY" if plan.target is Target.POD else "$RUNPOD_API_KEY"
    question = json.dumps({"messages": [{"role": "user", "content": "What is 2+2?"}]})
    return [
        f"base URL: {deployed.base_url}",
        *([f"export API_KEY={plan.pods_key}"] if plan.pods_key else []),
        f"curl {deployed.base_url}/chat/completions -H 'Content-Type: application/json' \\",
        f'  -H "Authorization: Bearer {key}" -d {question!r}',
        f"To delete it: {deployment.deletion(plan.target, deployed.id).strip('`')}",
    ]


def _as_json(plan: Plan) -> Mapping[str, object]:
    path = "/v2/pods" if plan.target is Target.POD else "/v2/serverless"
    return {
        "url": f"https://api.runpod.io{path}",
        "body": plan.shown_body,
        "modelReferences": list(plan.model_references),
        "context": plan.verdict.context,
        "kvTokens": plan.verdict.kv_tokens,
        "dollarsPerHour": {pool: PER_HOUR[pool] for pool in plan.pools if pool in PER_HOUR},
    }


def _say(line: str) -> None:
    overwrite = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{overwrite}{line}", file=sys.stderr)


def _order(asked: argparse.Namespace) -> Order:
    return Order(
        preset=asked.model,
        target=asked.target,
        image=asked.image,
        gpu=asked.gpu,
        gpu_count=asked.gpu_count,
        name=asked.name,
        variables=dict(asked.env),
        min_workers=asked.min_workers,
        max_workers=asked.max_workers,
        idle_timeout_s=asked.idle_timeout,
        disk_gb=asked.disk,
        cached_model=asked.cached_model,
    )


def _parser() -> CommandParser:
    parser = CommandParser("python -m worker.deploy", __doc__)
    parser.add_argument("model", nargs="?", choices=PRESETS, help="which gpt-oss")
    targets = parser.add_mutually_exclusive_group()
    for target, help_ in (
        (Target.QUEUE, "a serverless endpoint with a queue (the default)"),
        (Target.LOAD_BALANCER, "a load-balancing serverless endpoint"),
        (Target.POD, "a pod"),
    ):
        targets.add_argument(
            f"--{target.value}", dest="target", action="store_const", const=target, help=help_
        )
    parser.set_defaults(target=Target.QUEUE)
    add = parser.add_argument
    add("--gpu", metavar="NAME", help="GPUs or RunPod's pools, comma-separated; for a pod one GPU")
    add("--gpu-count", type=_count, default=1, metavar="N", help="GPUs of a worker (1)")
    add("--image", default=IMAGE, help="the worker's image")
    add("--name", help="its name at RunPod (gpt-oss-20b or gpt-oss-120b)")
    add("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the worker; for a secret, '{{ RUNPOD_SECRET_name }}'")  # fmt: skip
    add("--min-workers", type=_number, default=0, metavar="N", help="always on, and billed (0)")
    add("--max-workers", type=_count, default=3, metavar="N", help="at most (3)")
    add("--idle-timeout", type=_idle, default=120, metavar="S", help="an idle worker ends (120)")
    add("--disk", type=_count, metavar="GB", help="the container's disk (20b: 40, 120b: 100)")
    add("--no-cached-model", dest="cached_model", action="store_false",
        help="do not have RunPod keep the model on its hosts")  # fmt: skip
    add("--timeout", type=_count, default=30, metavar="MIN", help="of the first answer (30)")
    add("--yes", action="store_true", help="do not ask")
    add("--print", action="store_true", help="print the request, and send nothing")
    add("--delete", metavar="NAME_OR_ID", help="take an endpoint away; a pod with --pod")
    return parser


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"must be a number, 0 or greater, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    number = _number(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be 1 or greater")
    return number


def _idle(text: str) -> int:
    number = _count(text)
    if number > 3600:
        raise argparse.ArgumentTypeError("must be 3600 or less")
    return number


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


if __name__ == "__main__":
    run(main)
