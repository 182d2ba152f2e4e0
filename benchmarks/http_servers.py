"""The servers of the HTTP benchmark, on the stand-in of SGLang's scheduler (`fake_scheduler.py`).

Both have the same engine arguments and generate the same ids from the same prompt. SGLang's has
what it needs for gpt-oss besides: its parsers, and a chat template that renders our prompt.

Run by `http_peers.py`: `python -m benchmarks.http_servers NAME PORT`.
"""

import os
import sys
from functools import partial
from typing import Any

from benchmarks.api_cost import TURNS
from benchmarks.fake_scheduler import Forced, in_place_of_sglangs, run_fake_scheduler
from benchmarks.same_request import SPEED, asking, chat_template
from worker.engine import SglangEngine, server_args
from worker.harmony.vocabulary import encoding
from worker.model import resolve
from worker.settings import Settings

LENGTH = 100
"""Tokens of each answer."""
BODY = asking(LENGTH)


def worker(port: int) -> None:
    """`worker.serve`."""
    import uvloop

    from worker.entrypoints.http.server import serve
    from worker.service import Service

    settings = settings_for(port)
    model = resolve(settings)
    service = Service(SglangEngine(server_args(settings, model)), model, settings)
    with in_place_of_sglangs(forced()):
        uvloop.run(serve(service, settings, "127.0.0.1"))


def sglang(port: int) -> None:
    """`sglang.launch_server`.

    Its /health does not generate a token, which it would wait a second for.
    """
    os.environ["SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"] = "false"
    from sglang.srt import server_args as sglangs
    from sglang.srt.entrypoints.http_server import launch_server

    settings = settings_for(port)
    ServerArgs: Any = sglangs.ServerArgs  # noqa: N806 - a class; its fields are made at run time
    arguments = server_args(settings, resolve(settings))
    del arguments["custom_sigquit_handler"]
    with chat_template(BODY) as template:
        launch_server(
            ServerArgs(
                **arguments,
                host="127.0.0.1",
                port=port,
                reasoning_parser="gpt-oss",
                tool_call_parser="gpt-oss",
                chat_template=template,
                skip_server_warmup=True,
            ),
            run_scheduler_process_func=partial(run_fake_scheduler, forced=forced(), direct=False),
        )


def settings_for(port: int) -> Settings:
    return Settings(model="demo", log_level="error", port=port)


def forced() -> Forced:
    return Forced(encoding().encode(TURNS["text"], allowed_special="all"), SPEED)


SERVERS = {each.__name__: each for each in (worker, sglang)}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]))
