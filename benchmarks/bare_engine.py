"""SGLang's bare engine, to compare with: its chunks are counted, and nothing is made of them."""

from contextlib import aclosing
from typing import Any

from worker.api.chat import render_prompt
from worker.engine import SglangEngine
from worker.engine.sglang_arguments import sampling_params
from worker.generation import Sampling
from worker.harmony.vocabulary import STOP_IDS


async def bare(engine: SglangEngine, body: dict[str, Any]) -> int:
    """One stream of `Engine.async_generate`, for the prompt of a chat completion's body.

    Returns the number of its tokens.
    """
    max_tokens = body.get("max_tokens", 4000)
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0, stop_ids=STOP_IDS)
    stream = await engine._engine.async_generate(
        input_ids=render_prompt(body), sampling_params=sampling_params(sampling), stream=True
    )
    tokens = 0
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            tokens += len(chunk["output_ids"])
    return tokens
