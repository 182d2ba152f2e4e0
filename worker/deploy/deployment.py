"""Creates what was planned, waits for its first answer, and deletes it again.

Rule: nothing is left that is not named. What could not be finished is deleted; if that fails, too,
or if it only does not answer yet, the error says its id and how to delete it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.deploy import DeployError
from worker.deploy.plan import Plan, Target
from worker.deploy.readiness import Look, waiting_for
from worker.deploy.runpod_api import NotAnswered, RunPodApi

LOOK_EVERY_S = 2

Report = Callable[[str], None]
"""Shows one line of progress."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What answers now, and where OpenAI's clients find it."""

    id: str
    base_url: str


def check_name(plan: Plan, api: RunPodApi) -> None:
    """Raises DeployError if there is one with this name already: RunPod would make a second one."""
    if there := api.named(plan.target, plan.name):
        raise DeployError(
            f"The {plan.target.noun} {there[0]['id']} is already named {plan.name!r}: choose "
            f"another --name, or delete it with {deletion(plan.target, plan.name)}."
        )


def create(plan: Plan, api: RunPodApi) -> Mapping[str, Any]:
    """Creates an endpoint or a pod, in full or not at all. Raises DeployError."""
    try:
        created = api.create(plan.target, plan.body)
    except (NotAnswered, KeyboardInterrupt) as error:
        cause = f"{error} " if isinstance(error, DeployError) else "Interrupted. "
        raise DeployError(
            f"{cause}The {plan.target.noun} may have been created: "
            f"{deletion(plan.target, plan.name)} deletes it."
        ) from None
    if plan.model_references:
        try:
            api.set_cached_models(created["id"], plan.model_references)
        except (DeployError, KeyboardInterrupt) as error:
            raise DeployError(_deleted_again(plan, api, created["id"], error)) from None
    return created


def _deleted_again(plan: Plan, api: RunPodApi, id_: str, error: BaseException) -> str:
    cause = str(error) if isinstance(error, DeployError) else "Interrupted."
    cure = " Use --no-cached-model to do without it." if isinstance(error, DeployError) else ""
    try:
        api.delete(plan.target, id_)
    except DeployError as second:
        left = f"The {plan.target.noun} {id_} is still there ({second})"
        return f"{cause} {left} {deletion(plan.target, id_)} deletes it.{cure}"
    return f"{cause} The {plan.target.noun} {id_} was deleted.{cure}"


def wait(
    plan: Plan, api: RunPodApi, created: Mapping[str, Any], timeout_s: float, report: Report
) -> Deployed:
    """Waits until it answers. Raises DeployError, which names what is left running."""
    try:
        way = waiting_for(plan, api, created)
        _look_until_it_answers(way.look, timeout_s, report)
    except (DeployError, KeyboardInterrupt) as error:
        cause = str(error) if isinstance(error, DeployError) else "Interrupted."
        raise DeployError(
            f"{cause} {_still_there(plan, created['id'])} {deletion(plan.target, created['id'])} "
            "deletes it."
        ) from None
    return Deployed(created["id"], way.base_url)


def _look_until_it_answers(look: Look, timeout_s: float, report: Report) -> None:
    began = time.monotonic()
    while (state := look()) is not None:
        elapsed = int(time.monotonic() - began)
        if elapsed >= timeout_s:
            raise DeployError(f"No answer within {elapsed} s: {state}.")
        report(f"{elapsed // 60}:{elapsed % 60:02d} {state}")
        time.sleep(LOOK_EVERY_S)


def _still_there(plan: Plan, id_: str) -> str:
    is_billed = plan.target is Target.POD or plan.body["workers"]["min"]
    cost = "still costs money" if is_billed else "still exists, but costs nothing while it is idle"
    return f"The {plan.target.noun} {id_} {cost}; its log is in RunPod's console."


def delete(target: Target, which: str, api: RunPodApi) -> str:
    """Deletes by id or by name. Returns the id. Raises DeployError if there is not exactly one."""
    ids = [each["id"] for each in api.named(target, which)]
    if len(ids) > 1:
        several = f"Several {target.noun}s are named {which!r}"
        raise DeployError(f"{several}: choose by id: {' '.join(ids)}.")
    id_ = ids[0] if ids else which
    api.delete(target, id_)
    return id_


def deletion(target: Target, which: str) -> str:
    """The command that deletes it."""
    flag = " --pod" if target is Target.POD else ""
    return f"`python -m worker.deploy --delete {which}{flag}`"
