"""A queue worker like handler.py's, but with a scripted engine: it starts in 2 s instead of 20.

For tests that end many workers, and for those that need all four APIs on the queue, but no model.
PACE_MS: milliseconds per step; STEP_TOKENS: tokens per step. The output depends on the prompt's
last message: a question with a word of `SCRIPTS` gets that script, anything else `ANSWER`.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence

from tests.support.scripted_engine import ScriptedEngine, tokens
from worker import logs, settings
from worker.entrypoints import queue
from worker.generation import Sampling, Step
from worker.harmony.vocabulary import encoding
from worker.model import resolve
from worker.service import Service

ANSWER = "<|channel|>final<|message|>" + " one two three four five" * 6 + "<|return|>"
THOUGHT = "<|channel|>analysis<|message|>I ask the tool.<|end|><|start|>assistant"
SCRIPTS = {
    "functions.get_weather": "<|channel|>final<|message|>It is sunny in Paris.<|return|>",
    "Weather": THOUGHT
    + "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    + '{"location": "Paris"}<|call|>',
    "long": "<|channel|>final<|message|>" + 'a "quoted" word\n' * 18_750 + "<|return|>",
    "endless": "<|channel|>final<|message|>" + " one two three four" * 20_000,
    "vast": "<|channel|>final<|message|>" + (" " * 64 + "x\n") * 20_000 + "<|return|>",
}
"""Scripts by a word of the last message: a tool's result, or a question. "long" has 300,000
characters; "vast" has more than 1 MB."""


class PacedEngine(ScriptedEngine):
    """Generates a step every `pace` seconds."""

    pace = float(os.environ.get("PACE_MS", "10")) / 1000

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        self.script = tokens(script_for(encoding().decode(prompt_ids)))
        async for step in super().generate(prompt_ids, sampling, rid):
            await asyncio.sleep(self.pace)
            yield step


def script_for(prompt: str) -> str:
    last = prompt.split("<|start|>")[-2] if prompt.count("<|start|>") > 1 else ""
    return next((script for word, script in SCRIPTS.items() if word in last), ANSWER)


def main() -> int:
    chosen = settings.load()
    logs.configure(chosen.log_level_number)
    engine = PacedEngine((), per_step=int(os.environ.get("STEP_TOKENS", "1")))
    return queue.run(Service(engine, resolve(chosen), chosen), chosen)


if __name__ == "__main__":
    sys.exit(main())
