"""A queue worker like handler.py's, but with a scripted engine: it starts in 2 s instead of 20.

For tests that end many workers. PACE_MS: milliseconds per token.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker import logs, settings
from worker.entrypoints import queue
from worker.generation import Sampling, Step
from worker.model import resolve
from worker.service import Service

ANSWER = "<|channel|>final<|message|>" + " one two three four five" * 6 + "<|return|>"


class PacedEngine(ScriptedEngine):
    """Generates one token every `pace` seconds."""

    pace = float(os.environ.get("PACE_MS", "10")) / 1000

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        async for step in super().generate(prompt_ids, sampling, rid):
            await asyncio.sleep(self.pace)
            yield step


def main() -> int:
    chosen = settings.load()
    logs.configure(chosen.log_level_number)
    service = Service(PacedEngine(tokens(ANSWER)), resolve(chosen), chosen)
    return queue.run(service, chosen)


if __name__ == "__main__":
    sys.exit(main())
