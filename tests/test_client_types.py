"""The newest openai-python accepts every stream of the Responses API, whatever the model said.

SGLang pins an old one, which the other tests have: the new one's stream helper is much stricter.
"""

import asyncio
import json
import random
import subprocess

import pytest

from tests.support.catalogue import CATALOGUE, Case
from tests.support.client_scripts import SCRIPTS, python_of
from tests.support.responses import Object, answer, service
from tests.support.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.slow

SIZES = random.Random(19)  # noqa: S311 - repeatable


def stream(case: Case, size: int) -> list[Object]:
    """The events of an output that comes in steps of `size` ids."""
    tools = [{"type": "function", "name": name, "parameters": {}} for name in case.tools]
    request: Object = {"input": "Hi", "tools": tools}
    if case.cut:
        request["max_output_tokens"] = len(case.ids)
    made = service(ScriptedEngine(case.ids, per_step=size))
    return asyncio.run(answer(made, {**request, "stream": True}))


def test_the_newest_helper_accepts_every_stream() -> None:
    """All malformed outputs, each by single ids and at a random size of steps; what the helper
    makes of the events is the response in the last one."""
    streams = [
        stream(case, size) for case in CATALOGUE if case.ids for size in (1, SIZES.randint(2, 40))
    ]
    judged = subprocess.run(
        [python_of("openai"), str(SCRIPTS / "check_responses.py")],
        input="\n".join(map(json.dumps, streams)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr
    responses = json.loads(judged.stdout)
    assert [response["output"] for response in responses] == [
        events[-1]["response"]["output"] for events in streams
    ]
