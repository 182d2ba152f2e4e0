"""clients_server without an engine: it is up within seconds, and all above the engine is the same.

For tests of what travels between workers and clients, whose ids do not depend on how they are made.
"""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from tests.support.clients_server import main
from tests.support.dialogue import output_to
from tests.support.scripted_engine import ScriptedEngine, tokens
from tests.support.turns import record
from worker.engine import Engine, Sampling, Step
from worker.model import Model
from worker.settings import Settings


class ScriptedDialogue(ScriptedEngine):
    """Answers each prompt as the dialogue says. Records its turns."""

    def __init__(self, context_length: int, turns: Path | None) -> None:
        super().__init__((), context_length=context_length)
        self._turns = turns

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, rid: str
    ) -> AsyncGenerator[Step]:
        self.script = tokens(output_to(prompt_ids))
        if self._turns is not None:
            record(self._turns, prompt_ids, self.script)
        async with aclosing(super().generate(prompt_ids, sampling, rid)) as steps:
            async for step in steps:
                yield step


def scripted(chosen: Settings, model: Model, turns: Path | None) -> Engine:
    """The engine of this server."""
    return ScriptedDialogue(model.context_length, turns)


if __name__ == "__main__":
    sys.exit(main(scripted))
