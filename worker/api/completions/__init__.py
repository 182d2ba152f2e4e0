"""OpenAI's text completions: `POST /v1/completions`, raw text without the Harmony format.

Source: https://platform.openai.com/docs/api-reference/completions.
"""

from worker.api import chunks, openai
from worker.api.completions.request import CompletionRequest
from worker.api.dialect import Dialect, Host, RawRequest
from worker.api.fields import read
from worker.api.sse import server_sent_event

DIALECT = Dialect(
    error=openai.error,
    event=server_sent_event,
    end=openai.END,
    combine=chunks.combine,
    smaller=chunks.split,
)


async def read_request(raw: RawRequest, _host: Host) -> CompletionRequest:
    """Raises BadRequest."""
    return read(CompletionRequest, raw.body)
