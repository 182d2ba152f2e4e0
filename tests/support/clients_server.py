"""The HTTP API as a process whose model outputs a fixed dialogue: for tests of unmodified clients.

`python -m tests.support.clients_server` is `python -m worker.serve` with a forced sampler. With
`--turns FILE`, every turn is recorded there (tests/support/turns.py).
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from tests.support.dialogue import output_to
from tests.support.scripted_engine import tokens
from tests.support.turns import record
from worker import logs, settings
from worker.engine import Engine, Sampling, SglangEngine, WarmUpRequest, server_args
from worker.entrypoints.http.server import serve
from worker.harmony.vocabulary import MESSAGE
from worker.model import Model, resolve
from worker.service import Service
from worker.settings import Settings


class DialogueEngine(SglangEngine):
    """The real engine, with its sampler forced to what `output` says. Records its turns."""

    def __init__(self, arguments: Mapping[str, Any], turns: Path | None) -> None:
        super().__init__({**arguments, "enable_custom_logit_processor": True})
        self._turns = turns

    def output(self, prompt_ids: Sequence[int]) -> str:
        """The model's output to a prompt, as Harmony text."""
        return output_to(prompt_ids)

    def warm_up_with(self, requests: Callable[[], Sequence[WarmUpRequest]]) -> None:
        """Leaves the warm-up at one token: the dialogue has no answer to its requests."""

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        from tests.support.forced_engine import Script  # it imports SGLang

        request = super()._request(prompt_ids, sampling)
        if MESSAGE not in prompt_ids:  # the warm-up's one token
            return request
        script = tokens(self.output(prompt_ids))
        if self._turns is not None:
            record(self._turns, prompt_ids, script)
        request["sampling_params"]["custom_params"] = {"script": script}
        return {**request, "custom_logit_processor": Script.to_str()}


def forced(chosen: Settings, model: Model, turns: Path | None) -> Engine:
    """The engine of this server."""
    return DialogueEngine(server_args(chosen, model), turns)


def main(engine_of: Callable[[Settings, Model, Path | None], Engine] = forced) -> int:
    """Serves an engine until a stop is requested; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--turns", type=Path)
    arguments = parser.parse_args()
    chosen = settings.load()
    model = resolve(chosen)
    logs.configure(chosen.log_level_number)
    service = Service(engine_of(chosen, model, arguments.turns), model, chosen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(service, chosen, arguments.host))


if __name__ == "__main__":
    sys.exit(main())
